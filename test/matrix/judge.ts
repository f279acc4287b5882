import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { verifyGuestMemory, type QemuProcess } from '../../scripts/lib/qemu';
import type { Arena } from './arena';
import type { SideName } from './seats';
import type { Expectation } from './cases';
import type { Course, Told } from './perform';
import { overlaps } from './watcher';

/** What became of the guest, and of the truth. */
export interface Verdict {
  /** Where it was seen to run in the end, from outside. */
  readonly runsOn: SideName | 'both' | 'nowhere';
  /** Each a sentence; empty: nothing is wrong. */
  readonly violations: readonly string[];
}

/** Looks at everything from outside: both QEMUs, their memory, the journal; and begins another run. */
export async function judge(arena: Arena, course: Course): Promise<Verdict> {
  const violations: string[] = [];
  const runsOn = await whereItRuns(arena);
  for (const { from, to } of overlaps(arena.seats.source.watcher, arena.seats.target.watcher)) {
    violations.push(`both ran the guest for ${(to - from).toFixed(1)} ms`);
  }
  violations.push(...judgePlace(arena.case.expected, runsOn));
  violations.push(...judgeWords(arena, course, runsOn));
  violations.push(...(await judgeJournal(arena, course)));
  if (runsOn === 'source' || runsOn === 'target') {
    violations.push(...(await judgeLife(arena[runsOn])));
    if (violations.length === 0) violations.push(...(await judgeNextRun(arena, runsOn)));
  }
  return { runsOn, violations };
}

async function whereItRuns({ seats }: Arena): Promise<Verdict['runsOn']> {
  // Whoever goes on after a SIGCONT needs a moment, and must not start a second copy then either.
  await sleep(400);
  const [onSource, onTarget] = await Promise.all(
    [seats.source, seats.target].map(async ({ qemu }) => (await statusOf(qemu)) === 'running'),
  );
  if (onSource === true) return onTarget === true ? 'both' : 'source';
  return onTarget === true ? 'target' : 'nowhere';
}

async function statusOf(qemu: QemuProcess): Promise<string> {
  const silence = sleep(3000).then(() => 'silent');
  return Promise.race([qemu.guestStatus().catch(() => 'gone'), silence]);
}

function judgePlace({ guest }: Expectation, runsOn: Verdict['runsOn']): readonly string[] {
  if (runsOn === 'both') return ['both run the guest in the end'];
  const allowed: Record<Expectation['guest'], readonly Verdict['runsOn'][]> = {
    source: ['source'],
    target: ['target'],
    either: ['source', 'target'],
    lost: ['nowhere'],
    'either-or-lost': ['source', 'target', 'nowhere'],
  };
  if (allowed[guest].includes(runsOn)) return [];
  return [`the guest runs ${runsOn === 'nowhere' ? '' : 'on '}${runsOn}, expected: ${guest}`];
}

/** Whether the words tell what is seen from outside. */
function judgeWords(
  arena: Arena,
  { first, last }: Course,
  runsOn: Verdict['runsOn'],
): readonly string[] {
  if (last === undefined || first === undefined) return ['no outcome was told'];
  const violations: string[] = [];
  const { guest } = arena.case.expected;
  if (
    first.kind === 'unknown' &&
    (guest === 'source' || guest === 'target' || guest === 'either')
  ) {
    violations.push(`said not to know, though it could: ${first.headline}`);
  }
  // What was said first may have been less, but nothing else.
  const said = first === last ? [last] : [first, last];
  for (const told of said) violations.push(...judgeOwner(told, runsOn));
  if (last.kind !== 'refused') violations.push(...judgeHeadline(last));
  if (last.nextStep === '') violations.push('no next step was told');
  return violations;
}

function judgeOwner({ owner, guestRunning, headline }: Told, runsOn: Verdict['runsOn']): string[] {
  const told = `told: ${owner}, ${String(guestRunning)}; "${headline}"`;
  if (owner === 'unknown') return [];
  if (runsOn === 'nowhere') {
    return owner === 'nobody' ? [] : [`the guest runs nowhere; ${told}`];
  }
  if (runsOn === 'both') return [];
  if (owner !== runsOn) return [`the guest runs on ${runsOn}; ${told}`];
  return guestRunning === true ? [] : [`the guest runs; ${told}`];
}

/** It names the side, or says why there is none. */
function judgeHeadline({ owner, headline }: Told): string[] {
  const says: Record<Told['owner'], RegExp> = {
    source: /source/,
    target: /target/,
    nobody: /lost|ended/,
    unknown: /not known/,
    file: /saved/,
    'neither-yet': /source|target/,
  };
  return says[owner].test(headline) ? [] : [`owner ${owner}, but the headline: "${headline}"`];
}

async function judgeJournal(
  { stateDirectory, directory, case: kase }: Arena,
  { last }: Course,
): Promise<readonly string[]> {
  if (last === undefined) return [];
  const runs = join(stateDirectory, 'runs');
  const files = (await readdir(runs).catch(() => [])).filter((name) => name.endsWith('.jsonl'));
  const [file] = files;
  if (last.kind === 'refused') {
    return file === undefined ? [] : [`a refused run left a journal: ${file}`];
  }
  if (file === undefined) return ['there is no journal'];
  const lines = (await readFile(join(runs, file), 'utf8')).trimEnd().split('\n');
  const end = JSON.parse(lines.at(-1) ?? '{}') as {
    readonly kind?: string;
    readonly outcome?: { readonly kind: string; readonly owner: string };
  };
  const violations: string[] = [];
  const kind = last.kind === 'unknown' ? 'unsettled' : 'end';
  if (end.kind !== kind) violations.push(`the journal ends with "${end.kind}", not "${kind}"`);
  else if (end.outcome?.kind !== last.kind || end.outcome.owner !== last.owner) {
    violations.push(`the journal says ${JSON.stringify(end.outcome)}, the run ${last.kind}`);
  }
  const locks = await readdir(join(stateDirectory, 'locks')).catch(() => []);
  if (locks.length > 0) violations.push(`locks are left: ${locks.join(', ')}`);
  const channels = (await readdir(directory)).filter((name) => name.startsWith('qemu-migration-'));
  if (channels.length > 0 && kase.breaking !== 'disk-full') {
    violations.push(`a channel's directory is left: ${channels.join(', ')}`);
  }
  return violations;
}

async function judgeLife(qemu: QemuProcess): Promise<readonly string[]> {
  try {
    await qemu.waitForRounds(1);
    await verifyGuestMemory(qemu);
    return [];
  } catch (error) {
    return [`the guest on ${qemu.name} does not live: ${String(error)}`];
  }
}

/** The guest can be migrated on, to a fresh target, once the other QEMU of the case has ended. */
async function judgeNextRun(arena: Arena, owner: SideName): Promise<readonly string[]> {
  arena.kill(owner === 'source' ? 'target' : 'source');
  const here = arena[owner];
  const fresh = await arena.fresh();
  const driver = await arena.begin(
    { method: 'precopy', transport: 'unix', backendTransfer: 'as-is', maxBandwidth: '0' },
    undefined,
    { source: here.qmpSocket, target: fresh.qmpSocket },
  );
  const outcome = await driver.untilOutcome(30_000);
  if (outcome?.kind !== 'completed') {
    const { headline, details } = outcome ?? { headline: 'no outcome', details: driver.told };
    return [`another run is not possible: ${headline} ${details.join(' ')}`];
  }
  return judgeLife(fresh);
}
