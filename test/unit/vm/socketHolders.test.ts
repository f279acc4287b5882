import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { SocketHolders } from '../../../src/vm/socketHolders';

describe('which process holds a socket', () => {
  let procRoot: string;

  beforeEach(async () => {
    procRoot = await mkdtemp(path.join(tmpdir(), 'proc-'));
  });

  afterEach(async () => {
    await rm(procRoot, { recursive: true });
  });

  async function hold(pid: number, fd: number, inode: number): Promise<void> {
    const directory = path.join(procRoot, String(pid), 'fd');
    await mkdir(directory, { recursive: true });
    await symlink(`socket:[${inode}]`, path.join(directory, String(fd)));
  }

  const find = async (holders: SocketHolders, inode: number): Promise<number | undefined> => {
    const link = `socket:[${inode}]`;
    return (await holders.find([link], procRoot)).get(link);
  };

  it('names the first of several holders, since the others inherited it', async () => {
    await hold(70, 3, 1);
    await hold(8, 5, 1);
    assert.equal(await find(new SocketHolders(), 1), 8);
  });

  it('finds a socket that came after a look that is still remembered', async () => {
    const holders = new SocketHolders();
    await hold(8, 3, 1);
    assert.equal(await find(holders, 1), 8);
    await hold(9, 3, 2);
    assert.equal(await find(holders, 2), 9);
  });

  it('finds all of many that are asked for at once, old and new', async () => {
    const holders = new SocketHolders();
    await hold(8, 3, 1);
    const early = find(holders, 1);
    await hold(9, 3, 2);
    await hold(10, 3, 3);
    const found = await Promise.all([early, find(holders, 2), find(holders, 3), find(holders, 4)]);
    assert.deepEqual(found, [8, 9, 10, undefined]);
  });
});
