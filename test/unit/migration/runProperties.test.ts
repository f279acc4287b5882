import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { ControlRefusedError, type ControlRequest } from '../../../src/migration/run/controls';
import type { Patience } from '../../../src/migration/run/patience';
import { Runs, type Run } from '../../../src/migration/run/runs';
import type { MigrationRequest, RunOutcome } from '../../../src/migration/run/types';
import { QmpError } from '../../../src/qmp/errors';
import { MachineRegistry } from '../../../src/vm/registry';
import { NotConnectedError } from '../../../src/vm/types';
import { FakeQmpServer } from '../../support/fakeQmpServer';
import { PairModel, stepNames, type Delivery, type StepName } from '../../support/pairModel';

/** `RUN_PROPERTIES=2000` for a long search, `RUN_SEED=...` to meet a failure again. */
const numRuns = Number(process.env['RUN_PROPERTIES'] ?? 30);
const seed = Number(process.env['RUN_SEED'] ?? Date.now() % 2 ** 31);

/** Short, and long enough for a machine that has other work. */
const patience: Patience = {
  intervalMs: 8,
  lookMs: 400,
  settleMs: 600,
  silenceMs: 1500,
  recoveryMs: 20,
};
/** The longest chain of timeouts that the engine can wait for, and then some. */
const boundMs = 30_000;

type Control = Exclude<ControlRequest['id'], 'set-parameters' | 'cancel' | 'pause-postcopy'>;
type Action =
  | { readonly kind: 'step'; readonly step: StepName; readonly delivery: Delivery }
  | { readonly kind: 'cancel' }
  | { readonly kind: 'control'; readonly id: Control }
  | { readonly kind: 'drop' | 'connect'; readonly side: 'source' | 'target' };
interface Timed {
  /** How many commands come before it, counted from the one before. */
  readonly after: number;
  readonly action: Action;
}
interface Story {
  readonly guestRuns: boolean;
  readonly method: 'precopy' | 'postcopy';
  readonly holdSwitchover: boolean;
  /** From the first question on, or from `migrate` on. */
  readonly early: boolean;
  readonly timed: readonly Timed[];
}

const side = fc.constantFrom('source' as const, 'target' as const);
const delivery = fc.constantFrom<Delivery>('now', 'now', 'now', 'late', 'twice', 'never');
const action = fc.oneof<fc.WeightedArbitrary<Action>[]>(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('step'),
      step: fc.constant<StepName>('advance'),
      delivery,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('step'),
      step: fc.constantFrom(...stepNames),
      delivery,
    }),
  },
  { weight: 3, arbitrary: fc.constant({ kind: 'cancel' }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('control'),
      id: fc.constantFrom<Control>('yank', 'start-postcopy', 'release-switchover'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('drop'), side }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('connect'), side }) },
);
const freeze = { kind: 'step', step: 'freeze-target', delivery: 'now' } as const;
const stories: fc.Arbitrary<Story> = fc.record({
  guestRuns: fc.nat(5).map((n) => n > 0),
  method: fc.constantFrom('precopy', 'precopy', 'postcopy'),
  holdSwitchover: fc.boolean(),
  early: fc.nat(7).map((n) => n === 0),
  timed: fc
    .tuple(
      // What is worst comes seldom by itself: a target that cannot be asked.
      fc.oneof(
        { weight: 3, arbitrary: fc.constant([]) },
        { weight: 2, arbitrary: fc.constant([{ kind: 'drop', side: 'target' } as const]) },
        { weight: 1, arbitrary: fc.constant([freeze]) },
      ),
      fc.array(fc.record({ after: fc.nat(6), action }), { maxLength: 20 }),
    )
    .map(([first, rest]) => [...first.map((each) => ({ after: 0, action: each })), ...rest]),
});

/** One run of the real engine over a pair of QEMUs to which a story happens. */
class Stage {
  readonly log: string[] = [];
  readonly faults: string[] = [];
  model!: PairModel;
  private readonly timed: Timed[];
  private readonly story: Story;
  private registry!: MachineRegistry;
  private servers!: Record<'source' | 'target', FakeQmpServer>;
  private run: Run | undefined;
  private begun = false;
  private count = 0;
  private drains = 0;
  private marked = 0;

  constructor(story: Story) {
    this.story = story;
    this.timed = [...story.timed];
  }

  async play(): Promise<RunOutcome> {
    const { story } = this;
    const [source, target] = await Promise.all([
      FakeQmpServer.start({ build: '11.1-stock' }),
      FakeQmpServer.start({ build: '11.1-stock' }),
    ]);
    this.servers = { source, target };
    this.model = new PairModel(this.servers, story.guestRuns);
    const store = { load: () => [], save: () => Promise.resolve() };
    // Both fakes are this process: nothing is to be known of it. The story alone connects again.
    const registry = new MachineRegistry({ store, procRoot: '/nonexistent', autoReconnect: false });
    this.registry = registry;
    await Promise.all([registry.connect(source.path), registry.connect(target.path)]);
    const runs = new Runs({
      registry,
      locateHelper: () => assert.fail('not needed'),
      log: (line) => this.log.push(line),
      patience,
    });
    let seen = 0;
    const sent = (): number => source.transcript.length + target.transcript.length;
    const clock = setInterval(() => {
      const now = sent();
      if (now === seen) this.tick();
      for (; seen < now; seen += 1) this.tick();
    }, 2);
    try {
      this.begun = story.early;
      const request: MigrationRequest = {
        ...{ source: source.path, target: target.path, method: story.method },
        ...{ transport: 'unix', backendTransfer: 'as-is' },
        options: { holdSwitchover: story.holdSwitchover },
      };
      this.run = runs.start(request);
      return await within(this.run.outcome, () => this.tell());
    } finally {
      clearInterval(clock);
      runs.dispose();
      registry.dispose();
      await Promise.all([source.stop(), target.stop()]);
    }
  }

