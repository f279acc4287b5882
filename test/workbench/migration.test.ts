import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { commands, LogLevel, type LogOutputChannel } from 'vscode';
import { methodOffers } from '../../src/migration/methods/offers';
import type { MethodName, OutcomeKind, RunOutcome, RunRecord } from '../../src/migration/run/types';
import { CommandId } from '../../src/ui/ids';
import { MigrationQuestions } from '../../src/ui/commands/migrationQuestions';
import { LastFile } from '../../src/ui/lastFile';
import { MigrationReporter } from '../../src/ui/migrationReporter';
import { back } from '../../src/ui/prompts';
import type { MachineSnapshot } from '../../src/vm/types';
import { Bench, eventually, memento, nobody } from './support/extension';
import { FakeRun } from './support/fakeRun';
import { ScriptedPrompts } from './support/scriptedPrompts';

describe('questions before a migration', () => {
  let bench: Bench;

  before(async () => {
    bench = await Bench.open();
  });
  afterEach(() => bench.clear());
  after(() => bench.close());

  async function pair() {
    const source = await bench.server({ build: 'local' });
    const target = await bench.server({ build: 'local' });
    target.qemu.status = { status: 'inmigrate', running: false };
    await commands.executeCommand(CommandId.connect, source.path);
    await commands.executeCommand(CommandId.connect, target.path);
    return { source, target };
  }

  function askFor(
    method: MethodName | undefined,
    prompts: ScriptedPrompts,
    source: string | undefined,
  ) {
    const questions = new MigrationQuestions(bench.access.registry, prompts, nobody);
    return questions.ask(source, 'fd', method);
  }

  function ask(prompts: ScriptedPrompts, source: string | undefined) {
    return askFor(undefined, prompts, source);
  }

  /** The label under which a machine is offered; the fakes have the same name, so by its path. */
  function offered(prompts: ScriptedPrompts, index: number) {
    return (prompts.offered[index] ?? []).map(({ value, refusal }) => [
      value,
      refusal === undefined,
    ]);
  }

  it('asks for target, way, backend transfer and speed, counting the steps', async () => {
    const { source, target } = await pair();
    const prompts = new ScriptedPrompts()
      .willPick('Pre-copy')
      .willPick(labelOf(bench, target.path))
      .willPick('Passed descriptors')
      .willPick('On for both sides')
      .willPick('No limit');
    const request = await ask(prompts, source.path);
    assert.deepEqual(request, {
      source: source.path,
      target: target.path,
      transport: 'fd',
      backendTransfer: 'on',
      maxBandwidthBytesPerSecond: 0n,
    });
    assert.deepEqual(
      prompts.picks.map(({ step }) => [step?.number, step?.back]),
      [
        [1, false],
        [2, true],
        [3, true],
        [4, true],
        [5, true],
      ],
    );
    assert.equal(prompts.picks.at(-1)?.step?.total, 5);
    assert.match(prompts.picks.at(-1)?.placeholder ?? '', /starts the migration/);
  });

  it('asks for the source first when none is given, and says why others cannot move', async () => {
    const { source, target } = await pair();
    const prompts = new ScriptedPrompts().willPick(labelOf(bench, source.path)).willPick(undefined);
    assert.equal(await ask(prompts, undefined), undefined);
    assert.deepEqual(offered(prompts, 0), [
      [source.path, true],
      [target.path, false],
    ]);
  });

  it('goes back a step and keeps what was answered', async () => {
    const { source, target } = await pair();
    const prompts = new ScriptedPrompts()
      .willPick('Pre-copy')
      .willPick(labelOf(bench, target.path))
      .willPick('UNIX socket')
      .willPick(back)
      .willPick('UNIX socket')
      .willPick('Off for both sides')
      .willPick('Keep');
    const request = await ask(prompts, source.path);
    assert.equal(prompts.picks[4]?.active, 'unix');
    assert.deepEqual(request, {
      source: source.path,
      target: target.path,
      transport: 'unix',
      backendTransfer: 'as-is',
    });
  });

  it('lists the methods that are not offered with the reason, and takes none of them', async () => {
    const { source } = await pair();
    const prompts = new ScriptedPrompts().willPick(undefined);
    assert.equal(await ask(prompts, source.path), undefined);
    const items = prompts.offered[0] ?? [];
    assert.deepEqual([items[0]?.label, items[0]?.refusal], ['Pre-copy', undefined]);
    assert.equal(prompts.picks[0]?.active, 'precopy');
    assert.equal(items.length, 8);
    const offers = methodOffers(snapshotAt(bench, source.path));
    for (const { method, why } of offers) {
      assert.equal(items.find(({ value }) => value === method)?.refusal ?? '', why, method);
    }
    const firstRefused = items.findIndex(({ refusal }) => refusal !== undefined);
    const rest = firstRefused === -1 ? [] : items.slice(firstRefused);
    assert.ok(rest.every(({ refusal, group }) => refusal && group === 'not possible here'));
  });

  it('asks when postcopy is to begin, and goes on without a word where it is by hand', async () => {
    const { source, target } = await pair();
    const until = (start: string) =>
      new ScriptedPrompts()
        .willPick('Postcopy')
        .willPick(labelOf(bench, target.path))
        .willPick(start);
    const rest = (prompts: ScriptedPrompts) =>
      prompts.willPick('UNIX socket').willPick('Off for both').willPick('Keep');
    const first = await ask(rest(until('After the first pass')), source.path);
    assert.deepEqual(first?.options, { postcopyAfterPass: 1 });
    assert.equal(first.method, 'postcopy');
    const later = rest(until('After a later pass').willType('0', '3'));
    assert.deepEqual((await ask(later, source.path))?.options, { postcopyAfterPass: 3 });
    assert.equal(later.problems.length, 1);
    assert.equal((await ask(rest(until('By hand')), source.path))?.options, undefined);
  });

  it('asks for options only where they are wanted, and checks their figures', async () => {
    const { source, target } = await pair();
    const prompts = new ScriptedPrompts()
      .willPick('Pre-copy')
      .willPick(labelOf(bench, target.path))
      .willPick('With options...')
      .willPickMany('Hold the switchover', 'Guard of the', 'Longest pause', 'Several channels')
      .willType('much', '0.4 s')
      .willType('0', '8')
      .willPick('Off')
      .willPick('UNIX socket')
      .willPick('Off for both')
      .willPick('Keep');
    const request = await ask(prompts, source.path);
    assert.deepEqual(request?.options, {
      holdSwitchover: true,
      guardSwitchover: false,
      downtimeLimitMs: 400,
      multifdChannels: 8,
    });
    assert.equal(prompts.problems.length, 2);
    const transports = prompts.offered.at(-3) ?? [];
    assert.match(transports.find(({ value }) => value === 'fd')?.refusal ?? '', /one pair/);
    const options = transports.find(({ value }) => value === 'options');
    assert.match(options?.description ?? '', /held.*400 ms.*8 channels/);
    const list = prompts.offered.find((items) => items.some(({ value }) => value === 'preempt'));
    assert.match(list?.find(({ value }) => value === 'preempt')?.refusal ?? '', /postcopy/);
  });

  it('takes a TCP address only with consent to send in the clear', async () => {
    const { source, target } = await pair();
    const prompts = new ScriptedPrompts()
      .willPick('Pre-copy')
      .willPick(labelOf(bench, target.path))
      .willPick('TCP')
      .willType('nowhere', '10.0.0.2:4444', '10.0.0.3:4444')
      .willConfirm(false)
      .willConfirm(true)
      .willPick('Keep');
    const request = await ask(prompts, source.path);
    assert.equal(request?.transport, 'tcp');
    assert.deepEqual(request.options, {
      tcp: { listen: '10.0.0.3:4444' },
      plainTcpConsent: true,
    });
    assert.equal(prompts.problems.length, 2);
    assert.match(prompts.problems[0] ?? '', /HOST:PORT/);
    assert.match(prompts.confirmations[0]?.detail ?? '', /10\.0\.0\.2:4444/);
  });

  it('sends over TCP without a question where both sides have TLS', async () => {
    const { source, target } = await pair();
    for (const { qemu, path } of [source, target]) {
      qemu.parameters = { ...qemu.parameters, 'tls-creds': 'tls0' };
      await bench.access.registry.get(path)?.refresh();
    }
    const prompts = new ScriptedPrompts()
      .willPick('Pre-copy')
      .willPick(labelOf(bench, target.path))
      .willPick('TCP')
      .willType('10.0.0.2:4444')
      .willPick('Keep');
    const request = await ask(prompts, source.path);
    assert.deepEqual(request?.options, { tcp: { listen: '10.0.0.2:4444' } });
  });

  it('saves beside the socket unless told, and says at the field what the run would refuse', async () => {
    const { source } = await pair();
    const folder = dirname(source.path);
    const taken = join(folder, 'taken.guest');
    await writeFile(taken, 'the only copy of a guest');
    const free = join(folder, 'free.guest');
    const prompts = new ScriptedPrompts();
    if (methodOffersLayout(bench, source.path)) prompts.willPick('A place for each page');
    prompts.willType('free.guest', `${folder}/nowhere/free.guest`, taken, `${folder}/`, free);
    const request = await askFor('save', prompts, source.path);
    assert.equal(dirname(prompts.inputs[0]?.value ?? ''), folder);
    const said = [/absolute path/, /no folder/, /is there already/, /name of the file/];
    assert.equal(prompts.problems.length, said.length);
    said.forEach((words, index) => assert.match(prompts.problems[index] ?? '', words));
    assert.deepEqual([request?.source, request?.target], [source.path, source.path]);
    assert.equal(request?.method, 'save');
    assert.equal(request.options?.file?.path, free);
    // What was refused is as it was.
    assert.equal(await readFile(taken, 'utf8'), 'the only copy of a guest');
  });

  it('proposes a name that is free, in the folder of the last file', async () => {
    const { source } = await pair();
    const folder = dirname(source.path);
    const lastFile = new LastFile(memento());
    const proposed = async (): Promise<string | undefined> => {
      const prompts = new ScriptedPrompts();
      if (methodOffersLayout(bench, source.path)) prompts.willPick('A stream');
      await new MigrationQuestions(
        bench.access.registry,
        prompts.willType(),
        nobody,
        undefined,
        lastFile,
      ).ask(source.path, 'fd', 'save');
      return prompts.inputs[0]?.value;
    };
    const first = (await proposed()) ?? '';
    await writeFile(first, '');
    assert.notEqual(await proposed(), first);
    const other = join(folder, 'other');
    await mkdir(other);
    await lastFile.remember(join(other, 'db.guest'));
    assert.equal(dirname((await proposed()) ?? ''), other);
  });

  it('takes the folder that was browsed for, and leaves the name', async () => {
    const { source } = await pair();
    const folder = join(dirname(source.path), 'browsed');
    await mkdir(folder);
    const typed = join(dirname(source.path), 'mine.guest');
    const prompts = new ScriptedPrompts();
    if (methodOffersLayout(bench, source.path)) prompts.willPick('A stream');
    prompts.willType({ text: typed, press: 'Browse' }).willChoosePlace(folder).willType();
    assert.equal(await askFor('save', prompts, source.path), undefined);
    assert.deepEqual(
      prompts.places.map(({ kind, folder: begins }) => [kind, begins]),
      [['folder', dirname(source.path)]],
    );
    assert.equal(prompts.inputs[1]?.value, join(folder, 'mine.guest'));
  });

  it('restores into a QEMU that waits, and into no other', async () => {
    const { source, target } = await pair();
    const prompts = new ScriptedPrompts().willPick(undefined);
    await askFor('restore', prompts, undefined);
    assert.deepEqual(offered(prompts, 0), [
      [target.path, true],
      [source.path, false],
    ]);
    await commands.executeCommand(CommandId.restoreGuest, source.path);
    assert.equal(bench.prompts.onlyMessage.severity, 'warning');
  });

  it('executes no program without consent, which Enter alone does not give', async () => {
    const { source } = await pair();
    const program = '/opt/qemu/bin/qemu-system-x86_64';
    const prompts = new ScriptedPrompts().willType('qemu', program).willPick('Do Not Execute');
    assert.equal(await askFor('cpr-exec', prompts, source.path), undefined);
    assert.equal(prompts.problems.length, 1);
    const [safe, execute] = prompts.offered[0] ?? [];
    assert.equal(safe?.label, 'Do Not Execute');
    assert.equal(execute?.detail, program);
    const agreed = new ScriptedPrompts().willType(program).willPick('Execute qemu');
    const request = await askFor('cpr-exec', agreed, source.path);
    assert.equal(request?.options?.execCommand?.[0], program);
  });

  it('offers for a live update machines that do not answer yet, with a socket of their own', async () => {
    const { source, target } = await pair();
    const { path: waiting } = await bench.server({ build: 'local' });
    await commands.executeCommand(CommandId.connect, waiting);
    await bench.access.registry.disconnect(waiting);
    const prompts = new ScriptedPrompts()
      .willPick(labelOf(bench, waiting))
      .willType('cpr.sock', '/run/vm/cpr.sock')
      .willPick('UNIX socket');
    const request = await askFor('cpr-transfer', prompts, source.path);
    assert.deepEqual(offered(prompts, 0).slice(0, 2), [
      [waiting, true],
      [target.path, false],
    ]);
    assert.equal(request?.transport, 'unix');
    assert.deepEqual(request.options, { cprSocket: '/run/vm/cpr.sock' });
  });

  it('says why a machine cannot move before it asks anything', async () => {
    const { target } = await pair();
    await commands.executeCommand(CommandId.migrate, target.path);
    assert.equal(bench.prompts.onlyMessage.severity, 'warning');
    assert.deepEqual(bench.prompts.asked, []);
  });

  it('has nothing to cancel when nothing runs', async () => {
    const { source } = await pair();
    await commands.executeCommand(CommandId.cancelMigration, source.path);
    assert.equal(bench.prompts.onlyMessage.severity, 'information');
  });
});

