import type { JsonObject } from '../../src/qmp/json';
import { FakeRefusal, type FakeQmpServer } from './fakeQmpServer';

/**
 * What really happens in a pair of QEMUs, whatever their monitors tell of it: who has the guest, what
 * is on its way, what was cut. Behaves as measured; each step is one thing that may happen next.
 */
export const stepNames = [
  'advance',
  'stop-guest',
  'send-all',
  'load',
  'source-fails',
  'target-rejects',
  'break-postcopy',
  'user-pauses-guest',
  'disguise',
  'undisguise',
  'freeze-target',
  'thaw-target',
  'target-gone',
  'source-gone',
] as const;
export type StepName = (typeof stepNames)[number];

/** How the events of a step come. */
export type Delivery = 'now' | 'late' | 'twice' | 'never';

type SideName = 'source' | 'target';

const movingStatuses = ['setup', 'active', 'pre-switchover', 'device'];

export class PairModel {
  readonly servers: Readonly<Record<SideName, FakeQmpServer>>;
  /** What was sent that must not have been, in words. */
  readonly violations: string[] = [];
  /** What happened, for who reads a counterexample. */
  readonly story: string[] = [];
  /** The engine was kept from seeing something. */
  withheld = false;
  delivery: Delivery = 'now';

  source = {
    alive: true,
    status: 'none',
    guest: 'running',
    /** Whether the guest ran when it was stopped for the switchover; what is sent says so. */
    ranAtStop: true,
    sentAll: false,
    stoppedByEngine: false,
    disguised: false,
    postcopyAsked: false,
    continueAsked: false,
  };
  target = {
    alive: true,
    frozen: false,
    listens: false,
    status: 'none',
    guest: 'inmigrate',
    autostart: true,
  };
  private thawed: (() => void)[] = [];
  private late: (() => void)[] = [];

  constructor(servers: Readonly<Record<SideName, FakeQmpServer>>, guestRuns: boolean) {
    this.servers = servers;
    if (!guestRuns) this.source.guest = 'paused';
    this.serveSource();
    this.serveTarget();
    this.show();
  }

  /** The source has the guest, and may run it. */
  get sourceCan(): boolean {
    const { alive, status, guest } = this.source;
    if (!alive) return false;
    return guest === 'running' || (status !== 'completed' && !status.startsWith('postcopy'));
  }

  /** The target has all of the guest, and may run it. */
  get targetCan(): boolean {
    const { alive, guest, status } = this.target;
    if (!alive || guest === 'inmigrate') return false;
    return this.source.alive || !status.startsWith('postcopy');
  }

  get sourceRuns(): boolean {
    return this.source.alive && this.source.guest === 'running';
  }

  get targetRuns(): boolean {
    return this.target.alive && this.target.guest === 'running';
  }

  /** The engine may have taken its last look. */
  private get isOver(): boolean {
    const { source, target } = this;
    if (source.status === 'completed') return target.status === 'completed';
    return source.status === 'failed' || source.status === 'cancelled';
  }

  /** Nothing of what was sent, or may still be, starts the guest there by itself. */
  private get targetCannotStart(): boolean {
    const { source, target } = this;
    if (!target.alive) return true;
    if (target.guest !== 'inmigrate') return target.guest !== 'running';
    if (!target.autostart || target.status === 'failed') return true;
    // Nothing more is sent before `migrate-continue`.
    if (source.status === 'pre-switchover' && !source.continueAsked) return true;
    const willRun =
      source.guest === 'running' || (source.guest === 'finish-migrate' && source.ranAtStop);
    return !willRun;
  }

  /** Does what the step says, if it can happen now. */
  take(step: StepName, delivery: Delivery): void {
    for (const emit of this.late.splice(0)) emit();
    this.delivery = delivery;
    const before = this.describe();
    this.doStep(step);
    this.show();
    const after = this.describe();
    if (before !== after) this.story.push(`${step} (${delivery}): ${after}`);
    if (this.sourceRuns && this.targetRuns) this.violations.push(`two copies after ${step}`);
  }

  /** What happens when nobody interferes any more: all comes to an end. */
  drain(): void {
    const { source, target } = this;
    if (target.frozen) this.take('thaw-target', 'now');
    else if (source.disguised) this.take('undisguise', 'now');
    else this.take('advance', 'now');
  }

