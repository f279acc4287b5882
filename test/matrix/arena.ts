import { readdir } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { guardsSwitchover } from '../../src/migration/methods/planned';
import { temporaryDirectory } from '../../scripts/lib/processes';
import type { QemuProcess } from '../../scripts/lib/qemu';
import type { Place } from './arms';
import { realHelper, standingHelper, type StandingHelper } from './brokenHelper';
import type { Case } from './cases';
import { DriverProcess, until } from './driverProcess';
import type { DriverOrder, RequestOrder } from './driverTypes';
import type { Breaking } from './names';
import { ChannelProxy } from './proxy';
import {
  endSeat,
  sourceOptions,
  startOne,
  startSeat,
  targetOptions,
  type Seat,
  type SideName,
} from './seats';
import { clock } from './watcher';

/** Small enough that no migration of the test guest ends by itself, bytes/s. */
const crawl = 256 * 1024;
/** The rest of a postcopy takes minutes with this, bytes/s. */
const postcopyCrawl = 4096;
/** What stands between the two over TCP; the target listens at 127.0.0.1. */
const proxyAddress = '127.0.0.2';
const noPlace = { port: 0, connectTo: undefined } as const;

/** The case cannot be tried: its phase was not reached. Tells of the arena, not of the product. */
export class NotReachedError extends Error {
  override readonly name = 'NotReachedError';
}

/** Two real QEMUs, a driver and whatever stands between them, for one case. */
export class Arena {
  readonly case: Case;
  readonly directory: string;
  readonly stateDirectory: string;
  readonly seats: Readonly<Record<SideName, Seat>>;
  proxy: ChannelProxy | undefined;
  helper: StandingHelper | undefined;
  private current: DriverProcess | undefined;
  private readonly drivers: DriverProcess[] = [];
  private readonly others: QemuProcess[] = [];
  private readonly removeDirectory: () => Promise<void>;
  private freezesAtStop = false;
  private freezesDriverAtStop: boolean;
  private port = 0;
  private readonly frozen = new Set<SideName>();

  private constructor(
    kase: Case,
    directory: { readonly path: string; readonly remove: () => Promise<void> },
    seats: Record<SideName, Seat>,
  ) {
    this.case = kase;
    this.directory = directory.path;
    this.stateDirectory = join(directory.path, 'state');
    this.removeDirectory = directory.remove;
    this.seats = seats;
    this.freezesDriverAtStop = kase.arm.kind === 'exec' && kase.phase === 'settle';
    seats.source.watcher.onEvent(({ name }) => {
      if (name !== 'STOP') return;
      if (this.freezesAtStop) this.freeze('target');
      if (this.freezesDriverAtStop) this.current?.kill('SIGSTOP');
    });
  }

  /** Both QEMUs, the guest running on the source. */
  static async open(kase: Case): Promise<Arena> {
    const directory = temporaryDirectory('matrix');
    const { breaking, arm } = kase;
    const source = startSeat(kase, directory.path, 'source', sourceOptions(breaking));
    const target = startSeat(kase, directory.path, 'target', {
      ...targetOptions(breaking),
      answersLater: arm.targetArrives === true,
    });
    const started = await Promise.allSettled([source, target]);
    if (started.some(({ status }) => status === 'rejected')) {
      for (const seat of started) if (seat.status === 'fulfilled') await endSeat(seat.value);
      await directory.remove();
    }
    const arena = new Arena(kase, directory, { source: await source, target: await target });
    try {
      await arena.source.waitForRounds(1);
      return arena;
    } catch (error) {
      await arena.close();
      throw error;
    }
  }

  get source(): QemuProcess {
    return this.seats.source.qemu;
  }

  get target(): QemuProcess {
    return this.seats.target.qemu;
  }

  /** It keeps the run in its phase by freezing the target. */
  get holdsByTarget(): boolean {
    return this.case.phase === 'switch-over' || this.waitsInTransfer;
  }

  get driver(): DriverProcess {
    if (this.current === undefined) throw new Error('no driver was started');
    return this.current;
  }

  /** Environment of everything of ours that is started here. */
  get env(): Record<string, string> {
    return {
      QEMU_MIGRATION_STATE: this.stateDirectory,
      // Where channels of others do not come and go.
      TMPDIR: this.directory,
      QEMU_MIGRATION_HELPER: realHelper,
    };
  }

