import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { temporaryDirectory } from '../../scripts/lib/processes';
import { provisionQemu, qemuVersions, startQemu, type QemuProcess } from '../../scripts/lib/qemu';
import { builtinProfiles } from '../../src/migration/profiles/builtin';
import { cliBundle, runCliProcess, type CliEnd } from '../support/cliProcess';

type Settings = Readonly<Record<string, unknown>>;

describe('settings of real QEMUs from the command line', () => {
  let temporary: ReturnType<typeof temporaryDirectory>;
  let source: QemuProcess;
  let target: QemuProcess;

  before(async function () {
    this.timeout(300_000);
    await cliBundle();
  });

  beforeEach(() => {
    temporary = temporaryDirectory('cli-settings');
  });

  afterEach(async () => {
    await Promise.all([source.stop(), target.stop()]);
    await temporary.remove();
  });

  async function startPair(version: (typeof qemuVersions)[number]): Promise<void> {
    // As of one guest: with multifd QEMU compares the UUIDs.
    const common = { directory: temporary.path, guest: 'none', uuid: randomUUID() } as const;
    const build = await provisionQemu(version);
    source = await startQemu({ ...common, build, name: 'source' });
    target = await startQemu({ ...common, build, name: 'target', incoming: true });
  }

  async function settingsOf(qemu: QemuProcess): Promise<Settings> {
    const parameters = (await qemu.probe('query-migrate-parameters')) as Settings;
    const capabilities = (await qemu.probe('query-migrate-capabilities')) as {
      capability: string;
      state: boolean;
    }[];
    return {
      ...parameters,
      ...Object.fromEntries(capabilities.map(({ capability, state }) => [capability, state])),
    };
  }

  const run = (...args: string[]): Promise<CliEnd> => runCliProcess(args);

  for (const version of qemuVersions) {
    it(`${version}: a fresh QEMU has nothing changed, and --reset-all brings that back`, async () => {
      await startPair(version);
      const fresh = await settingsOf(source);
      const list = await run('params', source.qmpSocket, '--changed');
      assert.match(list.stdout, /^None of \d+ parameters\.$/m, list.stderr);
      const caps = await run('caps', source.qmpSocket, '--changed');
      assert.match(caps.stdout, /^None of \d+ capabilities\.$/m, caps.stderr);
      const set = await run('params', source.qmpSocket, 'max-bandwidth=1G', 'downtime-limit=0.5s');
      assert.equal(set.code, 0, set.stderr);
      const on = await run('caps', source.qmpSocket, 'return-path=on', 'xbzrle=on');
      assert.equal(on.code, 0, on.stderr);
      const now = await settingsOf(source);
      assert.deepEqual(
        [now['max-bandwidth'], now['downtime-limit'], now['return-path'], now['xbzrle']],
        [2 ** 30, 500, true, true],
      );
      assert.equal((await run('params', source.qmpSocket, '--reset-all')).code, 0);
      assert.equal((await run('caps', source.qmpSocket, '--reset-all')).code, 0);
      assert.deepEqual(await settingsOf(source), fresh);
    });

    it(`${version}: a difference that matters is found, and a profile makes both sides fit`, async () => {
      await startPair(version);
      const [a, b] = [source.qmpSocket, target.qmpSocket];
      assert.equal((await run('diff', a, b)).code, 0);
      assert.equal((await run('caps', a, 'multifd=on')).code, 0);
      const end = await run('diff', a, b);
      assert.equal(end.code, 9);
      assert.match(end.stdout, /^! +multifd +on +off +must be equal$/m);
      const [before, other] = [await settingsOf(source), await settingsOf(target)];
      for (const { name, backendTransfer } of builtinProfiles) {
        const dry = await run('apply', '--dry-run', name, a, b);
        // No release has backend transfer yet.
        const expected = backendTransfer === true ? 4 : 0;
        assert.equal(dry.code, expected, `${name}: ${dry.stdout}${dry.stderr}`);
      }
      assert.deepEqual([await settingsOf(source), await settingsOf(target)], [before, other]);
      const applied = await run('apply', 'Fastest total', a, b);
      assert.equal(applied.code, 0, applied.stderr);
      assert.equal((await settingsOf(target))['multifd'], true);
      assert.equal((await run('diff', a, b)).code, 0);
    });
  }
});
