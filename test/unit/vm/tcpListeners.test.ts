import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { afterEach, describe, it } from 'mocha';
import { isTaken, readTcpListeners } from '../../../src/vm/tcpListeners';

describe('whether somebody listens at a TCP address', () => {
  const servers: Server[] = [];

  afterEach(async () => {
    await Promise.all(
      servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))),
    );
  });

  async function listen(host: string, port = 0): Promise<number> {
    const server = createServer();
    servers.push(server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen({ host, port }, resolve);
    });
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    return address.port;
  }

  async function taken(host: string, port: number): Promise<boolean> {
    return isTaken(host, port, await readTcpListeners(undefined));
  }

  it('is asked of that very address: its neighbours are free', async () => {
    const port = await listen('127.0.0.2');
    assert.equal(await taken('127.0.0.2', port), true);
    assert.equal(await taken('127.0.0.1', port), false);
    assert.equal(await taken('::1', port), false);
    // As the kernel sees it.
    await listen('127.0.0.1', port);
    assert.equal(await taken('127.0.0.1', port), true);
  });

  it('is so for all addresses where somebody listens at all of them, and the other way round', async () => {
    const everywhere = await listen('0.0.0.0');
    assert.equal(await taken('127.0.0.1', everywhere), true);
    await assert.rejects(listen('127.0.0.1', everywhere), { code: 'EADDRINUSE' });
    const here = await listen('127.0.0.1');
    for (const host of ['0.0.0.0', '::', '']) assert.equal(await taken(host, here), true, host);
  });

  it('reads IPv6 addresses however they are spelled', async () => {
    const port = await listen('::1');
    for (const host of ['::1', '0:0:0:0:0:0:0:1'])
      assert.equal(await taken(host, port), true, host);
    assert.equal(await taken('127.0.0.1', port), false);
  });

  it('takes a name for free while one of its addresses is', async () => {
    assert.equal(await isTaken('localhost', 5, [{ address: '127.0.0.9', port: 5 }]), false);
    assert.equal(await isTaken('localhost', 5, [{ address: 'any', port: 5 }]), true);
  });
});