  /** Begins the run and brings it to the phase of the case, or throws. @throws {NotReachedError} */
  async reach(): Promise<void> {
    const { phase, breaking, arm } = this.case;
    const breaksHelper = breaking === 'kill-helper' || breaking === 'pause-helper';
    const breaksChannel = breaking === 'cut-channel' || breaking === 'stall-channel';
    if (breaksHelper) this.helper = await standingHelper(this.directory);
    const order = this.orderOf(await this.place(breaksChannel));
    if (isOther(breaking)) {
      // Different from the start: there is no moment to wait for.
      await this.begin(order);
      return;
    }
    if (arm.kind === 'restore') await this.saveFirst();
    if (this.crawls) await this.setSpeed(crawl);
    if (phase === 'postcopy') await this.setPostcopySpeed(postcopyCrawl);
    const stands = (phase === 'prepare' && !breaksHelper) || breaksChannel;
    if (this.waitsInTransfer) this.freeze('target');
    const lastStep = arm.kind === 'restore' ? 'incoming' : 'migrate';
    const standsAt = stands
      ? `"kind":"${lastStep}"`
      : this.settlesGuarded
        ? '"releasing"'
        : undefined;
    await this.begin(order, standsAt);
    if (breaksHelper) {
      await this.need(
        'the helper is started',
        async () => (await this.helper?.pid()) !== undefined,
      );
      return;
    }
    if (stands) await this.need('the run is prepared', () => this.driver.holds);
    if (breaksChannel) await this.standBetween();
    await this.reachPhase();
  }

  private async reachPhase(): Promise<void> {
    switch (this.case.phase) {
      case 'prepare':
        return;
      case 'transfer':
        await this.untilTransfer();
        return;
      case 'held':
        await this.untilHeld();
        return;
      case 'switch-over':
        await this.untilSwitchOver();
        return;
      case 'postcopy':
        await this.untilTransfer();
        await this.untilPostcopy();
        return;
      case 'settle':
        await this.untilSettle();
        return;
    }
  }

  /** Removes what keeps the run in its phase, as far as it can be asked; never throws. */
  async release(): Promise<void> {
    const { phase } = this.case;
    switch (phase) {
      case 'prepare':
        await this.helper?.release();
        if (this.helper === undefined) this.driver.go();
        return;
      case 'transfer':
        if (this.waitsInTransfer) this.thaw('target');
        await this.setSpeed(0).catch(() => undefined);
        return;
      case 'held':
        this.driver.control({ id: 'release-switchover' });
        return;
      case 'switch-over':
        this.thaw('target');
        return;
      case 'postcopy':
        await this.setPostcopySpeed(0).catch(() => undefined);
        return;
      case 'settle':
        this.driver.kill('SIGCONT');
        if (this.settlesGuarded) this.driver.go();
        return;
    }
  }

  /** A person gives up on it: SIGKILL, from which moment on its guest runs nowhere. */
  kill(side: SideName): void {
    this.seats[side].watcher.noteEnd(clock());
    this.seats[side].qemu.kill('SIGKILL');
    this.frozen.delete(side);
  }

  freeze(side: SideName): void {
    this.frozen.add(side);
    this.seats[side].qemu.kill('SIGSTOP');
  }

  thaw(side: SideName): void {
    this.freezesAtStop = false;
    this.frozen.delete(side);
    this.seats[side].qemu.kill('SIGCONT');
  }

  isFrozen(side: SideName): boolean {
    return this.frozen.has(side);
  }

  /** Starts a driver; the last one is {@link driver}. */
  async begin(
    request: RequestOrder,
    holdAt?: string,
    sides: Pick<DriverOrder, 'source' | 'target' | 'targetArrives'> = this.sides,
  ): Promise<DriverProcess> {
    return this.startDriver({ ...sides, request, ...(holdAt !== undefined && { holdAt }) });
  }

  /** Takes the run up by a second process, where a person has to say something to it. */
  async resume(): Promise<DriverProcess> {
    const [journal] = await readdir(join(this.stateDirectory, 'runs'));
    const request: RequestOrder = { transport: 'unix', backendTransfer: 'as-is' };
    return this.startDriver({ ...this.sides, request, resume: basename(journal ?? '', '.jsonl') });
  }

  /** A QEMU that waits, for the run after the case. */
  async fresh(): Promise<QemuProcess> {
    const qemu = await startOne(this.case, this.directory, 'fresh', {
      ...sourceOptions(this.case.breaking),
      incoming: true,
    });
    this.others.push(qemu);
    return qemu;
  }

