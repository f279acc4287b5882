import { setTimeout as sleep } from 'node:timers/promises';
import type { RunOutcome } from '../../src/migration/run/types';
import { runCliProcess } from '../support/cliProcess';
import type { Arena } from './arena';
import type { SideName } from './seats';
import { until } from './driverProcess';
import type { Breaking } from './names';

/** For how long what is paused stands still. */
const pauseMs = 1500;
/** For how long a person looks at what hangs, before a cancel and before SIGKILL. */
const patienceMs = 3000;
/** Longer than any silence that the product waits for. */
const outcomeMs = 80_000;

/** What the product said, in the order in which it did. */
export interface Course {
  /** The first outcome; absent: none came. */
  readonly first: Told | undefined;
  /** The last word, after a second process looked again where the first did not know. */
  readonly last: Told | undefined;
  /** Who said it last. */
  readonly by: 'driver' | 'resume' | 'second driver';
}

/** The part of an outcome that is judged. */
export type Told = Pick<
  RunOutcome,
  'kind' | 'owner' | 'guestRunning' | 'headline' | 'details' | 'nextStep'
>;

/** Breaks what the case says, and waits for the product's last word. */
export async function perform(arena: Arena): Promise<Course> {
  const { breaking, phase } = arena.case;
  const first = await breakIt(arena, breaking);
  if (breaking === 'kill-driver') {
    const by = phase === 'held' ? 'second driver' : 'resume';
    return { first, last: first, by };
  }
  // Whatever still stands goes on; a person who is told "not known" asks again.
  for (const side of ['source', 'target'] as const) if (arena.isFrozen(side)) arena.thaw(side);
  if (first !== undefined && first.kind !== 'unknown' && breaking !== 'disk-full') {
    return { first, last: first, by: 'driver' };
  }
  if (first === undefined) return { first, last: first, by: 'driver' };
  const again = (await resumeByCli(arena)) ?? first;
  if (again.kind !== 'unknown' || !(await isSilent(arena))) {
    return { first, last: again, by: 'resume' };
  }
  // The next step that was told: the target has to be gone.
  arena.kill('target');
  return { first, last: (await resumeByCli(arena)) ?? again, by: 'resume' };
}

/** The target lives, and its monitor does not answer. */
async function isSilent({ target }: Arena): Promise<boolean> {
  const answer = target.guestStatus().then(
    () => false,
    () => false,
  );
  return Promise.race([answer, sleep(3000).then(() => true)]);
}

async function breakIt(arena: Arena, breaking: Breaking): Promise<Told | undefined> {
  const { phase } = arena.case;
  const { driver } = arena;
  switch (breaking) {
    case 'kill-source':
    case 'kill-target': {
      const side = sideOf(breaking);
      arena.kill(side);
      // Nobody has to help it to notice, but for what the arena itself holds back.
      const isHeldByArena = phase === 'prepare' || phase === 'settle';
      const thawsTarget = arena.holdsByTarget && side === 'source';
      if (isHeldByArena || thawsTarget) await arena.release();
      return driver.untilOutcome(outcomeMs);
    }
    case 'kill-helper': {
      const pid = await arena.helper?.pid();
      if (pid !== undefined) process.kill(pid, 'SIGKILL');
      return driver.untilOutcome(outcomeMs);
    }
    case 'pause-helper': {
      const pid = await arena.helper?.pid();
      if (pid !== undefined) process.kill(pid, 'SIGSTOP');
      await arena.release();
      await sleep(pauseMs);
      if (pid !== undefined) process.kill(pid, 'SIGCONT');
      return driver.untilOutcome(outcomeMs);
    }
    case 'kill-driver':
      return killDriver(arena);
    case 'pause-source':
    case 'pause-target': {
      const side = sideOf(breaking);
      arena.freeze(side);
      if (!arena.holdsByTarget) void arena.release();
      await sleep(pauseMs);
      arena.thaw(side);
      await arena.release();
      return driver.untilOutcome(outcomeMs);
    }
    case 'pause-driver':
      driver.kill('SIGSTOP');
      if (phase !== 'settle') await arena.release();
      await sleep(pauseMs);
      driver.kill('SIGCONT');
      if (phase === 'settle') await arena.release();
      return driver.untilOutcome(outcomeMs);
    case 'freeze-source':
    case 'freeze-target':
      return freeze(arena, sideOf(breaking));
    case 'cut-channel':
      arena.proxy?.cut();
      await sleep(300);
      if (phase === 'switch-over') await arena.release();
      if (phase === 'postcopy') return mendPostcopy(arena);
      return driver.untilOutcome(outcomeMs);
    case 'stall-channel':
      arena.proxy?.stall();
      await arena.release();
      await sleep(pauseMs);
      arena.proxy?.resume();
      return driver.untilOutcome(outcomeMs);
    case 'disk-full': {
      driver.disk(true);
      await arena.release();
      return driver.untilOutcome(outcomeMs);
    }
    case 'cancel':
      driver.control({ id: 'cancel' });
      if (phase === 'switch-over' || phase === 'postcopy') await sleep(1000);
      if (phase !== 'transfer' && phase !== 'held') await arena.release();
      return driver.untilOutcome(outcomeMs);
    case 'other-device':
    case 'other-ram':
      return driver.untilOutcome(outcomeMs);
  }
}

function sideOf(breaking: Breaking): SideName {
  return breaking.endsWith('-source') ? 'source' : 'target';
}

async function killDriver(arena: Arena): Promise<Told | undefined> {
  const { phase } = arena.case;
  arena.driver.kill('SIGKILL');
  await until(() => arena.driver.hasEnded, 5000);
  const releases = phase !== 'prepare' && phase !== 'settle';
  if (phase === 'held') {
    const second = await arena.resume();
    await until(() => second.phase === 'held' || second.outcome !== undefined, 15_000);
    await arena.release();
    return second.untilOutcome(outcomeMs);
  }
  const resumed = resumeByCli(arena);
  if (releases) {
    // So that it is found in the middle of its phase.
    await Promise.race([resumed, sleep(1000)]);
    await arena.release();
  }
  return resumed;
}

/** A person cancels, and kills it when that is of no use. */
async function freeze(arena: Arena, side: SideName): Promise<Told | undefined> {
  const { driver } = arena;
  arena.freeze(side);
  if (!arena.holdsByTarget) void arena.release();
  else if (side === 'source') arena.thaw('target');
  await sleep(patienceMs);
  driver.control({ id: 'cancel' });
  await driver.untilOutcome(12_000);
  if (driver.outcome !== undefined) return driver.outcome;
  arena.kill(side);
  return driver.untilOutcome(outcomeMs);
}

/** The channel is cut and the network mended: both sides are joined again without a word. */
async function mendPostcopy(arena: Arena): Promise<Told | undefined> {
  const { driver } = arena;
  await until(() => driver.phase === 'interrupted' || driver.outcome !== undefined, 15_000);
  arena.proxy?.mend();
  await until(() => driver.phase === 'postcopy' || driver.outcome !== undefined, 15_000);
  await arena.release();
  return driver.untilOutcome(outcomeMs);
}

/** The product's own program, as a person would call it. */
async function resumeByCli(arena: Arena): Promise<Told | undefined> {
  const end = await runCliProcess(['resume', '--all', '--json'], { env: arena.env });
  const document = JSON.parse(end.stdout) as {
    runs?: readonly (Omit<Told, 'kind'> & { readonly outcome: Told['kind'] })[];
  };
  const [run] = document.runs ?? [];
  if (run === undefined) return undefined;
  return { ...run, kind: run.outcome, details: run.details };
}