function snapshotAt(bench: Bench, id: string): MachineSnapshot {
  const machine = bench.access.registry.get(id);
  assert.ok(machine);
  return machine.snapshot;
}

function methodOffersLayout(bench: Bench, id: string): boolean {
  const { facts } = snapshotAt(bench, id);
  return facts?.capabilities.some(({ name }) => name === 'mapped-ram') === true;
}

function labelOf(bench: Bench, id: string): string {
  return bench.api.machines().find((machine) => machine.id === id)?.label ?? '';
}

describe('report of a migration', () => {
  const lines: string[] = [];
  const log = {
    logLevel: LogLevel.Info,
    info: (line: string) => lines.push(line),
    show: () => undefined,
  } as unknown as LogOutputChannel;

  const shown: RunRecord[] = [];
  const details = {
    show: (record: RunRecord) => {
      shown.push(record);
      return Promise.resolve();
    },
  };

  function outcome(kind: OutcomeKind): RunOutcome {
    return {
      kind,
      owner: 'source',
      guestRunning: true,
      sourceError: undefined,
      targetError: 'its own words',
      totalTimeMs: undefined,
      downtimeMs: undefined,
      transferredBytes: undefined,
      headline: `It is ${kind}.`,
      details: ['A detail.'],
      nextStep: 'Do this.',
    };
  }

  it('shows the progress and then one message, as grave as the outcome', async () => {
    const severities = {
      completed: 'information',
      refused: 'warning',
      failed: 'error',
      cancelled: 'information',
      'too-late-to-cancel': 'warning',
      unknown: 'error',
    } as const;
    for (const kind of Object.keys(severities) as OutcomeKind[]) {
      const prompts = new ScriptedPrompts();
      const run = new FakeRun({ fraction: 0.5, pass: 2 });
      const told = new MigrationReporter(prompts, log, details).follow(run);
      assert.match(prompts.reports.at(-1) ?? '', /pass 2 · 50 %/);
      run.end(outcome(kind));
      await told;
      assert.deepEqual(prompts.onlyMessage, {
        severity: severities[kind],
        text: `It is ${kind}. Do this.`,
        buttons:
          kind === 'completed' || kind === 'cancelled'
            ? ['Show Details']
            : ['Show Details', 'Show Log'],
      });
    }
    assert.ok(lines.includes('A detail.'));
    assert.ok(lines.some((line) => line.includes('its own words')));
  });

  it('opens the details when asked, and offers to quit a source that gave its guest away', async () => {
    const prompts = new ScriptedPrompts().willPress('Show Details');
    const run = new FakeRun();
    const told = new MigrationReporter(prompts, log, details).follow(run);
    run.end(outcome('failed'));
    await told;
    await eventually(() => assert.deepEqual(shown, [run.record]));
    const other = new ScriptedPrompts();
    const gone = new FakeRun();
    const ended = new MigrationReporter(other, log, details).follow(gone);
    gone.end({ ...outcome('completed'), owner: 'target' });
    await ended;
    assert.deepEqual(other.onlyMessage.buttons, ['Quit web-1...', 'Show Details']);
    const saving = new ScriptedPrompts();
    const saved = new FakeRun();
    const toldOfSave = new MigrationReporter(saving, log, details).follow(saved);
    saved.end({ ...outcome('completed'), owner: 'file' });
    await toldOfSave;
    assert.deepEqual(saving.onlyMessage.buttons, ['Quit web-1...', 'Show Details']);
  });

  it('stays until the truth is known when cancelled', async () => {
    const prompts = new ScriptedPrompts();
    const run = new FakeRun();
    const told = new MigrationReporter(prompts, log, details).follow(run);
    prompts.cancellations[0]?.cancel();
    await eventually(() => assert.equal(prompts.progressTitles.length, 2));
    assert.equal(run.cancelled, 1);
    assert.match(prompts.progressTitles[1] ?? '', /^Cancelling/);
    assert.deepEqual(prompts.messages, []);
    run.end(outcome('too-late-to-cancel'));
    await told;
    assert.equal(prompts.onlyMessage.severity, 'warning');
  });
});
