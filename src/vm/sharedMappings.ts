import path from 'node:path';
import { defaultProcRoot, readText } from './process';

/** A file that a process has mapped for sharing. */
export interface SharedMapping {
  /** Device and inode: the same for two processes that share the pages. */
  readonly identity: string;
  /** All of its mapped pieces together. */
  readonly bytes: number;
  /** As the kernel names it; `/memfd:...` for one without a name in the file system. */
  readonly path: string;
}

/**
 * What a process has mapped for sharing (`/proc/PID/maps`), by file; `undefined` when that is not ours
 * to look at.
 */
export async function readSharedMappings(
  pid: number,
  procRoot = defaultProcRoot,
): Promise<readonly SharedMapping[] | undefined> {
  const text = await readText(path.join(procRoot, String(pid), 'maps'));
  if (text === '') return undefined;
  const found = new Map<string, SharedMapping>();
  for (const line of text.split('\n')) {
    // 7f0000000000-7f0010000000 rw-s 00000000 00:01 4711   /memfd:name (deleted)
    const [, from, to, device, inode, name] =
      /^([0-9a-f]+)-([0-9a-f]+) ..[-x]s [0-9a-f]+ ([0-9a-f]+:[0-9a-f]+) (\d+) +(.*)$/.exec(line) ??
      [];
    if (from === undefined || to === undefined || device === undefined || inode === undefined) {
      continue;
    }
    const identity = `${device}:${inode}`;
    const bytes = Number(BigInt(`0x${to}`) - BigInt(`0x${from}`));
    found.set(identity, {
      identity,
      bytes: bytes + (found.get(identity)?.bytes ?? 0),
      path: (name ?? '').replace(/ \(deleted\)$/, ''),
    });
  }
  return [...found.values()];
}
