import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { verifyGuestMemory, type QemuProcess } from '../../scripts/lib/qemu';
import type { Arena } from './arena';
import type { SideName } from './seats';
import { stateFileIn, type Arm } from './arms';
import type { Expectation, GuestPlace } from './expectations';
import type { Course, Told } from './perform';
import { overlaps } from './watcher';

/** What became of the guest, and of the truth. */
export interface Verdict {
  /** Where it was seen to run in the end, from outside; `file`: it could be restored from there. */
  readonly runsOn: GuestPlace | 'both';
  /** Each a sentence; empty: nothing is wrong. */
  readonly violations: readonly string[];
}

/** Looks at everything from outside: both QEMUs, their memory, the journal; and begins another run. */
export async function judge(arena: Arena, course: Course): Promise<Verdict> {
  const violations: string[] = [];
  const runsOn = await whereItRuns(arena, course);
  violations.push(...judgePlace(arena.case.expected, runsOn));
  violations.push(...judgeWords(arena, course, runsOn));
  violations.push(...(await judgeJournal(arena, course)));
  if (violations.length === 0) violations.push(...(await judgeGuest(arena, runsOn)));
  for (const { from, to } of overlaps(arena.seats.source.watcher, arena.seats.target.watcher)) {
    violations.push(`both ran the guest for ${(to - from).toFixed(1)} ms`);
  }
  return { runsOn, violations };
}

/** It lives, and another run of it is possible. */
async function judgeGuest(arena: Arena, place: Verdict['runsOn']): Promise<readonly string[]> {
  if (place === 'file') return judgeFile(arena);
  if (place !== 'source' && place !== 'target') return [];
  const dead = await judgeLife(arena[place]);
  return dead.length > 0 ? dead : judgeNextRun(arena, place);
}

async function whereItRuns({ seats }: Arena, { last }: Course): Promise<Verdict['runsOn']> {
  // Whoever goes on after a SIGCONT needs a moment, and must not start a second copy then either.
  await sleep(400);
  const [onSource, onTarget] = await Promise.all([
    runs(seats.source.qemu),
    runs(seats.target.qemu),
  ]);
  if (onSource) return onTarget ? 'both' : 'source';
  if (onTarget) return 'target';
  return last?.owner === 'file' ? 'file' : 'nowhere';
}

/** A guest whose pages will never come is no guest, whatever its run state says. */
async function runs(qemu: QemuProcess): Promise<boolean> {
  if ((await statusOf(qemu)) !== 'running') return false;
  const info = (await qemu.probe('query-migrate')) as { readonly status?: string };
  return info.status !== 'postcopy-paused';
}

async function statusOf(qemu: QemuProcess): Promise<string> {
  const silence = sleep(3000).then(() => 'silent');
  return Promise.race([qemu.guestStatus().catch(() => 'gone'), silence]);
}

function judgePlace({ guest }: Expectation, runsOn: Verdict['runsOn']): readonly string[] {
  if (runsOn === 'both') return ['both run the guest in the end'];
  return guest.includes(runsOn) ? [] : [`the guest is ${runsOn}, expected: ${guest.join(', ')}`];
}

/** Whether the words tell what is seen from outside. */
function judgeWords(
  arena: Arena,
  { first, last }: Course,
  runsOn: Verdict['runsOn'],
): readonly string[] {
  if (last === undefined || first === undefined) return ['no outcome was told'];
  const violations: string[] = [];
  const { guest, mayNotKnow } = arena.case.expected;
  const canKnow = !guest.includes('nowhere') && mayNotKnow === undefined;
  if (first.kind === 'unknown' && canKnow) {
    violations.push(`said not to know, though it could: ${first.headline}`);
  }
  // What was said first may have been less, but nothing else.
  const said = first === last ? [last] : [first, last];
  // The new program in the old process counts as the target.
  const isInPlace = arena.case.arm.kind === 'exec';
  for (const told of said) {
    const owner = isInPlace && told.owner === 'target' ? 'source' : told.owner;
    violations.push(...judgeOwner({ ...told, owner }, runsOn));
  }
  if (last.kind !== 'refused') {
    violations.push(...judgeHeadline(last, arena.case.arm));
  }
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
  if (runsOn === 'file') return owner === 'file' ? [] : [`the guest is in its file; ${told}`];
  if (owner !== runsOn) return [`the guest runs on ${runsOn}; ${told}`];
  return guestRunning === true ? [] : [`the guest runs; ${told}`];
}

/** It names the side, or says why there is none. */
function judgeHeadline({ owner, headline }: Told, arm: Arm): string[] {
  const says: Record<Told['owner'], RegExp> = {
    source: /source/,
    target: arm.kind === 'exec' ? /source/ : /target/,
    nobody: /lost|ended/,
    unknown: /not known|DANGER/,
    file: /guest\.state/,
    'neither-yet': /source|target/,
  };
  return says[owner].test(headline) ? [] : [`owner ${owner}, but the headline: "${headline}"`];
}

async function judgeJournal(
  { stateDirectory, directory, case: kase }: Arena,
  { last }: Course,
): Promise<readonly string[]> {
  if (last === undefined) return [];
  const file = await journalOf(stateDirectory, kase.arm.method);
  if (last.kind === 'refused') {
    return file === undefined ? [] : [`a refused run left a journal: ${file}`];
  }
  if (file === undefined) return ['there is no journal'];
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
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

/** The one of the case's own run: a guest that is restored was saved before. */
async function journalOf(stateDirectory: string, method: string): Promise<string | undefined> {
  const runs = join(stateDirectory, 'runs');
  for (const name of await readdir(runs).catch(() => [])) {
    if (!name.endsWith('.jsonl')) continue;
    const [begin = '{}'] = (await readFile(join(runs, name), 'utf8')).split('\n', 1);
    const { request } = JSON.parse(begin) as { readonly request?: { readonly method?: string } };
    if (request?.method === method) return join(runs, name);
  }
  return undefined;
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

/** It is whole: the guest runs again in a QEMU that waits. */
async function judgeFile(arena: Arena): Promise<readonly string[]> {
  const into = arena.case.arm.kind === 'save' ? arena.target : await arena.fresh();
  const { qmpSocket } = into;
  const driver = await arena.begin(
    {
      ...{ method: 'restore', transport: 'unix', backendTransfer: 'as-is' },
      options: { file: { path: stateFileIn(arena.directory) } },
    },
    undefined,
    { source: qmpSocket, target: qmpSocket },
  );
  const outcome = await driver.untilOutcome(30_000);
  if (outcome?.kind === 'completed') return judgeLife(into);
  const { headline, details } = outcome ?? { headline: 'no outcome', details: driver.told };
  return [`it cannot be restored: ${headline} ${details.join(' ')}`];
}
