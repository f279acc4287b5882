import { readdir, readlink } from 'node:fs/promises';
import path from 'node:path';
import { listPids } from './process';

/** How long what was found is good for: long enough for many machines that connect at once. */
const keepMs = 1000;

interface Look {
  readonly procRoot: string;
  readonly found: Promise<ReadonlyMap<string, number>>;
}

/**
 * Which process holds which socket. One look through all of `/proc/PID/fd` serves everybody who
 * asks within a second; a socket that it missed, since it was newer, is worth a second look.
 */
export class SocketHolders {
  private last: Look | undefined;

  /**
   * The process ids that hold these sockets; those that cannot be told are left out. Of several
   * holders the first one started, since the others inherited it.
   *
   * @param links as `/proc/PID/fd` has them, such as `socket:[4711]`; the kernel does not give a
   *   number a second time
   */
  async find(links: readonly string[], procRoot: string): Promise<ReadonlyMap<string, number>> {
    if (links.length === 0) return new Map();
    const known = this.last;
    const first = this.look(procRoot);
    let all = await first.found;
    // A look that began before we were asked may have missed a socket that is newer than it.
    if (first === known && links.some((link) => !all.has(link))) {
      const newer = this.last === known ? undefined : this.last;
      all = await (newer?.procRoot === procRoot ? newer : this.lookAgain(procRoot)).found;
    }
    return new Map(
      links.flatMap((link): [string, number][] => {
        const pid = all.get(link);
        return pid === undefined ? [] : [[link, pid]];
      }),
    );
  }

  private look(procRoot: string): Look {
    return this.last?.procRoot === procRoot ? this.last : this.lookAgain(procRoot);
  }

  private lookAgain(procRoot: string): Look {
    const look = { procRoot, found: scan(procRoot) };
    this.last = look;
    void look.found.then(() => {
      setTimeout(() => {
        if (this.last === look) this.last = undefined;
      }, keepMs).unref();
    });
    return look;
  }
}

async function scan(procRoot: string): Promise<ReadonlyMap<string, number>> {
  const holders = new Map<string, number>();
  const pids = (await listPids(procRoot)).sort((a, b) => b - a);
  for (const pid of pids) {
    const directory = path.join(procRoot, String(pid), 'fd');
    // Another user's process, or one that ended meanwhile, has no sockets for us.
    const fds = await readdir(directory).catch(() => []);
    for (const fd of fds) {
      const link = await readlink(path.join(directory, fd)).catch(() => '');
      if (link.startsWith('socket:')) holders.set(link, pid);
    }
  }
  return holders;
}
