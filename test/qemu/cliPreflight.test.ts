import assert from 'node:assert/strict';
import { temporaryDirectory } from '../../scripts/lib/processes';
import { provisionQemu, qemuVersions, startQemu, type QemuProcess } from '../../scripts/lib/qemu';
import { cliBundle, runCliProcess, type CliEnd } from '../support/cliProcess';

const uuid = '6f5a8cb2-52c9-4c7e-8a52-8f8a3e6a4a50';

interface Document {
  readonly blocked: boolean;
  readonly measured: boolean;
  readonly findings: readonly {
    readonly id: string;
    readonly level: string;
    readonly side: string;
    readonly fix?: { readonly calls: readonly string[] };
  }[];
}

describe('the check before a migration from the command line', () => {
  let temporary: ReturnType<typeof temporaryDirectory>;
  let source: QemuProcess;
  let target: QemuProcess;

  before(async function () {
    this.timeout(300_000);
    await cliBundle();
  });

  beforeEach(() => {
    temporary = temporaryDirectory('cli-preflight');
  });

  afterEach(async () => {
    await Promise.all([source.stop(), target.stop()]);
    await temporary.remove();
  });

  async function startPair(
    version: (typeof qemuVersions)[number],
    targetArgs: readonly string[] = [],
  ): Promise<void> {
    const build = await provisionQemu(version);
    const common = { build, directory: temporary.path, guest: 'none', uuid } as const;
    source = await startQemu({ ...common, name: 'source' });
    const extraArgs = targetArgs;
    target = await startQemu({ ...common, name: 'target', incoming: true, extraArgs });
  }

  const check = (...args: string[]): Promise<CliEnd> =>
    runCliProcess(['preflight', source.qmpSocket, target.qmpSocket, ...args]);

  const found = async (...args: string[]): Promise<Document> => {
    const end = await check('--json', ...args);
    return JSON.parse(end.stdout) as Document;
  };

  for (const version of qemuVersions) {
    it(`${version}: lists by level with what to do, and the calls that fix it do`, async () => {
      await startPair(version, ['-cpu', 'kvm64']);
      const end = await check('--transport', 'unix');
      assert.equal(end.code, 0, end.stderr);
      assert.match(end.stdout, /^Warnings:\n {2}cpu-model, target\n/m);
      assert.match(end.stdout, /→ Start the target with "-cpu qemu64"\./);
      assert.match(end.stdout, /^Good to know:\n {2}return-path, both sides\n/m);
      assert.match(
        end.stdout,
        /^Nothing blocks a migration of source to target; 2 to think about/m,
      );

      const before = await found('--transport', 'unix');
      const calls = before.findings.flatMap(({ fix }) => fix?.calls ?? []);
      assert.equal(calls.length, 3, 'the speed, and return-path on both sides');
      for (const call of calls) {
        assert.ok(end.stdout.includes(`$ ${call}\n`), call);
        const done = await runCliProcess(call.split(' ').slice(1));
        assert.equal(done.code, 0, done.stderr);
      }
      const after = await found('--transport', 'unix');
      assert.deepEqual(
        after.findings.map(({ id }) => id),
        ['cpu-model', 'pause-limit'],
      );
    });

    it(`${version}: ends with 4 where something blocks, and changes nothing`, async () => {
      await startPair(version, ['-smp', '2']);
      const end = await check('--transport', 'unix');
      assert.equal(end.code, 4, end.stderr);
      assert.match(end.stdout, /^Blocks the migration:\n {2}vcpu-count, target\n/m);
      assert.match(end.stdout, /→ Start the target with "-smp 1"\.\n {6}Can be overruled/);
      assert.match(end.stdout, /^source cannot be migrated to target like this\.$/m);
      assert.equal((await found('--transport', 'unix')).blocked, true);
      assert.equal(await target.guestStatus(), 'inmigrate');
      assert.equal(await source.guestStatus(), 'running');
    });

    it(`${version}: judges the run that is asked for, and measures when told`, async () => {
      await startPair(version);
      const { findings, measured } = await found('--max-bandwidth', '2GiB/s', '--measure');
      assert.equal(measured, true);
      const ids = findings.map(({ id }) => id);
      assert.ok(ids.includes('convergence'));
      assert.ok(!ids.includes('bandwidth-low'));
      const missing = await check('--helper', '/nowhere/fdpass');
      assert.equal(missing.code, 4);
      assert.match(missing.stdout, /helper-missing, this host/);
    });
  }

  it('refuses a machine as its own target, and a rate that is none', async () => {
    await startPair('11.1');
    const same = await runCliProcess(['preflight', source.qmpSocket, source.qmpSocket]);
    assert.equal(same.code, 2);
    assert.equal((await check('--max-bandwidth', 'much')).code, 2);
  });
});
