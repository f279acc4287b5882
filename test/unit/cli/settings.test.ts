import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { temporaryDirectory } from '../../../scripts/lib/processes';
import { FakeQmpServer, FakeRefusal, type FakeQmpServerOptions } from '../../support/fakeQmpServer';
import { cli, documentOf, type End } from './inProcess';

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

  it('refuses a name that is there twice, in whatever way', async () => {
    const server = await start();
    for (const args of [
      ['params', server.path, 'max-bandwidth=1', 'max-bandwidth=2'],
      ['params', server.path, 'max-bandwidth=1', '--reset', 'max-bandwidth'],
      ['caps', server.path, 'xbzrle=on', 'xbzrle=off'],
    ]) {
      const { code, stderr } = await cli(args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /is named twice/);
    }
    assert.deepEqual(sent(server), []);
  });

  it('sets back all that can be, and says what stays; what is named gets its own value', async () => {
    const server = await start();
    const mapping = [{ 'node-name': 'n', alias: 'a', bitmaps: [] }];
    server.qemu.parameters = {
      ...server.qemu.parameters,
      'max-bandwidth': 5,
      'downtime-limit': 7,
      'block-bitmap-mapping': mapping,
    };
    const { code, stdout, stderr } = await cli([
      ...['params', server.path, '--reset-all', 'downtime-limit=1s'],
    ]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^Note: .*block-bitmap-mapping not set.*It stays\.$/m);
    const now = server.qemu.parameters;
    assert.deepEqual(
      [now['max-bandwidth'], now['downtime-limit'], now['block-bitmap-mapping']],
      [134217728, 1000, mapping],
    );
  });

  it('keeps each setting on its own line, whatever its text holds', async () => {
    const server = await start();
    const { stdout } = await cli(['params', server.path, 'tls-hostname=a\nmax-bandwidth is 1']);
    assert.equal(stdout, 'tls-hostname is "a\\nmax-bandwidth is 1" (was empty).\n');
    assert.equal(server.qemu.parameters['tls-hostname'], 'a\nmax-bandwidth is 1');
  });

  it('does not compare or switch a machine with itself', async () => {
    const server = await start('backend-transfer');
    for (const args of [
      ['diff', server.path, server.path],
      ['backend-transfer', server.path, 'on', '--target', server.path],
      ['apply', 'Postcopy', server.path, server.path],
    ]) {
      const { code, stderr } = await cli(args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /same machine/);
    }
    assert.deepEqual(sent(server), []);
  });

  it('prints one JSON document also for a command line that makes no sense', async () => {
    for (const args of [
      ['params', '--json'],
      ['params', '/nowhere', '--json', '--as', 'poem'],
      ['nonsense', '--json'],
      ['caps', '/nowhere', '--json', '--allow-exec'],
    ]) {
      const end = await cli(args);
      assert.equal(end.code, 2);
      const { exitCode, error } = documentOf(end);
      assert.equal(exitCode, 2);
      assert.match((error as { headline: string }).headline, /^(?!error).*\.$/);
    }
  });

  describe('when interrupted', () => {
    async function applied(second: 'refuses' | 'takes' | 'is silent'): Promise<{
      end: Promise<End>;
      signals: EventEmitter;
      first: FakeQmpServer;
      asked: Promise<void>;
      answer: () => void;
    }> {
      const [first, target] = [await start(), await start('local', 'inmigrate')];
      const signals = new EventEmitter();
      let asked: () => void = () => undefined;
      let answer: () => void = () => undefined;
      const isAsked = new Promise<void>((resolve) => (asked = resolve));
      const mayAnswer = new Promise<void>((resolve) => (answer = resolve));
      target.on('migrate-set-capabilities', async (args) => {
        asked();
        await mayAnswer;
        if (second === 'refuses') throw new FakeRefusal('no');
        return target.qemu.answer('migrate-set-capabilities', args);
      });
      const end = cli(['apply', 'Postcopy', first.path, target.path], '/', signals);
      return { end, signals, first, asked: isAsked, answer };
    }

    for (const second of ['takes', 'refuses'] as const) {
      it(`finishes a change that the other machine ${second}`, async () => {
        const { end, signals, first, asked, answer } = await applied(second);
        const before = new Map(first.qemu.capabilities);
        await asked;
        signals.emit('SIGINT');
        answer();
        const { code, stderr } = await end;
        assert.equal(code, second === 'takes' ? 0 : 4, stderr);
        assert.match(stderr, /^The change is made, or put back, first\./);
        const now = new Map(first.qemu.capabilities);
        if (second === 'takes') assert.notDeepEqual(now, before);
        else assert.deepEqual(now, before);
        assert.equal(signals.listenerCount('SIGINT'), 0);
      });
    }

    it('leaves at once when interrupted again, and says that nobody knows', async () => {
      const { end, signals, asked, answer } = await applied('is silent');
      await asked;
      signals.emit('SIGINT');
      signals.emit('SIGTERM');
      const { code, stderr } = await end;
      assert.equal(code, 8);
      assert.match(stderr, /Left before the change was made everywhere, or put back\./);
      answer();
    });
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

    it('takes nothing from a file in another encoding, and says which it wants', async () => {
      const source = await start();
      const text =
        '{"version": 1, "profiles": {"lab": {"parameters": {"tls-hostname": "caf\u00e9"}}}}';
      const path = await file('');
      for (const encoding of ['latin1', 'utf16le'] as const) {
        await writeFile(path, `${encoding === 'latin1' ? '' : '\ufeff'}${text}`, encoding);
        const end = await cli(['apply', 'lab', source.path], folder.path);
        assert.equal(end.code, 4, end.stdout);
        assert.match(end.stderr, /json:1:1: error: The file is not UTF-8\./);
      }
      assert.deepEqual(sent(source), []);
      await writeFile(path, `\ufeff${text}`);
      assert.equal((await cli(['apply', 'lab', source.path], folder.path)).code, 0);
      assert.equal(server(source, 'tls-hostname'), 'caf\u00e9');
    });

    it('says why a file cannot be read', async () => {
      await mkdir(join(folder.path, 'folder'));
      await symlink('loop', join(folder.path, 'loop'));
      for (const [name, why] of [
        ['missing', /there is no such file/],
        ['folder', /it is a folder/],
        ['loop', /in a circle/],
        ['/dev/zero', /too large/],
      ] as const) {
        const end = await cli(['apply', 'lab', '/nowhere', '--file', name], folder.path);
        assert.equal(end.code, 4, end.stdout);
        assert.match(end.stderr, why);
      }
    });

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