  describe(): string {
    const { source, target } = this;
    const there = source.alive ? `${source.status}/${source.guest}` : 'gone';
    const flags = `${source.sentAll ? ' all sent' : ''}${source.disguised ? ' disguised' : ''}`;
    const here = target.alive ? `${target.status}/${target.guest}` : 'gone';
    const held = `${target.autostart ? '' : ' held'}${target.frozen ? ' frozen' : ''}`;
    return `source ${there}${flags}, target ${here}${held}`;
  }

  private doStep(step: StepName): void {
    const { source, target } = this;
    const isMoving = source.alive && movingStatuses.includes(source.status);
    switch (step) {
      case 'advance': {
        this.advance();
        return;
      }
      case 'stop-guest':
        if (source.alive && source.status === 'active') this.stopGuest();
        return;
      case 'send-all':
        if (source.alive && source.status === 'device' && target.alive) source.sentAll = true;
        return;
      case 'load': {
        this.load();
        return;
      }
      case 'source-fails':
        // What is in the target's hands does not fail by itself, and pre-switchover sends nothing.
        if (!isMoving || source.status === 'pre-switchover') return;
        if (source.sentAll && target.alive) return;
        {
          this.fail();
          return;
        }
      case 'target-rejects':
        if (!isMoving || !target.alive || target.guest !== 'inmigrate') return;
        this.setTarget('failed');
        if (source.status !== 'pre-switchover') this.fail();
        return;
      case 'break-postcopy':
        if (!source.status.startsWith('postcopy') || !source.alive) return;
        this.setSource('postcopy-paused');
        if (target.alive) this.setTarget('postcopy-paused');
        return;
      case 'user-pauses-guest':
        // Later the engine may have taken its last look.
        if (!isMoving || source.guest !== 'running' || source.stoppedByEngine) return;
        source.guest = 'paused';
        this.emit('source', 'STOP');
        return;
      case 'disguise':
        if (!isMoving) return;
        this.withheld = true;
        source.disguised = true;
        return;
      case 'undisguise':
        source.disguised = false;
        return;
      case 'freeze-target':
        if (!target.alive) return;
        this.withheld = true;
        target.frozen = true;
        return;
      case 'thaw-target': {
        this.thaw();
        return;
      }
      case 'target-gone':
        if (!target.alive || this.isOver) return;
        target.alive = false;
        this.thaw();
        {
          this.leave('target');
          return;
        }
      case 'source-gone':
        if (!source.alive || this.isOver) return;
        source.alive = false;
        this.leave('source');
        if (target.status.startsWith('postcopy')) this.setTarget('postcopy-paused');
        return;
    }
  }

  /** One step of what comes next by itself. */
  private advance(): void {
    const { source, target } = this;
    if (!source.alive) {
      if (target.guest === 'inmigrate') {
        if (source.sentAll) this.load();
        else if (target.alive && target.status !== 'none') this.setTarget('failed');
      } else if (!target.status.startsWith('postcopy')) this.setTarget('completed');
      return;
    }
    switch (source.status) {
      case 'setup':
        if (!target.alive || target.status === 'failed') {
          this.fail();
          return;
        }
        if (target.listens) {
          this.setSource('active');
          this.setTarget('active');
        }
        return;
      case 'active':
        if (!target.alive || target.status === 'failed') {
          this.fail();
          return;
        }
        if (source.guest === 'running' || source.guest === 'paused') {
          this.stopGuest();
          return;
        }
        if (source.postcopyAsked) {
          this.enterPostcopy();
          return;
        }
        {
          this.setSource(this.pausesBefore ? 'pre-switchover' : 'device');
          return;
        }
      case 'pre-switchover':
        if (source.continueAsked) this.setSource('device');
        return;
      case 'device':
        if (target.guest === 'inmigrate' || !target.alive) {
          if (!target.alive || target.status === 'failed') {
            this.fail();
            return;
          }
          if (!source.sentAll) source.sentAll = true;
          else this.load();
        } else if (target.status === 'active') this.setTarget('completed');
        else this.setSource('completed');
        return;
      case 'completed':
        if (source.guest === 'finish-migrate') source.guest = 'postmigrate';
        if (target.alive && target.status !== 'completed') this.setTarget('completed');
        return;
      case 'cancelling':
        this.giveBack();
        this.setSource('cancelled');
        {
          this.endTarget();
          return;
        }
      case 'failing':
        this.setSource('failed');
        {
          this.endTarget();
          return;
        }
      case 'failed':
      case 'cancelled': {
        this.endTarget();
        return;
      }
      case 'postcopy-recover':
        if (!target.alive) {
          this.setSource('postcopy-paused');
          return;
        }
        this.setSource('postcopy-active');
        {
          this.setTarget('postcopy-active');
          return;
        }
      case 'postcopy-active':
        if (!target.alive) {
          this.setSource('postcopy-paused');
          return;
        }
        this.setSource('completed');
        return;
      default:
        // None yet, or paused postcopy, which waits for a recovery.
        return;
    }
  }

