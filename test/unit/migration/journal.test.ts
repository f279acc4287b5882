import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'mocha';
import {
  parseEntry,
  printEntry,
  type Driver,
  type StampedEntry,
} from '../../../src/migration/run/journal/entries';
import {
  realFiles,
  stateDirectory,
  type JournalFiles,
} from '../../../src/migration/run/journal/files';
import { MachineDrivenError } from '../../../src/migration/run/journal/errors';
import { Journals } from '../../../src/migration/run/journal/journals';
import { identifyMachine, ourselves } from '../../../src/migration/run/journal/processes';
import { Runs } from '../../../src/migration/run/runs';
import type { MigrationRequest, RunOutcome } from '../../../src/migration/run/types';
import { MachineRegistry } from '../../../src/vm/registry';
import { cliBundle } from '../../support/cliProcess';
import { FakeQmpServer } from '../../support/fakeQmpServer';

const idFile = '/etc/machine-id';
const host = (existsSync(idFile) && readFileSync(idFile, 'utf8').trim()) || hostname();

const gone: Driver = {
  pid: 4_000_000,
  startTicks: 1n,
  boot: 'before',
  program: 'a dead one',
  host,
};

const goneQemu = { pid: gone.pid, startTicks: gone.startTicks, boot: gone.boot };

const request: MigrationRequest = {
  source: '/run/a.qmp',
  target: '/run/b.qmp',
  transport: 'fd',
  backendTransfer: 'as-is',
  maxBandwidthBytesPerSecond: 2n ** 64n - 1n,
};

const beginning = (driver: Driver, run = 'r'): StampedEntry => ({
  at: 1,
  kind: 'begin',
  run,
  driver,
  source: { key: 'a', socket: '/run/a.qmp', label: 'a', uuid: 'u', process: goneQemu },
  target: { key: 'b', socket: '/run/b.qmp', label: 'b' },
  request,
  guestRan: true,
});

const completed: RunOutcome = {
  kind: 'completed',
  owner: 'target',
  guestRunning: true,
  sourceError: undefined,
  targetError: undefined,
  totalTimeMs: 1,
  downtimeMs: 2.5,
  transferredBytes: 3,
  headline: 'It runs.',
  details: [],
  nextStep: '',
};

