import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { applyProfile, planProfile, sideOf } from '../../migration/profiles/apply';
import type { ProfilePlan } from '../../migration/profiles/plan';
import { builtinProfiles } from '../../migration/profiles/builtin';
import { ProfileFileError, readProfileFile } from '../../migration/profiles/profileFile';
import type { Profile, ProfileFile, ProfileSide } from '../../migration/profiles/types';
import { nearest } from '../../migration/settings/nearest';
import { SettingsHistory } from '../../migration/settings/history';
import type { MachineHandle } from '../../vm/types';
import { ExitCode, RefusedError, sameMachineText, UsageError } from '../exitCodes';
import { problemLine, type CommandResult } from '../result';
import type { Session } from '../session';
import { table, wrap } from '../text';
import { factsOf } from './settings';

/** Where profiles are looked for, from the current directory, when no file is named. */
export const defaultProfilesFile = '.vscode/qemu-migration.json';

interface ProfileSource {
  readonly cwd: string;
  /** As typed; `undefined`: `defaultProfilesFile`, if it is there. */
  readonly file: string | undefined;
}

export interface ApplyRequest extends ProfileSource {
  readonly profile: string;
  readonly sockets: readonly string[];
  /** Show what would change, and change nothing. */
  readonly dryRun: boolean;
}

/** Applies a profile to all of the machines or to none. */
export async function apply(session: Session, request: ApplyRequest): Promise<CommandResult> {
  if (request.sockets.length > 2) {
    throw new UsageError('A profile is applied to one machine, or to a source and a target.');
  }
  const file = await readProfiles(request);
  const profile = findProfile(request.profile, file);
  const machines = await Promise.all(request.sockets.map((socket) => session.connect(socket)));
  const [first, second] = machines;
  if (first !== undefined && first === second) {
    throw new UsageError(sameMachineText);
  }
  const sides = sidesOf(machines);
  const plans = sides.map(({ machine, side }) => ({
    machine,
    side,
    plan: planProfile(profile, factsOf(machine), side),
  }));
  if (!request.dryRun) {
    const history = new SettingsHistory(session.registry);
    try {
      await session.toItsEnd(() => applyProfile(history, profile, sides));
    } finally {
      history.dispose();
    }
  }
  const refused = plans.some(({ plan }) => plan.problems.length > 0);
  return {
    exitCode: refused ? ExitCode.refused : ExitCode.ok,
    lines: plans.flatMap(({ machine, side, plan }) =>
      planLines(machine.snapshot.label, side, plan, request.dryRun),
    ),
    document: {
      profile: profile.name,
      applied: !request.dryRun,
      machines: plans.map(({ machine, side, plan }) => ({
        name: machine.snapshot.label,
        socket: machine.id,
        side,
        rows: plan.rows,
        problems: plan.problems,
      })),
    },
  };
}

/** Which side each machine is: of two the one that waits for a guest is the target. */
function sidesOf(
  machines: readonly MachineHandle[],
): readonly { readonly machine: MachineHandle; readonly side: ProfileSide }[] {
  const sides = machines.map((machine) => ({ machine, side: sideOf(machine.snapshot) }));
  if (sides.length === 2 && sides[0]?.side === sides[1]?.side) {
    // Neither waits, or both do: as they were named.
    return sides.map(({ machine }, index) => ({
      machine,
      side: index === 0 ? 'source' : 'target',
    }));
  }
  return sides;
}

function planLines(
  label: string,
  side: ProfileSide,
  { rows, problems }: ProfilePlan,
  dryRun: boolean,
): readonly string[] {
  const changes = rows.filter(({ equal, skipped }) => !equal && !skipped);
  const skipped = rows.filter((row) => row.skipped && !row.equal);
  const count = `${changes.length} of ${rows.length} settings`;
  return [
    dryRun ? `${label} (${side}): ${count} would change.` : `${label} (${side}): ${count} changed.`,
    ...table(
      changes.map(({ name, now, wanted }) => [name, now, '→', wanted]),
      '  ',
    ),
    ...skipped.map(({ name }) => `  ${name} is left out: this QEMU does not have it.`),
    ...problems.map((problem) => `  ${problem}`),
  ];
}

/** Lists the profiles that there are. */
export async function profiles(source: ProfileSource): Promise<CommandResult> {
  const { path, profiles: own, problems } = await readProfiles(source);
  const entry = ({ name, description }: Profile): readonly string[] => [
    `  ${name}`,
    ...(description === undefined ? [] : wrap(description, '      ')),
  ];
  return {
    exitCode: problems.some(({ severity }) => severity === 'error')
      ? ExitCode.refused
      : ExitCode.ok,
    lines: [
      ...(own.length === 0 ? [] : [`${path}:`, ...own.flatMap(entry)]),
      'Built in:',
      ...builtinProfiles.flatMap(entry),
      ...problems.map((problem) => problemLine(path, problem)),
    ],
    document: {
      file: path,
      profiles: [...own, ...builtinProfiles].map(({ name, description, origin }) => ({
        name,
        description,
        origin,
      })),
      problems,
    },
  };
}

interface ReadProfiles extends ProfileFile {
  readonly path: string;
}

/** @throws {ProfileFileError} when a file that was named cannot be read */
async function readProfiles({ cwd, file }: ProfileSource): Promise<ReadProfiles> {
  const path = resolve(cwd, file ?? defaultProfilesFile);
  let bytes: Buffer;
  try {
    bytes = await buffer(createReadStream(path, { end: mostBytes }));
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (isMissing && file === undefined) return { path, profiles: [], problems: [] };
    throw new ProfileFileError(path, [], { cause: error });
  }
  return { path, ...readProfileFile(bytes) };
}

/** Of more than that the parser takes none: it is not read, whatever the path leads to. */
const mostBytes = 4 << 20;
const mostNames = 20;

/** The names of what there is, or the first of them. */
function listedNames(names: readonly string[]): string {
  const shown = names.slice(0, mostNames).map((known) => `"${known}"`);
  const more = names.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? `, and ${more} more` : ''}`;
}

function findProfile(name: string, { path, profiles: own, problems }: ReadProfiles): Profile {
  // Yours before ours, as in the editor.
  const found =
    own.find((profile) => profile.name === name) ??
    builtinProfiles.find((profile) => profile.name === name);
  const bad = problems.filter(
    ({ severity, profile }) => severity === 'error' && (profile === name || profile === undefined),
  );
  if (bad.length > 0 && found?.origin !== 'file') throw new ProfileFileError(path, bad);
  if (found !== undefined) return found;
  const names = [...own, ...builtinProfiles].map((profile) => profile.name);
  const near = nearest(name, names);
  throw new RefusedError(
    `There is no profile "${name}".`,
    near === undefined ? `There are: ${listedNames(names)}.` : `Did you mean "${near}"?`,
  );
}
