import assert from 'node:assert/strict';
import { link, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { findImage, readHost, readProcessUse } from '../../../src/vm/host';

describe('what the host tells', () => {
  let root: string;

  beforeEach(async () => {
    root = await mkdtemp(path.join(os.tmpdir(), 'host-'));
  });

  afterEach(() => rm(root, { recursive: true, force: true }));

  async function write(file: string, text: string): Promise<string> {
    const whole = path.join(root, file);
    await mkdir(path.dirname(whole), { recursive: true });
    await writeFile(whole, text);
    return whole;
  }

  it('is read from /proc, and unknown where it does not say', async () => {
    assert.deepEqual(await readHost(root), {
      availableBytes: undefined,
      anyUserfaultfd: undefined,
    });
    await write('meminfo', 'MemTotal:       16 kB\nMemFree: 3 kB\nMemAvailable:    8 kB\n');
    await write('sys/vm/unprivileged_userfaultfd', '0\n');
    assert.deepEqual(await readHost(root), { availableBytes: 8192, anyUserfaultfd: false });
    assert.deepEqual(await readProcessUse(7, root), {
      residentBytes: undefined,
      memlockBytes: undefined,
    });
    await write(
      '7/status',
      'VmRSS:\t 900 kB\nRssAnon:\t 100 kB\nRssFile:\t 700 kB\nRssShmem:\t 2 kB\n',
    );
    await write(
      '7/limits',
      'Limit                     Soft Limit           Hard Limit           Units\n' +
        'Max locked memory         65536                unlimited            bytes\n',
    );
    assert.deepEqual(await readProcessUse(7, root), {
      residentBytes: 102 * 1024,
      memlockBytes: 65536,
    });
    await write('7/limits', 'Max locked memory         unlimited  unlimited  bytes\n');
    assert.equal((await readProcessUse(7, root)).memlockBytes, 'unlimited');
  });

  it('knows one image by its names, also from the folder and the root of its process', async () => {
    const image = await write('images/one.img', 'x');
    const other = await write('images/two.img', 'y');
    const second = path.join(root, 'second.img');
    await link(image, second);
    await mkdir(path.join(root, '7'), { recursive: true });
    await symlink(path.join(root, 'images'), path.join(root, '7/cwd'));
    await symlink('/', path.join(root, '7/root'));
    const mine = { pid: 7 };
    const found = await findImage(image, undefined, root);
    assert.equal(found.network, false);
    assert.equal((await findImage(second, undefined, root)).identity, found.identity);
    assert.deepEqual(await findImage('one.img', mine, root), found);
    assert.notEqual((await findImage(other, mine, root)).identity, found.identity);
    const gone = await findImage('/nowhere/three.img', mine, root);
    assert.deepEqual([gone.path, gone.network], ['/nowhere/three.img', undefined]);
  });
});
