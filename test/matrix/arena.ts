import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryDirectory } from '../../scripts/lib/processes';
import {
  provisionQemu,
  startQemu,
  type QemuOptions,
  type QemuProcess,
} from '../../scripts/lib/qemu';
import { realHelper, standingHelper, type StandingHelper } from './brokenHelper';
import type { Case } from './cases';
import { DriverProcess, until } from './driverProcess';
import type { DriverOrder, RequestOrder } from './driverTypes';
import type { Breaking } from './names';
import { ChannelProxy } from './proxy';
import { clock, Watcher } from './watcher';

/** Small enough that no migration of the test guest ends by itself, bytes/s. */
const crawl = 256 * 1024;
/** The rest of a postcopy takes minutes with this, bytes/s. */
const postcopyCrawl = 4096;

/** The case cannot be tried: its phase was not reached. Tells of the arena, not of the product. */
export class NotReachedError extends Error {
  override readonly name = 'NotReachedError';
}

export type SideName = 'source' | 'target';

/** One side: the QEMU, and who watches it from outside. */
export interface Seat {
  readonly qemu: QemuProcess;
  readonly watcher: Watcher;
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
    seats.source.watcher.onEvent(({ name }) => {
      if (this.freezesAtStop && name === 'STOP') this.freeze('target');
    });
  }

  /** Both QEMUs, the guest running on the source. */
  static async open(kase: Case): Promise<Arena> {
    const directory = temporaryDirectory('matrix');
    const started = await Promise.allSettled([
      startSeat(kase, directory.path, 'source', sourceOptions(kase.breaking)),
      startSeat(kase, directory.path, 'target', targetOptions(kase.breaking)),
    ]);
    const [source, target] = started;
    if (source.status === 'rejected' || target.status === 'rejected') {
      for (const seat of started) {
        if (seat.status === 'fulfilled') await endSeat(seat.value);
      }
      await directory.remove();
      throw source.status === 'rejected' ? source.reason : (target as PromiseRejectedResult).reason;
    }
    const arena = new Arena(kase, directory, { source: source.value, target: target.value });
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
    const crawls = phase === 'transfer' || phase === 'switch-over' || phase === 'settle';
    if (crawls || phase === 'postcopy') await this.setSpeed(crawl);
    if (phase === 'postcopy') {
      await this.source.probe('migrate-set-parameters', {
        'max-postcopy-bandwidth': postcopyCrawl,
      });
    }
    if (isOther(breaking)) {
      // Different from the start: there is no moment to wait for.
      await this.begin(arm.request);
      return;
    }
    const breaksHelper = breaking === 'kill-helper' || breaking === 'pause-helper';
    if (breaksHelper) this.helper = await standingHelper(this.directory);
    const breaksChannel = breaking === 'cut-channel' || breaking === 'stall-channel';
    const stands = (phase === 'prepare' && !breaksHelper) || breaksChannel;
    await this.begin(arm.request, stands ? '"kind":"migrate"' : undefined);
    if (breaksHelper) {
      await this.need(
        'the helper is started',
        async () => (await this.helper?.pid()) !== undefined,
      );
      return;
    }
    if (stands) await this.need('the run is prepared', () => this.driver.holds);
    if (breaksChannel) await this.standBetween();
    switch (phase) {
      case 'prepare':
        return;
      case 'transfer':
        await this.untilTransfer();
        return;
      case 'held':
        await this.untilHeld();
        return;
      case 'switch-over':
        await this.untilTransfer();
        await this.untilSwitchOver();
        return;
      case 'postcopy':
        await this.untilTransfer();
        await this.untilPostcopy();
        return;
      case 'settle':
        await this.untilTransfer();
        this.driver.kill('SIGSTOP');
        await this.setSpeed(0);
        await this.need('the guest is on the target', () => this.isHandedOver());
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
        await this.setSpeed(0).catch(() => undefined);
        return;
      case 'held':
        this.driver.control({ id: 'release-switchover' });
        return;
      case 'switch-over':
        this.thaw('target');
        return;
      case 'postcopy':
        await this.source
          .probe('migrate-set-parameters', { 'max-postcopy-bandwidth': 0 })
          .catch(() => undefined);
        return;
      case 'settle':
        this.driver.kill('SIGCONT');
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
    request: Partial<RequestOrder>,
    holdAt?: string,
    sides: Pick<DriverOrder, 'source' | 'target'> = {
      source: this.source.qmpSocket,
      target: this.target.qmpSocket,
    },
  ): Promise<DriverProcess> {
    return this.startDriver({
      ...sides,
      request: { ...this.requestBase(), ...request },
      ...(holdAt !== undefined && { holdAt }),
    });
  }

  /** Takes the run up by a second process, where a person has to say something to it. */
  async resume(): Promise<DriverProcess> {
    const [journal] = await readdir(join(this.stateDirectory, 'runs'));
    return this.startDriver({
      ...{ source: this.source.qmpSocket, target: this.target.qmpSocket },
      ...{ request: this.requestBase(), resume: basename(journal ?? '', '.jsonl') },
    });
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

  private requestBase(): RequestOrder {
    const { arm, breaking } = this.case;
    return {
      ...{ method: arm.method, transport: arm.transport, backendTransfer: 'as-is' },
      ...(isOther(breaking) && { force: { reason: 'the matrix wants to see what becomes of it' } }),
    };
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
    await this.need('the source is active', () =>
      this.seats.source.watcher.has('MIGRATION', 'active'),
    );
    await sleep(150);
  }

  private async untilHeld(): Promise<void> {
    await this.need('the switchover is held', () => this.driver.phase === 'held');
  }

  /** The target is frozen in the moment when the guest stops on the source. */
  private async untilSwitchOver(): Promise<void> {
    this.freezesAtStop = true;
    await this.setSpeed(0);
    await this.need('the guest stops on the source', () => this.isFrozen('target'));
    await sleep(300);
    if (this.seats.target.watcher.has('RESUME')) {
      throw new NotReachedError('the target was faster than SIGSTOP');
    }
  }

  private async untilPostcopy(): Promise<void> {
    this.driver.control({ id: 'start-postcopy' });
    await this.need('the guest runs on the target', () => this.seats.target.watcher.has('RESUME'));
    await this.need('the run is in postcopy', () => this.driver.phase === 'postcopy');
  }

  private isHandedOver(): boolean {
    const { source, target } = this.seats;
    return (
      source.watcher.last?.status === 'postmigrate' && target.watcher.last?.status === 'running'
    );
  }

  private async setSpeed(bytesPerSecond: number): Promise<void> {
    await this.source.probe('migrate-set-parameters', { 'max-bandwidth': bytesPerSecond });
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

async function startSeat(
  kase: Case,
  directory: string,
  name: SideName,
  options: Partial<QemuOptions>,
): Promise<Seat> {
  const qemu = await startOne(kase, directory, name, {
    ...(name === 'target' && { incoming: true }),
    ...options,
  });
  const watcher = new Watcher(name, watchSocket(directory, name));
  void qemu.exited.then(() => watcher.noteEnd());
  try {
    await watcher.start();
    return { qemu, watcher };
  } catch (error) {
    await endSeat({ qemu, watcher });
    throw error;
  }
}

async function endSeat({ qemu, watcher }: Seat): Promise<void> {
  watcher.stop();
  await qemu.stop();
}

async function startOne(
  { version, arm }: Case,
  directory: string,
  name: string,
  options: Partial<QemuOptions>,
): Promise<QemuProcess> {
  const special = arm.qemu?.({ directory }) ?? {};
  return startQemu({
    ...{ build: await provisionQemu(version), directory, name, guest: 'dirtying' },
    ...{ memoryMiB: 128, ...special, ...options },
    extraArgs: [
      ...['-qmp', `unix:${watchSocket(directory, name)},server=on,wait=off`],
      ...(special.extraArgs ?? []),
      ...(options.extraArgs ?? []),
    ],
  });
}

function watchSocket(directory: string, name: string): string {
  return join(directory, `${name}.watch`);
}

/** The two QEMUs do not fit together. */
function isOther(breaking: Breaking): boolean {
  return breaking === 'other-device' || breaking === 'other-ram';
}

/** A device that is looked for only when its state arrives. */
function sourceOptions(breaking: Breaking): Partial<QemuOptions> {
  if (breaking !== 'other-device') return {};
  return { extraArgs: ['-device', 'qemu-xhci,id=usb', '-device', 'usb-tablet'] };
}

function targetOptions(breaking: Breaking): Partial<QemuOptions> {
  if (breaking === 'other-device') return { extraArgs: ['-device', 'qemu-xhci,id=usb'] };
  return breaking === 'other-ram' ? { memoryMiB: 192 } : {};
}
