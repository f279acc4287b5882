import { readdirSync, readlinkSync } from 'node:fs';

/** Pids of the programs of that name in the PID namespace of this process. */
export function pidsOf(program: RegExp): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return program.test(readlinkSync(`/proc/${pid}/exe`));
      } catch {
        return false;
      }
    })
    .map(Number);
}
