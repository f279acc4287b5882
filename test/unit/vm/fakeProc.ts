import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export interface FakeProcessOptions {
  readonly name?: string;
  readonly state?: string;
  readonly cwd?: string;
  readonly executable?: string;
}

/** Adds a process to a folder that stands for `/proc`. It starts at tick `${pid}00`. */
export function addProcess(
  root: string,
  pid: number,
  args: readonly string[],
  { name = 'qemu', state = 'S', cwd, executable }: FakeProcessOptions = {},
): void {
  const directory = path.join(root, String(pid));
  mkdirSync(directory, { recursive: true });
  const rest = Array.from({ length: 18 }, (_, index) => String(index)).join(' ');
  const fields = `${pid} (${name}) ${state} ${rest} ${pid}00 8000 1\n`;
  writeFileSync(path.join(directory, 'stat'), fields);
  writeFileSync(path.join(directory, 'cmdline'), args.map((arg) => `${arg}\0`).join(''));
  if (cwd !== undefined) symlinkSync(cwd, path.join(directory, 'cwd'));
  if (executable !== undefined) symlinkSync(executable, path.join(directory, 'exe'));
}