  private get pausesBefore(): boolean {
    return this.servers.source.qemu.capabilities.get('pause-before-switchover') === true;
  }

  private stopGuest(): void {
    const { source } = this;
    if (source.guest !== 'running' && source.guest !== 'paused') return;
    source.ranAtStop = source.guest === 'running';
    if (source.ranAtStop) this.emit('source', 'STOP');
    source.guest = 'finish-migrate';
  }

  private enterPostcopy(): void {
    const { source, target } = this;
    this.setSource('postcopy-active');
    source.sentAll = true;
    this.startTarget('postcopy-active');
    if (!target.alive) this.setSource('postcopy-paused');
  }

  private load(): void {
    const { source, target } = this;
    if (!source.sentAll || !target.alive || target.frozen) return;
    if (target.guest !== 'inmigrate' || target.status === 'failed') return;
    this.startTarget('active');
  }

  private startTarget(status: string): void {
    const { source, target } = this;
    target.guest = target.autostart && source.ranAtStop ? 'running' : 'paused';
    if (target.guest === 'running') this.emit('target', 'RESUME');
    this.setTarget(status);
  }

  /** The source notices that its part has failed; the guest goes on there. */
  private fail(): void {
    this.setSource('failing');
    this.giveBack();
  }

  private giveBack(): void {
    const { source } = this;
    if (source.guest !== 'finish-migrate' && source.guest !== 'postmigrate') return;
    source.guest = source.ranAtStop ? 'running' : 'paused';
    if (source.ranAtStop) this.emit('source', 'RESUME');
  }

  /** A channel that was cut: what was sent is loaded, a rest is an error. */
  private endTarget(): void {
    const { source, target } = this;
    if (!target.alive || target.frozen || target.status === 'failed') return;
    if (target.guest !== 'inmigrate') this.setTarget('completed');
    else if (source.sentAll) this.load();
    else if (target.status !== 'none') this.setTarget('failed');
  }

  private thaw(): void {
    this.target.frozen = false;
    for (const go of this.thawed.splice(0)) go();
  }

  /** A QEMU that ends announces it; that is all that can be known of it without its process. */
  private leave(side: SideName): void {
    const server = this.servers[side];
    server.emitEvent('SHUTDOWN', { guest: false, reason: 'host-qmp-quit' });
    void server.stop();
  }

  private setSource(status: string): void {
    if (this.source.status === status) return;
    this.source.status = status;
    this.emit('source', 'MIGRATION', status);
  }

  private setTarget(status: string): void {
    if (!this.target.alive || this.target.status === status) return;
    this.target.status = status;
    this.emit('target', 'MIGRATION', status);
  }

  private emit(side: SideName, name: string, status?: string): void {
    const data = status === undefined ? undefined : { status };
    const send = (): void => this.servers[side].emitEvent(name, data);
    if (this.delivery === 'late') this.late.push(send);
    else if (this.delivery === 'never') this.withheld = true;
    else send();
    if (this.delivery === 'twice') send();
  }

  private show(): void {
    const { source, target, servers } = this;
    const status = source.disguised ? 'later-status' : source.status;
    servers.source.setMigration(status === 'none' ? {} : { status });
    servers.source.qemu.status = { status: source.guest, running: source.guest === 'running' };
    servers.target.setMigration(target.status === 'none' ? {} : { status: target.status });
    servers.target.qemu.status = { status: target.guest, running: target.guest === 'running' };
  }

