import assert from 'node:assert/strict';
import { basename, dirname } from 'node:path';
import { FakeQmpServer, FakeRefusal } from '../../support/fakeQmpServer';
import type { Build } from '../../support/recordings';
import { cli, documentOf } from './inProcess';

describe('cli program', () => {
  let server: FakeQmpServer;
  const start = async (build: Build): Promise<void> => {
    server = await FakeQmpServer.start({ build });
  };
  afterEach(() => server.stop());

  it('shows a machine as text: values with units, and backend transfer', async () => {
    await start('local');
    const end = await cli(['show', server.path]);
    assert.equal(end.code, 0, end.stderr);
    for (const expected of [/^Status +running$/m, /max-bandwidth +128 MiB\/s/, /\[ \] xbzrle/]) {
      assert.match(end.stdout, expected);
    }
    assert.match(end.stdout, /Backend transfer +off/i);
  });

  it('shows a machine as one JSON document, numbers as QEMU has them', async () => {
    await start('local');
    const end = await cli(['show', '--json', server.path]);
    const document = documentOf(end);
    assert.equal(document.exitCode, 0);
    assert.equal(document['status'], 'running');
    const parameters = document['parameters'] as Record<string, unknown>;
    assert.equal(parameters['max-bandwidth'], 134217728);
    const capabilities = document['capabilities'] as Record<string, unknown>;
    assert.equal(capabilities['xbzrle'], false);
    const offer = document['backendTransfer'] as Record<string, unknown>;
    assert.deepEqual(
      [offer['kind'], offer['parameter'], offer['enabled']],
      ['boolean', 'local', false],
    );
    assert.equal(end.stderr, '');
  });

  it('keeps the largest number of QEMU exact in JSON', async () => {
    await start('local');
    server.qemu.parameters = { ...server.qemu.parameters, 'max-bandwidth': 18446744073709551615n };
    const end = await cli(['show', '--json', server.path]);
    assert.match(end.stdout, /"max-bandwidth": 18446744073709551615\b/);
  });

  it('takes a path relative to the working directory', async () => {
    await start('local');
    const end = await cli(['show', basename(server.path)], dirname(server.path));
    assert.equal(end.code, 0, end.stderr);
  });

  it('sets a parameter in the units of people and says what it was', async () => {
    await start('local');
    const end = await cli(['set', server.path, 'max-bandwidth', '2GiB/s']);
    assert.equal(end.stdout, 'max-bandwidth is 2 GiB/s (was 128 MiB/s).\n', end.stderr);
    assert.equal(server.qemu.parameters['max-bandwidth'], 2 ** 31);
  });

  it('sets a capability by its name', async () => {
    await start('local');
    const end = await cli(['set', '--json', server.path, 'xbzrle', 'on']);
    const { kind, name, value } = documentOf(end);
    assert.deepEqual([end.code, kind, name, value], [0, 'capability', 'xbzrle', true]);
    assert.equal(server.qemu.capabilities.get('xbzrle'), true);
  });

  it('sends nothing for a value that makes no sense', async () => {
    await start('local');
    const end = await cli(['set', server.path, 'max-bandwidth', 'fast']);
    assert.equal(end.code, 2);
    assert.equal(end.stdout, '');
    assert.ok(!server.commands.includes('migrate-set-parameters'));
  });

  it('says which name may have been meant', async () => {
    await start('local');
    const end = await cli(['set', server.path, 'max-bandwith', '1']);
    assert.equal(end.code, 4);
    assert.match(end.stderr, /Did you mean "max-bandwidth"\?/);
  });

  it("tells QEMU's refusal in QEMU's words", async () => {
    await start('local');
    server.on('migrate-set-parameters', () => {
      throw new FakeRefusal('not while the moon is full');
    });
    const end = await cli(['set', server.path, 'downtime-limit', '1s']);
    assert.equal(end.code, 4);
    assert.match(end.stderr, /not while the moon is full/);
    assert.doesNotMatch(end.stderr, /^\s+at /m);
  });

  for (const [build, parameter] of [
    ['local', 'local'],
    ['backend-transfer', 'backend-transfer'],
  ] as const) {
    it(`turns backend transfer on where it is called ${parameter}`, async () => {
      await start(build);
      const end = await cli(['backend-transfer', server.path, 'on']);
      assert.equal(end.code, 0, end.stderr);
      assert.match(end.stdout, new RegExp(`on .*parameter "${parameter}"`));
      assert.equal(server.qemu.parameters[parameter], true);
    });
  }

  it('says that a QEMU has no backend transfer, with code 4', async () => {
    await start('11.1-stock');
    const end = await cli(['backend-transfer', server.path, 'on']);
    assert.equal(end.code, 4);
    assert.notEqual(end.stderr, '');
    const json = documentOf(await cli(['backend-transfer', '--json', server.path, 'on']));
    assert.equal(json.exitCode, 4);
    assert.ok((json['error'] as { headline: string }).headline.length > 0);
  });

  it('shows the QMP traffic with --verbose, and on stderr only', async () => {
    await start('local');
    const end = await cli(['show', '--json', '--verbose', server.path]);
    assert.match(end.stderr, /> \{"execute":"query-migrate-parameters"/);
    assert.match(end.stderr, /… \(\d+ characters\)/);
    assert.doesNotThrow(() => documentOf(end));
  });

  it('refuses to migrate a machine to itself before it connects', async () => {
    await start('local');
    const end = await cli(['migrate', server.path, `${server.path}/../${basename(server.path)}`]);
    assert.equal(end.code, 2);
    assert.match(end.stderr, /same socket/);
    assert.deepEqual(server.commands, []);
  });

  it('says that nobody is there, with code 3', async () => {
    await start('local');
    for (const args of [
      ['show', '/no/such.qmp'],
      ['migrate', server.path, '/no/such.qmp'],
    ]) {
      const end = await cli(args);
      assert.equal(end.code, 3, args.join(' '));
      assert.match(end.stderr, /\/no\/such\.qmp/);
    }
    assert.ok(!server.commands.includes('migrate'));
  });
});
