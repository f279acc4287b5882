import { locateHelper } from '../../fdpass/locate';
import { fixRequests, preflight } from '../../migration/preflight/preflight';
import type {
  Finding,
  FindingLevel,
  FindingSide,
  PreflightReport,
} from '../../migration/preflight/types';
import { isOneSided, methodTitles } from '../../migration/methods/names';
import type { MethodName, MigrationRequest } from '../../migration/run/types';
import { stringifyJson, type JsonValue } from '../../qmp/json';
import type { MachineHandle } from '../../vm/types';
import { ExitCode } from '../exitCodes';
import type { CommandResult } from '../result';
import type { Session } from '../session';
import { wrap } from '../text';
import { connectBoth, pathsOf } from './migrate';
import type { MigrationOptions } from './migrationOptions';

export interface PreflightOptions extends MigrationOptions {
  readonly measure: boolean;
  readonly helper: { readonly configuredPath?: string; readonly bundledDirectory: string };
}

const levelTitles: Readonly<Record<FindingLevel, string>> = {
  blocks: 'Blocks the migration:',
  warns: 'Warnings:',
  tells: 'Good to know:',
};

/** Looks for what could go wrong, and changes nothing. */
export async function check(session: Session, options: PreflightOptions): Promise<CommandResult> {
  const paths = pathsOf(session, options);
  const [source, target] = await connectBoth(session, options, paths);
  const request: MigrationRequest = { ...options.request, source: source.id, target: target.id };
  const report = await preflight(source, target, request, {
    measure: options.measure,
    journals: session.journals,
    machineAt: (id) => session.registry.get(id),
    locateHelper: () =>
      locateHelper({ ...options.helper, platform: process.platform, arch: process.arch }),
  });
  return result(report, source, target, options.method);
}

function result(
  { findings, blocked, measured }: PreflightReport,
  source: MachineHandle,
  target: MachineHandle,
  method: MethodName,
): CommandResult {
  const what = subjectOf(method, source, target);
  const places: Readonly<Record<FindingSide, string>> = {
    source: source.snapshot.label,
    target: target.snapshot.label,
    both: 'both sides',
    host: 'this host',
  };
  const fixes = new Map(
    findings.map((finding) => [finding, fixCalls(finding, source, target)] as const),
  );
  const count = (level: FindingLevel): number =>
    findings.filter((finding) => finding.level === level).length;
  return {
    exitCode: blocked ? ExitCode.refused : ExitCode.ok,
    lines: [
      ...(['blocks', 'warns', 'tells'] as const).flatMap((level) => {
        const found = findings.filter((finding) => finding.level === level);
        return found.length === 0
          ? []
          : [
              levelTitles[level],
              ...found.flatMap((finding) =>
                findingLines(finding, places[finding.side], fixes.get(finding) ?? []),
              ),
              '',
            ];
      }),
      blocked
        ? blockedText(method, source, target)
        : `Nothing blocks ${what}${
            count('warns') === 0 ? '.' : `; ${count('warns')} to think about first.`
          }`,
    ],
    document: {
      method,
      source: { name: source.snapshot.label, socket: source.id },
      target: { name: target.snapshot.label, socket: target.id },
      blocked,
      measured,
      counts: { blocks: count('blocks'), warns: count('warns'), tells: count('tells') },
      findings: findings.map((finding) => ({
        id: finding.id,
        subject: finding.subject,
        level: finding.level,
        side: finding.side,
        what: finding.what,
        why: finding.why,
        nextStep: finding.nextStep,
        ...(finding.level === 'blocks' && { canBeOverruled: finding.canBeOverruled === true }),
        ...(finding.fix && {
          fix: {
            title: finding.fix.title,
            source: finding.fix.source,
            target: finding.fix.target,
            calls: fixes.get(finding),
          },
        }),
      })),
    },
  };
}

function blockedText(method: MethodName, source: MachineHandle, target: MachineHandle): string {
  const [from, to] = [source.snapshot.label, target.snapshot.label];
  return isOneSided(method)
    ? `"${methodTitles[method]}" cannot be done with ${from} like this.`
    : `${from} cannot be migrated to ${to} like this.`;
}

/** What is checked, as the end of a sentence. */
function subjectOf(method: MethodName, source: MachineHandle, target: MachineHandle): string {
  const [from, to] = [source.snapshot.label, target.snapshot.label];
  if (isOneSided(method)) return `"${methodTitles[method]}" with ${from}`;
  const way = method === 'precopy' ? '' : ` (${methodTitles[method]})`;
  return `a migration of ${from} to ${to}${way}`;
}

function findingLines(finding: Finding, place: string, calls: readonly string[]): string[] {
  const subject = finding.subject === undefined ? '' : ` (${finding.subject})`;
  return [
    `  ${finding.id}${subject}, ${place}`,
    ...wrap(finding.what, '      '),
    ...wrap(finding.why, '      '),
    ...wrap(`→ ${finding.nextStep}`, '      '),
    ...(finding.canBeOverruled === true
      ? wrap('Can be overruled: "migrate --force REASON".', '      ')
      : []),
    // A command is to be copied whole.
    ...calls.map((call) => `      $ ${call}`),
  ];
}

/** The calls of this program that carry out the fix. */
function fixCalls(
  finding: Finding,
  source: MachineHandle,
  target: MachineHandle,
): readonly string[] {
  return fixRequests(finding, source, target).flatMap(({ machine, change }) => {
    const call = (command: string, assignments: readonly string[]): readonly string[] =>
      assignments.length === 0
        ? []
        : [['qemu-migration', command, quoted(machine.id), ...assignments.map(quoted)].join(' ')];
    return [
      ...call(
        'params',
        Object.entries(change.parameters).map(([name, value]) => `${name}=${valueText(value)}`),
      ),
      ...call(
        'caps',
        Object.entries(change.capabilities).map(([name, on]) => `${name}=${on ? 'on' : 'off'}`),
      ),
    ];
  });
}

function valueText(value: JsonValue): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return typeof value === 'string' ? value : stringifyJson(value);
}

/** For a POSIX shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