  /** What happened, for who reads a failure. */
  tell(): string {
    const { model, log, run } = this;
    const { progress } = run?.record ?? {};
    return [...model.story, '--', ...log, '--', model.describe(), progress?.phase].join('\n');
  }

  /** A command came, or none for a while. */
  private tick(): void {
    const { model, timed } = this;
    this.begun ||= this.servers.source.commands.includes('migrate');
    if (!this.begun) return;
    this.count += 1;
    const next = timed[0];
    if (next === undefined) this.drain();
    else if (this.count > next.after) {
      this.count = 0;
      timed.shift();
      this.act(next.action);
    }
    for (; this.marked < model.violations.length; this.marked += 1) {
      model.story.push(`!! ${model.violations[this.marked]}`);
    }
  }

  private act(what: Action): void {
    const { model, registry, servers } = this;
    switch (what.kind) {
      case 'step': {
        model.take(what.step, what.delivery);
        return;
      }
      case 'cancel':
        model.story.push('the user cancels');
        return this.run?.cancel();
      case 'control': {
        this.control({ id: what.id });
        return;
      }
      case 'drop':
        if (!model[what.side].alive) return;
        model.withheld = true;
        model.story.push(`the connection to the ${what.side} breaks`);
        {
          servers[what.side].dropClient();
          return;
        }
      case 'connect':
        if (!model[what.side].alive) return;
        void registry.connect(servers[what.side].path).catch(() => undefined);
        return;
    }
  }

  private control(request: ControlRequest): void {
    this.run?.control(request).catch((error: unknown) => {
      const isTold =
        error instanceof ControlRefusedError ||
        error instanceof QmpError ||
        error instanceof NotConnectedError;
      if (!isTold) this.faults.push(`${request.id}: ${String(error)}`);
    });
  }

  /** The story is over: connections come back, a person lets the guest go, all ends by itself. */
  private drain(): void {
    const { model, registry, servers } = this;
    this.drains += 1;
    if (this.drains % 6 !== 0) return;
    for (const name of ['source', 'target'] as const) {
      const { path } = servers[name];
      const { kind } = registry.get(path)?.snapshot.state ?? {};
      if (model[name].alive && (kind === 'lost' || kind === 'idle')) {
        registry.connect(path).catch(() => undefined);
      }
    }
    if (model.source.status === 'pre-switchover' && !model.source.continueAsked) {
      this.control({ id: 'release-switchover' });
    }
    model.drain();
  }
}

async function within<T>(promise: Promise<T>, tell: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const bound = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`It does not end:\n${tell()}`)), boundMs);
  });
  try {
    return await Promise.race([promise, bound]);
  } finally {
    clearTimeout(timer);
  }
}

/** What the engine says in the end, held against what is so. */
function judge(outcome: RunOutcome, { model, log, faults }: Stage): string[] {
  const wrong = [...model.violations, ...faults];
  const says = (text: string): void => {
    wrong.push(`${text}: ${outcome.kind}/${outcome.owner}, but ${model.describe()}`);
  };
  wrong.push(...log.filter((line) => line.startsWith('unexpected: from')));
  const { owner, guestRunning } = outcome;
  // Nothing was begun, and what was seen then is all that it tells.
  if (outcome.kind === 'refused') return wrong;
  if (owner === 'source' && (!model.sourceCan || model.targetRuns)) says('wrong owner');
  if (owner === 'target' && (!model.targetCan || model.sourceRuns)) says('wrong owner');
  if (owner === 'nobody' && (model.sourceCan || model.targetCan)) says('not lost');
  if (owner === 'source' && guestRunning === true && !model.sourceRuns) says('does not run');
  if (owner === 'target' && guestRunning === true && !model.targetRuns) says('does not run');
  if (owner === 'neither-yet' || owner === 'file') says('not an end');
  if (outcome.kind === 'completed' && owner !== 'target') says('not completed');
  const hasEnded = model.source.alive && model.target.alive && !model.withheld;
  if (owner === 'unknown' && hasEnded) says('could have been known');
  const mayGoAgain = hasEnded && (outcome.kind === 'failed' || outcome.kind === 'cancelled');
  if (mayGoAgain && model.servers.source.qemu.capabilities.get('return-path') === true) {
    says('return-path is left on');
  }
  return wrong;
}

describe('a run between two QEMUs, whatever happens', () => {
  it('never makes two copies, and tells the truth in the end', async function () {
    this.timeout(numRuns * 5000 + boundMs);
    await fc.assert(
      fc.asyncProperty(stories, async (story) => {
        const stage = new Stage(story);
        const outcome = await stage.play();
        const wrong = judge(outcome, stage);
        assert.deepEqual(wrong, [], `${wrong.join('\n')}\n${stage.tell()}`);
      }),
      { numRuns, seed, endOnFailure: true },
    );
  });
});
