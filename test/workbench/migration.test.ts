import assert from 'node:assert/strict';
import { commands, LogLevel, type LogOutputChannel } from 'vscode';
import type { Run } from '../../src/migration/run/runs';
import { noProgress } from '../../src/migration/run/progressText';
import type { OutcomeKind, RunOutcome, RunRecord } from '../../src/migration/run/types';
import { Emitter } from '../../src/qmp/emitter';
import { CommandId } from '../../src/ui/ids';
import { MigrationQuestions } from '../../src/ui/commands/migrationQuestions';
import { MigrationReporter } from '../../src/ui/migrationReporter';
import { back } from '../../src/ui/prompts';
import { Bench, eventually } from './support/extension';
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

  function ask(prompts: ScriptedPrompts, source: string | undefined) {
    const questions = new MigrationQuestions(bench.access.registry, prompts, () =>
      Promise.resolve(undefined),
    );
    return questions.ask(source, 'fd');
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

  class FakeRun implements Run {
    record: RunRecord = {
      id: 1,
      request: { source: '/a', target: '/b', transport: 'fd', backendTransfer: 'as-is' },
      sourceLabel: 'web-1',
      targetLabel: 'web-1 (target)',
      startedAt: 0,
      progress: {
        ...noProgress,
        phase: 'transfer',
        status: 'active',
        fraction: 0.5,
        pass: 2,
      },
      outcome: undefined,
    };
    cancelled = 0;
    readonly changes = new Emitter<RunRecord>();
    readonly onDidChange = this.changes.event;
    end: (outcome: RunOutcome) => void = () => undefined;
    readonly outcome = new Promise<RunOutcome>((resolve) => {
      this.end = resolve;
    });

    control(): Promise<void> {
      return Promise.resolve();
    }
    cancel(): void {
      this.cancelled += 1;
    }
  }

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
      const run = new FakeRun();
      const told = new MigrationReporter(prompts, log, details).follow(run);
      assert.match(prompts.reports.at(-1) ?? '', /pass 2 · 50 %/);
      run.end(outcome(kind));
      await told;
      assert.deepEqual(prompts.onlyMessage, {
        severity: severities[kind],
        text: `It is ${kind}. Do this.`,
        buttons:
          kind === 'completed' || kind === 'cancelled'
            ? ['Show Log']
            : ['Show Details', 'Show Log'],
      });
    }
    assert.ok(lines.includes('A detail.'));
    assert.ok(lines.some((line) => line.includes('its own words')));
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