  private serveSource(): void {
    const { source, servers } = this;
    const on = (command: string, act: (args: Record<string, unknown>) => void): void =>
      servers.source.on(command, (args) => {
        this.delivery = 'now';
        this.story.push(`${command} to the source; ${this.describe()}`);
        act(args);
        this.show();
        if (this.sourceRuns && this.targetRuns) this.violations.push(`two copies by ${command}`);
        return {};
      });
    on('migrate', (args) => {
      if (args['resume'] === true) {
        if (source.status !== 'postcopy-paused') throw new FakeRefusal('Cannot resume');
        this.setSource('postcopy-recover');
      } else {
        source.ranAtStop = source.guest === 'running';
        this.setSource('setup');
      }
    });
    on('migrate_cancel', () => {
      this.judgeEnding('migrate_cancel');
      if (source.status.startsWith('postcopy')) throw new FakeRefusal('cannot cancel');
      if (movingStatuses.includes(source.status)) this.setSource('cancelling');
    });
    on('yank', () => {
      this.judgeEnding('yank');
      if (source.status === 'postcopy-active') this.setSource('postcopy-paused');
      else if (movingStatuses.includes(source.status)) this.fail();
    });
    on('migrate-start-postcopy', () => {
      if (servers.source.qemu.capabilities.get('postcopy-ram') !== true) {
        throw new FakeRefusal('Enable postcopy');
      }
      if (source.status === 'setup' || source.status === 'active') source.postcopyAsked = true;
    });
    on('migrate-continue', () => {
      if (source.status !== 'pre-switchover') throw new FakeRefusal('not in expected state');
      source.continueAsked = true;
    });
    on('stop', () => {
      if (source.guest !== 'running') return;
      source.guest = 'paused';
      source.stoppedByEngine = true;
      this.emit('source', 'STOP');
    });
    on('cont', () => {
      const mayRun = !this.target.alive || (source.stoppedByEngine && source.guest === 'paused');
      if (!mayRun) this.violations.push(`cont to the source: ${this.describe()}`);
      if (source.guest === 'finish-migrate') throw new FakeRefusal('Migration is not finalized');
      source.guest = 'running';
      source.stoppedByEngine = false;
      this.emit('source', 'RESUME');
    });
  }

  private judgeEnding(command: string): void {
    if (this.targetCannotStart) return;
    this.violations.push(`${command} while the target may start by itself: ${this.describe()}`);
  }

  private serveTarget(): void {
    const { source, target, servers } = this;
    const on = (command: string, act: () => JsonObject | undefined): void =>
      servers.target.on(command, async () => {
        if (target.frozen) await new Promise<void>((resolve) => this.thawed.push(resolve));
        this.delivery = 'now';
        const answer = act() ?? {};
        this.show();
        if (this.sourceRuns && this.targetRuns) this.violations.push(`two copies by ${command}`);
        return answer;
      });
    const told = (command: string): void => {
      this.story.push(`${command} to the target; ${this.describe()}`);
    };
    on('query-migrate', () => servers.target.qemu.migration);
    on('query-status', () => servers.target.qemu.status);
    on('migrate-incoming', () => {
      told('migrate-incoming');
      target.listens = true;
      this.setTarget('setup');
    });
    on('migrate-recover', () => {
      told('migrate-recover');
      if (target.status !== 'postcopy-paused') throw new FakeRefusal('can only be run when paused');
    });
    on('migrate-pause', () => {
      if (!target.status.startsWith('postcopy')) throw new FakeRefusal('not in postcopy');
      this.setTarget('postcopy-paused');
    });
    on('stop', () => {
      told('stop');
      target.autostart = false;
      if (target.guest === 'running') {
        target.guest = 'paused';
        this.emit('target', 'STOP');
      }
    });
    on('cont', () => {
      told('cont');
      const isGiven = !source.alive || source.status === 'completed';
      if (!isGiven || target.guest === 'inmigrate') {
        this.violations.push(`cont to the target: ${this.describe()}`);
      }
      target.autostart = true;
      if (target.guest === 'paused') {
        target.guest = 'running';
        this.emit('target', 'RESUME');
      }
    });
  }
}
