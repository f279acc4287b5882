import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { temporaryDirectory } from '../../../scripts/lib/processes';
import { FakeQmpServer, FakeRefusal, type FakeQmpServerOptions } from '../../support/fakeQmpServer';
import { cli, documentOf } from './inProcess';

describe('cli settings', () => {
  let servers: FakeQmpServer[];
  let folder: ReturnType<typeof temporaryDirectory>;

  beforeEach(() => {
    servers = [];
    folder = temporaryDirectory('cli-settings');
  });
  afterEach(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    await folder.remove();
  });

  async function start(
    build: FakeQmpServerOptions['build'] = 'local',
    status?: string,
  ): Promise<FakeQmpServer> {
    const server = await FakeQmpServer.start({ build });
    if (status !== undefined) server.qemu.status = { status, running: false };
    servers.push(server);
    return server;
  }

  function sent(server: FakeQmpServer): readonly string[] {
    return server.commands.filter((command) => command.startsWith('migrate-set-'));
  }

  it('lists every parameter with its value, and the default where it was changed', async () => {
    const server = await start();
    server.qemu.parameters = { ...server.qemu.parameters, 'max-bandwidth': 1073741824 };
    const { code, stdout, stderr } = await cli(['params', server.path]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^max-bandwidth +1 GiB\/s +default 128 MiB\/s$/m);
    assert.match(stdout, /^downtime-limit +300 ms$/m);
    assert.match(stdout, /^block-bitmap-mapping +not set$/m);
    assert.match(stdout, /^x-checkpoint-delay .*unstable$/m);
    const changed = await cli(['params', server.path, '--changed']);
    assert.deepEqual(changed.stdout.trim().split('\n').length, 1, changed.stdout);
  });

  it('finds by words of name and summary, and gives values and defaults as JSON', async () => {
    const server = await start();
    const end = await cli(['params', server.path, '--find', 'band WIDTH', '--json']);
    const parameters = documentOf(end)['parameters'] as Record<string, Record<string, unknown>>;
    assert.deepEqual(parameters['max-bandwidth'], {
      value: 134217728,
      shown: '128 MiB/s',
      default: 134217728,
      defaultKnown: true,
      changed: false,
    });
    assert.ok(!('multifd-channels' in parameters));
  });

  it('sets several parameters at once, in the units of people', async () => {
    const server = await start();
    const end = await cli(['params', server.path, 'max-bandwidth=1G', 'downtime-limit=0.3 s']);
    assert.equal(end.code, 0, end.stderr);
    assert.equal(server.qemu.parameters['max-bandwidth'], 2 ** 30);
    assert.deepEqual(end.stdout.split('\n'), [
      'max-bandwidth is 1 GiB/s (was 128 MiB/s).',
      'downtime-limit is 300 ms already.',
      '',
    ]);
  });

  it('sets none when one of them makes no sense or does not exist', async () => {
    const server = await start();
    for (const [assignment, code] of [
      ['downtime-limit=soon', 2],
      ['downtime-limit=1h', 2],
      ['downtime-limit', 2],
      ['down-limit=1', 4],
    ] as const) {
      const end = await cli(['params', server.path, 'max-bandwidth=1G', assignment]);
      assert.equal(end.code, code, assignment);
      assert.notEqual(end.stderr, '');
    }
    assert.deepEqual(sent(server), []);
  });

  it('tells that a parameter has no effect yet, and sets it', async () => {
    const server = await start();
    const end = await cli(['params', server.path, 'multifd-channels=4']);
    assert.equal(end.code, 0, end.stderr);
    assert.match(end.stdout, /^Note: .*multifd/m);
    assert.equal(server.qemu.parameters['multifd-channels'], 4);
  });

  it('refuses a capability without the one that it needs', async () => {
    const server = await start();
    const end = await cli(['caps', server.path, 'postcopy-preempt=on']);
    assert.equal(end.code, 4);
    assert.match(end.stderr, /postcopy-ram/);
    assert.deepEqual(sent(server), []);
    const both = await cli(['caps', server.path, 'postcopy-preempt=on', 'postcopy-ram=on']);
    assert.equal(both.code, 0, both.stderr);
    assert.equal(server.qemu.capabilities.get('postcopy-preempt'), true);
  });

  it('sets back one parameter, or all', async () => {
    const server = await start();
    const changed = { 'max-bandwidth': 1, 'downtime-limit': 1 };
    server.qemu.parameters = { ...server.qemu.parameters, ...changed };
    await cli(['params', server.path, '--reset', 'max-bandwidth']);
    assert.equal(server.qemu.parameters['max-bandwidth'], 134217728);
    assert.equal(server.qemu.parameters['downtime-limit'], 1);
    await cli(['params', server.path, '--reset-all']);
    assert.equal(server.qemu.parameters['downtime-limit'], 300);
    const end = await cli(['params', server.path, '--reset-all']);
    assert.equal(end.stdout, 'All have their default already.\n');
  });

  it('sets a command that QEMU executes only when told to', async () => {
    const server = await start();
    const args = ['params', server.path, 'cpr-exec-command=["/bin/new-qemu"]'];
    const refused = await cli(args);
    assert.equal(refused.code, 4);
    assert.match(refused.stderr, /--allow-exec/);
    assert.deepEqual(sent(server), []);
    assert.equal((await cli([...args, '--allow-exec'])).code, 0);
    assert.deepEqual(server.qemu.parameters['cpr-exec-command'], ['/bin/new-qemu']);
  });

  it('prints what was changed in a form to paste', async () => {
    const server = await start();
    server.qemu.parameters = { ...server.qemu.parameters, 'max-bandwidth': 18446744073709551615n };
    const end = await cli(['params', server.path, '--changed', '--as', 'qmp']);
    assert.equal(
      end.stdout,
      '{"execute":"migrate-set-parameters","arguments":{"max-bandwidth":18446744073709551615}}\n',
    );
  });

  it('switches backend transfer on both sides, whatever each calls it, or on neither', async () => {
    const [source, target] = [await start('local'), await start('backend-transfer', 'inmigrate')];
    const args = ['backend-transfer', source.path, 'on', '--target', target.path];
    let willing = false;
    target.on('migrate-set-parameters', (values, { command }) => {
      if (!willing) throw new FakeRefusal('no transfer today');
      return target.qemu.answer(command, values);
    });
    const refused = await cli(args);
    assert.equal(refused.code, 4, refused.stderr);
    assert.match(refused.stderr, /no transfer today/);
    assert.equal(source.qemu.parameters['local'], false);
    willing = true;
    const end = await cli(args);
    assert.equal(end.code, 0, end.stderr);
    assert.equal(source.qemu.parameters['local'], true);
    assert.equal(target.qemu.parameters['backend-transfer'], true);
  });

  it('compares two machines, says what matters, and exits with 9 when something does', async () => {
    const [source, target] = [await start(), await start('local', 'inmigrate')];
    const same = await cli(['diff', source.path, target.path]);
    assert.deepEqual([same.code, same.stdout], [0, 'No differences.\n'], same.stderr);
    source.qemu.capabilities.set('multifd', true);
    const end = await cli(['diff', source.path, target.path]);
    assert.equal(end.code, 9);
    assert.match(end.stdout, /^! +multifd +on +off +must be equal$/m);
    const json = documentOf(await cli(['diff', '--json', source.path, target.path]));
    assert.deepEqual([json.exitCode, json['problems']], [9, ['multifd']]);
  });

  describe('profiles', () => {
    async function file(text: string): Promise<string> {
      const path = join(folder.path, '.vscode', 'qemu-migration.json');
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, text);
      return path;
    }
    const lab = '{"version": 1, "profiles": {"lab": {"parameters": {"max-bandwidth": "2 GiB/s"}}}}';

    it('applies one to a source and a target, and shows before what would change', async () => {
      const [source, target] = [await start(), await start('local', 'inmigrate')];
      await file(lab);
      const args = ['apply', 'lab', target.path, source.path];
      const dry = await cli([...args, '--dry-run'], folder.path);
      assert.equal(dry.code, 0, dry.stderr);
      assert.match(dry.stdout, /max-bandwidth +128 MiB\/s +→ +2 GiB\/s/);
      assert.match(dry.stdout, /\(target\)[^]*\(source\)/);
      assert.deepEqual([...sent(source), ...sent(target)], []);
      const end = await cli(args, folder.path);
      assert.equal(end.code, 0, end.stderr);
      for (const { qemu } of [source, target]) {
        assert.equal(qemu.parameters['max-bandwidth'], 2 ** 31);
      }
    });

    it('puts everything back when one side refuses', async () => {
      const [source, target] = [await start(), await start('local', 'inmigrate')];
      await file(lab);
      target.on('migrate-set-parameters', () => {
        throw new FakeRefusal('too fast for me');
      });
      const end = await cli(['apply', 'lab', source.path, target.path], folder.path);
      assert.equal(end.code, 4);
      assert.match(end.stderr, /too fast for me/);
      assert.equal(source.qemu.parameters['max-bandwidth'], 134217728);
    });

    for (const [fault, text, expected] of [
      ['that is not JSON', '{"version": 1,\n "profiles": {"lab" 3}}', /qemu-migration\.json:2:\d+/],
      ['of another version', '{"version": 2, "profiles": {"lab": {}}}', /:1:\d+.*newer version/],
      [
        'with a wrong type',
        '{"version": 1, "profiles": {"lab": {"parameters":\n{"max-bandwidth": true}}}}',
        /:2:\d+.*max-bandwidth/,
      ],
    ] as const) {
      it(`changes nothing for a file ${fault}, and says where`, async () => {
        const source = await start();
        await file(text);
        const end = await cli(['apply', 'lab', source.path], folder.path);
        assert.equal(end.code, 4, end.stdout);
        assert.match(end.stderr, expected);
        assert.deepEqual(sent(source), []);
      });
    }

    it('lists what there is, and what is wrong', async () => {
      await file(lab.replace('}}}}', '}}, "bad": {"capabilities": {"multifd": 1}}}}'));
      const end = await cli(['profiles'], folder.path);
      assert.equal(end.code, 4);
      assert.match(end.stdout, /^ {2}lab$/m);
      assert.match(end.stdout, /Built in:/);
      assert.match(end.stdout, /qemu-migration\.json:1:\d+: error: /);
    });

    it('knows the built-in ones without a file, and says which name was meant', async () => {
      const source = await start();
      const end = await cli(['apply', 'Lowest downtime', source.path], folder.path);
      assert.equal(end.code, 0, end.stderr);
      assert.notEqual(server(source, 'downtime-limit'), 300);
      const wrong = await cli(['apply', 'Lowest dowtime', source.path], folder.path);
      assert.equal(wrong.code, 4);
      assert.match(wrong.stderr, /Did you mean "Lowest downtime"/);
    });

    function server({ qemu }: FakeQmpServer, name: string): unknown {
      return qemu.parameters[name];
    }
  });
});
