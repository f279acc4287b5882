import { locateHelper } from '../../fdpass/locate';
import { fixRequests, preflight } from '../../migration/preflight/preflight';
import type {
  Finding,
  FindingLevel,
  FindingSide,
  PreflightReport,
} from '../../migration/preflight/types';
import type { MigrationRequest, Transport } from '../../migration/run/types';
import { stringifyJson, type JsonValue } from '../../qmp/json';
import type { MachineHandle } from '../../vm/types';
import { ExitCode, UsageError } from '../exitCodes';
import type { CommandResult } from '../result';
import type { Session } from '../session';
import { wrap } from '../text';
import { parseBandwidth } from './bandwidth';

export interface PreflightOptions {
  readonly source: string;
  readonly target: string;
  readonly transport: Transport;
  readonly backendTransfer: MigrationRequest['backendTransfer'];
  /** As typed; absent: as it is set. */
  readonly maxBandwidth: string | undefined;
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
  const paths = [options.source, options.target].map((path) => session.socketPath(path));
  if (paths[0] === paths[1]) {
    throw new UsageError(
      'SOURCE and TARGET are the same socket: a guest migrates to another QEMU.',
    );
  }
  const maxBandwidth = parseBandwidth(options.maxBandwidth);
  const [source, target] = await Promise.all([
    session.connect(options.source),
    session.connect(options.target),
  ]);
  const request: MigrationRequest = {
    source: source.id,
    target: target.id,
    transport: options.transport,
    backendTransfer: options.backendTransfer,
    ...(maxBandwidth !== undefined && { maxBandwidthBytesPerSecond: maxBandwidth }),
  };
  const report = await preflight(source, target, request, {
    measure: options.measure,
    locateHelper: () =>
      locateHelper({ ...options.helper, platform: process.platform, arch: process.arch }),
  });
  return result(report, source, target);
}

function result(
  { findings, blocked, measured }: PreflightReport,
  source: MachineHandle,
  target: MachineHandle,
): CommandResult {
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
        ? `${source.snapshot.label} cannot be migrated to ${target.snapshot.label} like this.`
        : `Nothing blocks a migration of ${source.snapshot.label} to ${target.snapshot.label}${
            count('warns') === 0 ? '.' : `; ${count('warns')} to think about first.`
          }`,
    ],
    document: {
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

function findingLines(finding: Finding, place: string, calls: readonly string[]): string[] {
  const subject = finding.subject === undefined ? '' : ` (${finding.subject})`;
  return [
    `  ${finding.id}${subject}, ${place}`,
    ...wrap(finding.what, '      '),
    ...wrap(finding.why, '      '),
    ...wrap(`→ ${finding.nextStep}`, '      '),
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