  async close(): Promise<void> {
    for (const driver of this.drivers) await driver.stop();
    await this.helper?.release().catch(() => undefined);
    for (const side of ['source', 'target'] as const) await endSeat(this.seats[side]);
    for (const qemu of this.others) await qemu.stop();
    await this.proxy?.close();
    await this.removeDirectory();
  }

  private get sides(): Pick<DriverOrder, 'source' | 'target' | 'targetArrives'> {
    const { kind } = this.case.arm;
    const [from, to] = [this.source.qmpSocket, this.target.qmpSocket];
    if (kind !== 'two-sided') {
      const only = kind === 'restore' ? to : from;
      return { source: only, target: only };
    }
    return {
      ...{ source: from, target: to },
      targetArrives: this.case.arm.targetArrives === true,
    };
  }

  /** The request of the case. */
  private orderOf(place: Place): RequestOrder {
    const { arm, breaking, phase } = this.case;
    const isHeld = phase === 'held' || this.reachesByHold;
    return {
      ...{ method: arm.method, transport: arm.transport, backendTransfer: 'as-is' },
      options: {
        ...arm.options?.(place),
        ...(isHeld && { holdSwitchover: true }),
        // A frozen target could not be held, and the switchover would not come.
        ...(this.reachesByHold && isGuarded(arm) && { guardSwitchover: false }),
      },
      ...(isOther(breaking) && { force: { reason: 'the matrix wants to see what becomes of it' } }),
    };
  }

  private async place(breaksChannel: boolean): Promise<Place> {
    const isTcp = this.case.arm.transport === 'tcp';
    const port = isTcp ? await freePort() : 0;
    this.port = port;
    const { directory } = this;
    return { directory, port, connectTo: isTcp && breaksChannel ? proxyAddress : undefined };
  }

  /** The run is held before the switchover on its way to the phase. */
  private get reachesByHold(): boolean {
    const { phase, arm } = this.case;
    const passes = phase === 'switch-over' || (phase === 'settle' && !this.settlesGuarded);
    return passes && arm.switchOver === 'held';
  }

  /** All is on the target, which stands, and the driver is about to continue it. */
  private get settlesGuarded(): boolean {
    const { phase, arm } = this.case;
    return phase === 'settle' && isGuarded(arm);
  }

  /** The target is frozen before it is there, so that the source waits for it. */
  private get waitsInTransfer(): boolean {
    const { phase, arm } = this.case;
    return arm.targetArrives === true && phase === 'transfer';
  }

  /** The transfer is to last until it is told to end. */
  private get crawls(): boolean {
    const { phase, arm } = this.case;
    if (arm.kind === 'restore' || arm.kind === 'exec' || this.settlesGuarded) return false;
    return phase !== 'prepare' && phase !== 'held' && !this.reachesByHold;
  }

  private async startDriver(
    order: Omit<DriverOrder, 'stateDirectory' | 'helper'>,
  ): Promise<DriverProcess> {
    const helper = this.helper?.path ?? realHelper;
    const { stateDirectory } = this;
    const driver = await DriverProcess.start({ ...order, stateDirectory, helper }, this.env);
    this.drivers.push(driver);
    this.current = driver;
    return driver;
  }

  /** At the moment when the target listens and the source has not connected. */
  private async standBetween(): Promise<void> {
    if (this.case.arm.transport === 'tcp') {
      const { port } = this;
      const target = { host: '127.0.0.1', port };
      this.proxy = await ChannelProxy.beforeTcp({ host: proxyAddress, port }, target);
      this.driver.go();
      return;
    }
    const folders = (await readdir(this.directory)).filter((name) =>
      name.startsWith('qemu-migration-'),
    );
    const [folder] = folders;
    if (folder === undefined) throw new NotReachedError('there is no channel of ours');
    const place = join(this.directory, folder);
    const [socket] = await readdir(place);
    if (socket === undefined) throw new NotReachedError('the target does not listen');
    this.proxy = await ChannelProxy.beforeUnix(join(place, socket));
    this.driver.go();
  }

  private async untilTransfer(): Promise<void> {
    await this.need('the run transfers', () => this.driver.phase === 'transfer');
    if (this.waitsInTransfer) {
      await sleep(150);
      return;
    }
    if (this.case.arm.kind === 'restore') return;
    await this.need('the source is active', () => this.driver.progress?.status === 'active');
    await sleep(150);
  }