describe('the journal of a run', () => {
  let directory: string;
  let runsDirectory: string;
  let journals: Journals;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'qmj-'));
    runsDirectory = join(directory, 'runs');
    journals = new Journals({ directory, program: 'a test' });
  });

  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const put = (name: string, text: string): void => {
    mkdirSync(runsDirectory, { recursive: true });
    writeFileSync(join(runsDirectory, `${name}.jsonl`), text);
  };
  const lines = (...entries: StampedEntry[]): string =>
    entries.map((entry) => `${printEntry(entry)}\n`).join('');

  it('keeps integers of any size, and what is not known stays unknown', () => {
    const old = 2n ** 64n - 1n;
    const entries: StampedEntry[] = [
      beginning(gone),
      {
        ...{ at: 2, kind: 'loan', loan: 1, side: 'source', always: true },
        what: { type: 'parameter', name: 'max-bandwidth', old, now: 0 },
      },
      { at: 3, kind: 'end', outcome: completed },
    ];
    const read = entries.map((entry) => parseEntry(printEntry(entry)));
    assert.deepEqual(
      read.map((entry) => printEntry(entry)),
      entries.map((entry) => printEntry(entry)),
    );
    const [begin, loan] = read;
    assert.ok(begin?.kind === 'begin' && loan?.kind === 'loan');
    assert.equal(begin.request.maxBandwidthBytesPerSecond, old);
    assert.equal(begin.driver.startTicks, 1n);
    assert.deepEqual(loan.what, { type: 'parameter', name: 'max-bandwidth', old, now: 0 });
    assert.equal(parseEntry(printEntry({ at: 3, kind: 'end', outcome: completed })).at, 3);
  });

  it('is kept where the XDG specification says, or where one is told', () => {
    assert.equal(stateDirectory({ HOME: '/h' }), '/h/.local/state/qemu-migration');
    assert.equal(stateDirectory({ HOME: '/h', XDG_STATE_HOME: '/x' }), '/x/qemu-migration');
    assert.equal(
      stateDirectory({ HOME: '/h', XDG_STATE_HOME: 'relative' }),
      '/h/.local/state/qemu-migration',
    );
    assert.equal(stateDirectory({ XDG_STATE_HOME: '/x', QEMU_MIGRATION_STATE: '/own' }), '/own');
  });

  for (const [what, text] of [
    ['garbage', 'not a journal\n'],
    ['garbage in the middle', `${lines(beginning(gone))}{"v":1,"kind"\n${lines(beginning(gone))}`],
    ['an unknown version', lines(beginning(gone)).replace('"v":1', '"v":2')],
    ['an unknown kind', `${lines(beginning(gone))}{"v":1,"at":1,"kind":"odd"}\n`],
    ['no beginning', lines({ at: 1, kind: 'migrate' })],
    ['nothing', ''],
  ] as const) {
    it(`is reported and set aside when it is damaged: ${what}`, async () => {
      put('bad', text);
      put('good', lines(beginning(gone, 'good')));
      const { runs, damaged } = await journals.list();
      assert.deepEqual(
        runs.map(({ id }) => id),
        ['good'],
      );
      assert.equal(damaged[0]?.path, join(runsDirectory, 'bad.jsonl.damaged'));
      assert.equal(readFileSync(damaged[0].path, 'utf8'), text);
      assert.deepEqual((await journals.list()).damaged, []);
    });
  }

  it('is left alone when another version of the program writes it now', async () => {
    const text = lines(beginning(await ourselves('a newer one'))).replace('"v":1', '"v":2');
    put('newer', text);
    const { damaged } = await journals.list();
    assert.match(damaged[0]?.reason ?? '', /another version \(2\)/);
    assert.equal(readFileSync(join(runsDirectory, 'newer.jsonl'), 'utf8'), text);
  });

  it('is left alone when another host that shares the home directory writes it', async () => {
    put('elsewhere', lines(beginning({ ...gone, host: 'another' })));
    assert.equal((await journals.list()).runs[0]?.drivenBy?.program, 'a dead one');
    await assert.rejects(journals.reopen('elsewhere'), MachineDrivenError);
  });

  it('counts without a last line that was cut, and goes on behind the whole ones', async () => {
    const whole = lines(beginning(gone), { at: 2, kind: 'incoming' });
    put('cut', `${whole}{"v":1,"at":3,"kind":"migr`);
    const [found] = (await journals.list()).runs;
    assert.deepEqual([found?.state.incomingSent, found?.state.migrateSent], [true, false]);
    const { journal } = await journals.reopen('cut');
    await journal.end(completed);
    const text = readFileSync(join(runsDirectory, 'cut.jsonl'), 'utf8');
    assert.ok(text.startsWith(whole));
    assert.equal((await journals.list()).runs[0]?.state.ended, true);
    const aside = readdirSync(runsDirectory).find((name) => name.endsWith('.damaged')) ?? '';
    assert.equal(readFileSync(join(runsDirectory, aside), 'utf8'), '{"v":1,"at":3,"kind":"migr');
  });

  it('is taken over from a dead driver only, and by one only', async () => {
    put('dead', lines(beginning(gone)));
    put('living', lines(beginning(await ourselves('a window'))));
    const { runs } = await journals.list();
    assert.deepEqual(
      runs.map(({ id, drivenBy }) => [id, drivenBy?.program]),
      [
        ['living', 'a window'],
        ['dead', undefined],
      ],
    );
    const { journal } = await journals.reopen('dead');
    await assert.rejects(journals.reopen('dead'), /driven by/);
    await journal.end(completed);
    await assert.rejects(journals.reopen('dead'), /ended/);
    await assert.rejects(journals.reopen('nothing'), /missing/);
  });

  it('keeps the last hundred that ended, and all that did not', async () => {
    const end: StampedEntry = { at: 9, kind: 'end', outcome: completed };
    for (let index = 0; index < 105; index += 1) {
      put(`2020-${String(index).padStart(3, '0')}`, lines(beginning(gone), end));
    }
    put('2019', lines(beginning(gone)));
    put('2021', lines(beginning(gone)));
    const { journal } = await journals.reopen('2021');
    await journal.end(completed);
    const names = readdirSync(runsDirectory).sort();
    assert.equal(names.length, 101);
    assert.deepEqual([names[0], names[1]], ['2019.jsonl', '2020-006.jsonl']);
  });

  it('lets one process at a time have a machine, however many want it and die', async function () {
    this.timeout(120_000);
    const script = await cliBundle('test/support/lockTaker.ts');
    const ends = await Promise.all(
      Array.from({ length: 16 }, async (_, index) => {
        const args = [script, directory, '25', ...(index % 3 === 0 ? ['dies'] : [])];
        const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
        return new Promise<unknown>((resolve) => {
          child.once('close', (code, signal) => resolve(signal ?? code));
        });
      }),
    );
    assert.deepEqual(
      ends,
      Array.from({ length: 16 }, (_, index) => (index % 3 === 0 ? 'SIGKILL' : 0)),
    );
    const lock = await new Journals({ directory, program: 'x' }).list();
    assert.deepEqual(lock.runs, []);
  });

  describe('between two QEMUs', () => {
    let source: FakeQmpServer;
    let target: FakeQmpServer;
    let registry: MachineRegistry;
    let runs: Runs | undefined;

    beforeEach(async () => {
      [source, target] = await Promise.all([
        FakeQmpServer.start({ build: '11.1-stock' }),
        FakeQmpServer.start({ build: '11.1-stock' }),
      ]);
      source.setMigration({});
      source.qemu.status = { status: 'running', running: true };
      target.setMigration({});
      target.qemu.status = { status: 'inmigrate', running: false };
      const store = { load: () => [], save: () => Promise.resolve() };
      registry = new MachineRegistry({ store, procRoot: '/nonexistent' });
      await Promise.all([registry.connect(source.path), registry.connect(target.path)]);
      source.on('migrate', () => {
        source.qemu.status = { status: 'postmigrate', running: false };
        source.setMigration({ status: 'completed' });
        target.qemu.status = { status: 'running', running: true };
        target.setMigration({ status: 'completed' });
        return {};
      });
    });

    afterEach(async () => {
      runs?.dispose();
      registry.dispose();
      await Promise.all([source.stop(), target.stop()]);
    });

    const migrate = (files: JournalFiles): Promise<RunOutcome> => {
      const kept = new Journals({ directory, program: 'a test', files });
      runs = new Runs({ registry, journals: kept, locateHelper: () => assert.fail('not needed') });
      return runs.start({
        ...{ source: source.path, target: target.path, transport: 'unix' as const },
        backendTransfer: 'as-is',
      }).outcome;
    };
    const changing = (): string[] =>
      [source, target].flatMap(({ commands }) =>
        commands.filter((name) => /^migrate|^stop$|^cont$/.test(name)),
      );

    /** A disk that does something else from a certain write on. */
    const diskThat = (
      patch: (real: Awaited<ReturnType<JournalFiles['open']>>) => Partial<typeof real>,
    ): JournalFiles => ({
      ...realFiles,
      open: async (file, which) => {
        const real = await realFiles.open(file, which);
        return file.includes('/locks/') ? real : { ...real, ...patch(real) };
      },
    });

    it('is private, and tells the whole run', async () => {
      const outcome = await migrate(realFiles);
      assert.equal(outcome.kind, 'completed', JSON.stringify(outcome));
      const [run] = (await journals.list()).runs;
      assert.deepEqual(
        [run?.state.ended, run?.state.outcome?.kind, run?.state.begin.source.socket],
        [true, 'completed', source.path],
      );
      assert.equal(statSync(run?.path ?? '').mode & 0o777, 0o600);
      assert.equal(statSync(runsDirectory).mode & 0o777, 0o700);
      assert.deepEqual(readdirSync(join(directory, 'locks')), []);
    });

    it('is on disk before QEMU is told anything', async () => {
      const synced: { readonly kind: string; readonly sent: readonly string[] }[] = [];
      let last = '';
      const outcome = await migrate(
        diskThat((real) => ({
          write: async (text) => {
            last = text;
            await real.write(text);
          },
          sync: async () => {
            await real.sync();
            synced.push({ kind: parseEntry(last.trim()).kind, sent: changing() });
          },
        })),
      );
      assert.equal(outcome.kind, 'completed', JSON.stringify(outcome));
      const at = (kind: string): readonly string[] =>
        synced.find((entry) => entry.kind === kind)?.sent ?? assert.fail(`${kind} was not synced`);
      assert.deepEqual(at('begin'), []);
      assert.deepEqual(at('loan'), []);
      assert.ok(!at('incoming').includes('migrate-incoming'));
      assert.ok(at('migrate').includes('migrate-incoming'));
      assert.ok(!at('migrate').includes('migrate'));
      assert.ok(at('end').includes('migrate'));
    });

    it('refuses the run when it cannot be begun; nothing is sent', async () => {
      const full = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
      const outcome = await migrate(diskThat(() => ({ write: () => Promise.reject(full) })));
      assert.equal(outcome.kind, 'refused');
      assert.match(outcome.details.join(' '), /cannot keep its journal.*no space left/);
      assert.deepEqual(changing(), []);
      assert.deepEqual(readdirSync(runsDirectory), []);
      assert.deepEqual(readdirSync(join(directory, 'locks')), []);
    });

    it('refuses the run when its folder cannot be made', async () => {
      rmSync(directory, { recursive: true });
      writeFileSync(directory, '');
      const outcome = await migrate(realFiles);
      assert.equal(outcome.kind, 'refused');
      assert.match(outcome.details.join(' '), /cannot keep its journal/);
      assert.deepEqual(changing(), []);
    });

    it('does not hold up the run when the disk is full in the middle, and says so', async () => {
      let writes = 0;
      const outcome = await migrate(
        diskThat((real) => ({
          write: async (text) => {
            writes += 1;
            if (writes !== 3 && writes !== 4) return real.write(text);
            // As a disk does it that has room for a part.
            await real.write(text.slice(0, 10));
            throw new Error('ENOSPC: no space left on device');
          },
        })),
      );
      assert.deepEqual([outcome.kind, outcome.owner], ['completed', 'target']);
      assert.match(outcome.details.join(' '), /journal of this run .* incomplete: ENOSPC/);
      const { runs: listed, damaged } = await journals.list();
      assert.deepEqual(damaged, []);
      assert.deepEqual([listed[0]?.state.incomplete, listed[0]?.state.ended], [true, true]);
    });

    it('does not hold up the run when the disk does not answer any more', async function () {
      this.timeout(20_000);
      let syncs = 0;
      const outcome = await migrate(
        diskThat((real) => ({
          sync: () => (++syncs > 1 ? new Promise(() => undefined) : real.sync()),
        })),
      );
      assert.deepEqual([outcome.kind, outcome.owner], ['completed', 'target']);
      assert.match(outcome.details.join(' '), /incomplete: the disk does not answer/);
    });

    it('forbids a new run while one of the same machine is unfinished', async () => {
      const begin = beginning(gone);
      assert.ok(begin.kind === 'begin');
      const { snapshot } = registry.get(source.path) ?? assert.fail();
      const at = await identifyMachine(snapshot);
      put('20200101T000000-abcdef', lines({ ...begin, source: at }));
      const outcome = await migrate(realFiles);
      assert.equal(outcome.kind, 'refused');
      assert.match(outcome.nextStep, /resume 20200101T000000-abcdef/);
      assert.deepEqual(changing(), []);
      assert.deepEqual(readdirSync(join(directory, 'locks')), []);
    });
  });
});
