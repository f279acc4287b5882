import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '../../scripts/lib/processes';
import {
  provisionQemu,
  startQemu,
  verifyGuestMemory,
  type QemuOptions,
  type QemuProcess,
  type QemuVersionName,
} from '../../scripts/lib/qemu';
import { locateHelper } from '../../src/fdpass/locate';
import { preflight } from '../../src/migration/preflight/preflight';
import { discardSaved } from '../../src/migration/run/oneSided/savedGuest';
import { notePathOf, readNote } from '../../src/migration/run/oneSided/savedNote';
import { readStateHeader } from '../../src/migration/run/oneSided/stateHeader';
import { Journals } from '../../src/migration/run/journal/journals';
import { Runs, type Run } from '../../src/migration/run/runs';
import type {
  MigrationRequest,
  RunOptions,
  RunOutcome,
  RunRecord,
} from '../../src/migration/run/types';
import { devicePermissions } from '../../src/migration/settings/backendTransfer';
import { MachineRegistry } from '../../src/vm/registry';
import { helperDirectory } from '../support/pair';
import { dieAt } from '../support/dieAt';

const versions: readonly QemuVersionName[] = ['10.0', '11.1'];

for (const version of versions) {
  describe(`saving a guest to a file and restoring it, QEMU ${version}`, () => {
    let temporary: ReturnType<typeof temporaryDirectory>;
    let directory: string;
    let registry: MachineRegistry;
    let runs: Runs;
    let journals: Journals;
    let started: QemuProcess[];
    let file: string;

    const start = async (
      name: string,
      options: Partial<QemuOptions> = {},
    ): Promise<QemuProcess> => {
      const build = await provisionQemu(version);
      const qemu = await startQemu({
        ...{ build, name, directory, memoryMiB: 128, guest: 'dirtying' },
        ...options,
      });
      started.push(qemu);
      await registry.connect(qemu.qmpSocket);
      return qemu;
    };
    const startSource = async (options: Partial<QemuOptions> = {}): Promise<QemuProcess> => {
      const qemu = await start('source', options);
      await qemu.waitForRounds(1);
      return qemu;
    };
    const startTarget = (options: Partial<QemuOptions> = {}, name = 'target') =>
      start(name, { ...options, incoming: true });

    const request = (
      method: 'save' | 'cpr-reboot' | 'restore',
      qemu: QemuProcess,
      { options, ...patch }: Partial<MigrationRequest> = {},
    ): MigrationRequest => ({
      source: qemu.qmpSocket,
      target: qemu.qmpSocket,
      method,
      transport: 'fd',
      backendTransfer: 'as-is',
      options: { ...options, file: { path: file, ...options?.file } },
      ...patch,
    });
    const finish = (run: Run): Promise<RunOutcome> => run.outcome;
    const save = (qemu: QemuProcess, patch?: Partial<MigrationRequest>): Promise<RunOutcome> =>
      finish(runs.start(request('save', qemu, patch)));
    const restore = (qemu: QemuProcess, patch?: Partial<MigrationRequest>): Promise<RunOutcome> =>
      finish(runs.start(request('restore', qemu, patch)));

    const settingsOf = async (qemu: QemuProcess): Promise<unknown> => [
      await qemu.probe('query-migrate-parameters'),
      await qemu.probe('query-migrate-capabilities'),
    ];
    const nothingLeft = async (): Promise<void> => {
      const names = await readdir(directory);
      assert.deepEqual(
        names.filter((name) => name.startsWith('guest.state')),
        [],
      );
    };
    const runsOn = async (qemu: QemuProcess): Promise<void> => {
      assert.equal(await qemu.guestStatus(), 'running');
      await qemu.waitForRounds(1);
      await verifyGuestMemory(qemu);
    };
    const whileTransferring = (run: Run): Promise<RunRecord> =>
      new Promise((resolve) => {
        const listening = run.onDidChange((record) => {
          const { progress, outcome } = record;
          const isThere = progress.phase === 'transfer' && progress.status !== undefined;
          if (!isThere && outcome === undefined) return;
          listening.dispose();
          resolve(record);
        });
      });

    const newRuns = (): Runs =>
      new Runs({
        registry,
        journals,
        locateHelper: () =>
          locateHelper({
            bundledDirectory: helperDirectory,
            platform: process.platform,
            arch: process.arch,
          }),
      });

    before(async function () {
      this.timeout(300_000);
      await provisionQemu(version);
    });

    beforeEach(() => {
      temporary = temporaryDirectory('save');
      directory = temporary.path;
      file = join(directory, 'guest.state');
      started = [];
      registry = new MachineRegistry({
        store: { load: () => [], save: () => Promise.resolve() },
        devicePermissions,
      });
      journals = new Journals({ directory: join(directory, 'state'), program: 'a test' });
      runs = newRuns();
    });

    afterEach(async () => {
      runs.dispose();
      registry.dispose();
      for (const qemu of started) await qemu.stop();
      await temporary.remove();
    });

    const roundTrip = async (
      options: RunOptions,
      capabilities: readonly string[],
    ): Promise<void> => {
      const source = await startSource();
      const before = await settingsOf(source);
      const saved = await save(source, { options });
      assert.equal(saved.kind, 'completed', saved.details.join(' '));
      assert.equal(saved.owner, 'file');
      assert.equal(saved.guestRunning, false);
      assert.match(saved.headline, /guest\.state/);
      assert.equal(await source.guestStatus(), 'postmigrate');
      assert.deepEqual(await settingsOf(source), before);
      assert.deepEqual(await source.probe('query-fdsets'), []);
      const { rounds } = await verifyGuestMemory(source);
      assert.equal((await stat(file)).mode & 0o777, 0o600);
      assert.equal((await stat(notePathOf(file))).mode & 0o777, 0o600);
      const read = await readNote(file);
      assert.equal(read.kind, 'read');
      assert.deepEqual(read.note.capabilities, capabilities);
      const header = await readStateHeader(file);
      assert.deepEqual(header, {
        kind: 'qemu',
        machineType: source.build.machine,
        capabilities: capabilities.filter((name) => name !== 'multifd'),
      });

      const target = await startTarget();
      const untouched = await settingsOf(target);
      // What the file needs is known from its note.
      const passDescriptor = options.file?.passDescriptor === true;
      const restored = await restore(target, {
        options: { file: { path: file, passDescriptor } },
      });
      assert.equal(restored.kind, 'completed', restored.details.join(' '));
      assert.equal(restored.owner, 'target');
      assert.equal(restored.guestRunning, true);
      assert.match(restored.details.join(' '), /source still holds a stopped copy/);
      await runsOn(target);
      assert.ok((await verifyGuestMemory(target)).rounds > rounds);
      assert.deepEqual(await settingsOf(target), untouched);
      assert.deepEqual(await target.probe('query-fdsets'), []);
    };

    it('brings the guest back with all of its memory', () => roundTrip({}, []));

    it('does so with mapped-ram', () =>
      roundTrip({ file: { path: file, mappedRam: true } }, ['mapped-ram']));

    it('does so with mapped-ram and several channels', () =>
      roundTrip({ multifdChannels: 3, file: { path: file, mappedRam: true } }, [
        'mapped-ram',
        'multifd',
      ]));

    it('does so with a descriptor in place of the path', () =>
      roundTrip({ file: { path: file, passDescriptor: true } }, []));

    it('hands a descriptor over although direct I/O is on, of which QEMU would die', async () => {
      const source = await startSource();
      await source.probe('migrate-set-parameters', { 'direct-io': true });
      const options = {
        multifdChannels: 2,
        file: { path: file, mappedRam: true, passDescriptor: true },
      };
      assert.equal((await save(source, { options })).kind, 'completed');
      const parameters = await source.probe('query-migrate-parameters');
      assert.equal((parameters as { 'direct-io': boolean })['direct-io'], true);
      const target = await startTarget();
      assert.equal((await restore(target)).kind, 'completed');
      await runsOn(target);
    });

    it('leaves shared memory in its own file for a restart of the host', async () => {
      const memory = join(directory, 'memory');
      const extraArgs = [
        ...['-object', `memory-backend-file,id=ram0,size=128M,mem-path=${memory},share=on`],
        ...['-machine', 'memory-backend=ram0'],
      ];
      const source = await startSource({ extraArgs });
      const options = { ignoreShared: true };
      const saved = await finish(runs.start(request('cpr-reboot', source, { options })));
      assert.equal(saved.kind, 'completed', saved.details.join(' '));
      assert.ok((await stat(file)).size < 4 * 1024 * 1024);
      assert.match(saved.details.join(' '), /Memory that is shared/);
      await source.stop();
      const target = await startTarget({ extraArgs });
      const restored = await restore(target);
      assert.equal(restored.kind, 'completed', restored.details.join(' '));
      await runsOn(target);
    });

    it('keeps a paused guest paused', async () => {
      const source = await startSource();
      await source.probe('stop');
      assert.equal((await save(source)).kind, 'completed');
      await source.stop();
      const target = await startTarget();
      const restored = await restore(target);
      assert.deepEqual([restored.kind, restored.guestRunning], ['completed', false]);
      assert.equal(await target.guestStatus(), 'paused');
    });

    it('saves although return-path was on, which no file has', async () => {
      const source = await startSource();
      const capabilities = [{ capability: 'return-path', state: true }];
      await source.probe('migrate-set-capabilities', { capabilities });
      const before = await settingsOf(source);
      assert.equal((await save(source)).kind, 'completed');
      assert.deepEqual(await settingsOf(source), before);
    });

    it('does not stand still before its end although pause-before-switchover was on', async () => {
      const source = await startSource();
      const capabilities = [{ capability: 'pause-before-switchover', state: true }];
      await source.probe('migrate-set-capabilities', { capabilities });
      const before = await settingsOf(source);
      const outcome = await save(source);
      assert.equal(outcome.kind, 'completed', outcome.details.join(' '));
      assert.deepEqual(await settingsOf(source), before);
    });

    for (const method of ['save', 'cpr-reboot'] as const) {
      it(`lets the guest run on when ${method} is cancelled, and leaves nothing behind`, async () => {
        const source = await startSource();
        const before = await settingsOf(source);
        const slow = { maxBandwidthBytesPerSecond: 1_000_000n };
        const run = runs.start(request(method, source, slow));
        await whileTransferring(run);
        run.cancel();
        const outcome = await run.outcome;
        assert.deepEqual(
          [outcome.kind, outcome.owner, outcome.guestRunning],
          ['cancelled', 'source', true],
        );
        await runsOn(source);
        await nothingLeft();
        assert.deepEqual(await settingsOf(source), before);
        assert.equal((await save(source)).kind, 'completed');
      });
    }

    it('says that the guest is lost when QEMU is killed in the middle', async () => {
      const source = await startSource();
      const run = runs.start(request('save', source, { maxBandwidthBytesPerSecond: 1_000_000n }));
      await whileTransferring(run);
      source.kill('SIGKILL');
      const outcome = await run.outcome;
      assert.deepEqual([outcome.kind, outcome.owner], ['failed', 'nobody']);
      const refused = await restore(await startTarget());
      assert.equal(refused.kind, 'refused');
      // QEMU may not have written anything yet.
      assert.match(refused.details.join(' '), /may not be whole|does not begin as/);
    });

    it('lets the guest run on when the disk is full', async () => {
      // Only root may mount.
      const small = join(directory, 'small');
      await mkdir(small);
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', small]);
      try {
        const source = await startSource();
        const path = join(small, 'guest.state');
        const options = { file: { path } };
        const refused = await save(source, { options });
        assert.match(refused.details.join(' '), /of memory, and .* left/);
        const force = { reason: 'to see what becomes of it' };
        const outcome = await save(source, { options, force });
        assert.deepEqual(
          [outcome.kind, outcome.owner, outcome.guestRunning],
          ['failed', 'source', true],
        );
        assert.match(outcome.details.join(' '), /No space left on device|Input\/output error/);
        await runsOn(source);
        assert.deepEqual(await readdir(small), []);
      } finally {
        for (const qemu of started) await qemu.stop();
        execFileSync('umount', [small]);
      }
    });

    it('never overwrites a file, and leaves one alone that it cannot make', async () => {
      const source = await startSource();
      await writeFile(file, 'precious');
      const refused = await save(source);
      assert.equal(refused.kind, 'refused');
      assert.match(refused.details.join(' '), /is there already/);
      assert.equal(await readFile(file, 'utf8'), 'precious');
      const path = join(directory, 'nowhere', 'guest.state');
      const nowhere = await save(source, { options: { file: { path } } });
      assert.equal(nowhere.kind, 'refused');
      await runsOn(source);
    });

    /** What the check before a restore says, with whether a person may overrule it. */
    const blocks = async (qemu: QemuProcess): Promise<Readonly<Record<string, boolean>>> => {
      const machine = registry.get(qemu.qmpSocket) ?? assert.fail('it is connected');
      const { findings } = await preflight(machine, machine, request('restore', qemu), {
        ...{ journals, machineAt: (id) => registry.get(id) },
        locateHelper: () => assert.fail('QEMU opens the file itself'),
      });
      return Object.fromEntries(
        findings
          .filter(({ level }) => level === 'blocks')
          .map(({ id, subject, canBeOverruled }) => [
            `${id} ${subject ?? ''}`.trim(),
            canBeOverruled ?? false,
          ]),
      );
    };

    it('restores into nothing what still runs, was restored, or is cut', async () => {
      const source = await startSource();
      assert.equal((await save(source)).kind, 'completed');
      await source.probe('cont');
      const target = await startTarget();
      const untouched = await settingsOf(target);
      const twice = await restore(target, { force: { reason: 'I want it' } });
      assert.equal(twice.kind, 'refused');
      assert.match(twice.details.join(' '), /it would be there twice/);
      assert.deepEqual(await blocks(target), { 'saved-guest-there source': false });
      assert.equal(await target.guestStatus(), 'inmigrate');
      assert.deepEqual(await settingsOf(target), untouched);
      await source.stop();

      assert.equal((await restore(target)).kind, 'completed');
      const second = await startTarget({}, 'second');
      const again = await restore(second, { force: { reason: 'I want it' } });
      assert.match(again.details.join(' '), /was restored into, still has it/);
      await target.stop();
      assert.match((await restore(second)).details.join(' '), /was restored before/);
      assert.deepEqual(await blocks(second), { 'restored-before target': true });

      await truncate(file, 3_000_000);
      const cut = await restore(second, { force: { reason: 'let us see' } });
      assert.deepEqual([cut.kind, cut.owner], ['failed', 'file']);
      assert.match(cut.nextStep, /Quit second/);
      assert.equal((await stat(file)).size, 3_000_000);
    });

    it('knows where it was restored although its note is gone, or it has another name', async () => {
      const source = await startSource();
      assert.equal((await save(source)).kind, 'completed');
      await source.stop();
      const [first, second] = [await startTarget({}, 'first'), await startTarget({}, 'second')];
      const both = await Promise.all([
        restore(first),
        newRuns().start(request('restore', second)).outcome,
      ]);
      assert.deepEqual(both.map(({ kind }) => kind).sort(), ['completed', 'refused']);
      const waiting = both[0].kind === 'refused' ? first : second;

      const link = join(directory, 'latest');
      await symlink(file, link);
      const byLink = await restore(waiting, { options: { file: { path: link } } });
      assert.match(byLink.details.join(' '), /was restored into, still has it/);
      await rm(notePathOf(file));
      const byNothing = await restore(waiting, { force: { reason: 'I want it' } });
      assert.match(byNothing.details.join(' '), /was restored into, still has it/);
      assert.equal(await waiting.guestStatus(), 'inmigrate');
    });

    it('lets the guest run on once its file is thrown away, and not before', async () => {
      const source = await startSource();
      assert.equal((await save(source)).kind, 'completed');
      const machine = registry.get(source.qmpSocket);
      assert.ok(machine !== undefined);
      await discardSaved(machine, file);
      await nothingLeft();
      await runsOn(source);
      await assert.rejects(discardSaved(machine, file), /does not hold a guest/);
    });

    it('does not let it run on once it was restored elsewhere', async () => {
      const source = await startSource();
      assert.equal((await save(source)).kind, 'completed');
      assert.equal((await restore(await startTarget())).kind, 'completed');
      const machine = registry.get(source.qmpSocket);
      assert.ok(machine !== undefined);
      await assert.rejects(discardSaved(machine, file), /was restored into target/);
      assert.equal(await source.guestStatus(), 'postmigrate');
    });

    describe('when its program is killed', () => {
      const takeUp = async (): Promise<RunOutcome> => {
        const { runs: listed } = await journals.list();
        const [left] = listed.filter(({ state }) => !state.ended);
        assert.ok(left !== undefined);
        const run = await runs.recover(left.id, (socket) => registry.attach(socket));
        return run.outcome;
      };
      const begin = (wanted: MigrationRequest, entry: string): Promise<void> =>
        dieAt({ state: join(directory, 'state'), request: wanted, entry, helperDirectory });
      /** The dying driver needs the monitor for itself. */
      const aside = async (...qemus: readonly QemuProcess[]): Promise<void> => {
        for (const { qmpSocket } of qemus) await registry.remove(qmpSocket);
      };

      for (const entry of ['"kind":"loan"', '"made":', '"kind":"migrate"']) {
        it(`takes back what was prepared, at ${entry}`, async () => {
          const source = await startSource();
          const before = await settingsOf(source);
          await aside(source);
          const options = { file: { path: file, mappedRam: true, passDescriptor: true } };
          await begin(request('save', source, { options }), entry);
          const outcome = await takeUp();
          assert.deepEqual(
            [outcome.kind, outcome.owner, outcome.guestRunning],
            ['failed', 'source', true],
          );
          await runsOn(source);
          await nothingLeft();
          assert.deepEqual(await settingsOf(source), before);
          assert.deepEqual(await source.probe('query-fdsets'), []);
        });
      }

      it('carries a save on to its end', async () => {
        const source = await startSource();
        const before = await settingsOf(source);
        await aside(source);
        await begin(request('save', source), '"kind":"phase","phase":"transfer"');
        const outcome = await takeUp();
        assert.deepEqual([outcome.kind, outcome.owner], ['completed', 'file']);
        assert.deepEqual(await settingsOf(source), before);
        const target = await startTarget();
        assert.equal((await restore(target)).kind, 'completed');
        await runsOn(target);
      });

      it('knows the end of a save whose QEMU was quit since', async () => {
        const source = await startSource();
        await aside(source);
        await begin(request('save', source), '"kind":"loan-end"');
        await source.stop();
        const outcome = await takeUp();
        assert.deepEqual([outcome.kind, outcome.owner], ['completed', 'file']);
      });

      for (const entry of ['"kind":"loan"', '"kind":"incoming"']) {
        it(`leaves the target of a restore as good as new, at ${entry}`, async () => {
          const source = await startSource();
          assert.equal((await save(source)).kind, 'completed');
          await source.stop();
          const target = await startTarget();
          const untouched = await settingsOf(target);
          await aside(target);
          await begin(request('restore', target), entry);
          const outcome = await takeUp();
          assert.deepEqual([outcome.kind, outcome.owner], ['failed', 'file']);
          assert.deepEqual(await settingsOf(target), untouched);
          assert.equal((await restore(target)).kind, 'completed');
          await runsOn(target);
        });
      }

      it('carries a restore on to its end', async () => {
        const source = await startSource();
        assert.equal((await save(source)).kind, 'completed');
        await source.stop();
        const target = await startTarget();
        await aside(target);
        await begin(request('restore', target), '"kind":"phase","phase":"transfer"');
        const outcome = await takeUp();
        assert.deepEqual([outcome.kind, outcome.owner], ['completed', 'target']);
        await runsOn(target);
      });
    });
  });
}