  /** What there is to restore. Its QEMU stands, with a guest that must not run again. */
  private async saveFirst(): Promise<void> {
    const { qmpSocket } = this.source;
    const { options } = this.orderOf({ ...noPlace, directory: this.directory });
    const driver = await this.begin(
      {
        ...{ method: 'save', transport: 'unix', backendTransfer: 'as-is', maxBandwidth: '0' },
        ...(options !== undefined && { options }),
      },
      undefined,
      { source: qmpSocket, target: qmpSocket },
    );
    const outcome = await driver.untilOutcome(30_000);
    if (outcome?.kind !== 'completed') {
      throw new Error(`there is nothing to restore: ${outcome?.headline ?? ''}`);
    }
  }

  private async untilHeld(): Promise<void> {
    await this.need('the switchover is held', () => this.driver.phase === 'held');
  }

  /** The target is frozen with the guest stopped on the source, and not yet all received. */
  private async untilSwitchOver(): Promise<void> {
    if (this.reachesByHold) {
      await this.untilHeld();
      this.freeze('target');
      this.driver.control({ id: 'release-switchover' });
      // The source may not answer from now on: all that it has to say waits behind the frozen target.
      const { watcher } = this.seats.source;
      await this.need('the switchover goes on', () => watcher.has('MIGRATION', 'device'));
    } else {
      await this.untilTransfer();
      this.freezesAtStop = true;
      if (this.case.arm.method === 'postcopy') this.driver.control({ id: 'start-postcopy' });
      else await this.setSpeed(0);
      await this.need('the guest stops on the source', () => this.isFrozen('target'));
    }
    await sleep(300);
    if (this.seats.target.watcher.has('RESUME')) {
      throw new NotReachedError('the target was faster than SIGSTOP');
    }
  }

  /** The driver is frozen while the two QEMUs end the migration. */
  private async untilSettle(): Promise<void> {
    if (this.settlesGuarded) {
      await this.need('the target is to be continued', () => this.driver.holds);
      this.driver.kill('SIGSTOP');
    } else if (this.reachesByHold) {
      await this.untilSwitchOver();
      this.driver.kill('SIGSTOP');
      this.thaw('target');
    } else if (this.case.arm.kind !== 'exec') {
      await this.untilTransfer();
      this.driver.kill('SIGSTOP');
      await this.setSpeed(0);
    }
    await this.need('the guest is on the target', () => this.isHandedOver());
    this.freezesDriverAtStop = false;
  }

  private async untilPostcopy(): Promise<void> {
    this.driver.control({ id: 'start-postcopy' });
    await this.need('the guest runs on the target', () => this.seats.target.watcher.has('RESUME'));
    await this.need('the run is in postcopy', () => this.driver.phase === 'postcopy');
  }

  private isHandedOver(): boolean {
    const { source, target } = this.seats;
    const { kind } = this.case.arm;
    if (kind === 'restore') return target.watcher.last?.status === 'running';
    if (kind === 'exec') return source.watcher.has('STOP') && source.watcher.runsSince('STOP');
    if (kind === 'save') return source.watcher.last?.status === 'postmigrate';
    const runState = this.settlesGuarded ? 'paused' : 'running';
    return (
      source.watcher.last?.status === 'postmigrate' && target.watcher.last?.status === runState
    );
  }

  private async setSpeed(bytesPerSecond: number): Promise<void> {
    await this.source.probe('migrate-set-parameters', { 'max-bandwidth': bytesPerSecond });
  }

  private async setPostcopySpeed(bytesPerSecond: number): Promise<void> {
    const name = 'max-postcopy-bandwidth';
    await this.source.probe('migrate-set-parameters', { [name]: bytesPerSecond });
  }

  private async need(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    const isOver = (): boolean => this.driver.outcome !== undefined || this.driver.hasEnded;
    await until(async () => (await condition()) || isOver(), 15_000);
    if (await condition()) return;
    const { phases, outcome, told } = this.driver;
    throw new NotReachedError(
      `not so: ${what}; ${phases.join(', ')}; ${outcome?.headline ?? ''}\n${outcome?.details.join('\n') ?? ''}\n${told.slice(-5).join('\n')}`,
    );
  }
}

/** One that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The target is kept from starting by itself, as the product does it unless told otherwise. */
function isGuarded({ kind, method, transport }: Case['arm']): boolean {
  const request = { source: '', target: '', method, transport, backendTransfer: 'as-is' } as const;
  return kind === 'two-sided' && guardsSwitchover(request);
}

/** The two QEMUs do not fit together. */
function isOther(breaking: Breaking): boolean {
  return breaking === 'other-device' || breaking === 'other-ram';
}
