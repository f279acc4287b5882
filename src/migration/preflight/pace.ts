import type { VmFacts } from '../../vm/types';
import { bandwidthAdvice, switchoverEstimateBytesPerSecond } from '../run/checks/candidates';
import { formatDurationMs, formatRate } from '../settings/units';
import { setting, type Finding, type FindingFix, type PreflightInput } from './types';

const estimateName = 'avail-switchover-bandwidth';

/** How fast it goes, and how long the guest may stand still. */
export function paceFindings(input: PreflightInput): readonly Finding[] {
  return [...bandwidthFinding(input), ...guessFinding(input), ...pauseFinding(input)];
}

/** A parameter that is a number. */
export function numberOf({ parameters }: VmFacts, name: string): bigint | undefined {
  const value = parameters[name];
  return typeof value === 'number' || typeof value === 'bigint' ? BigInt(value) : undefined;
}

/** `max-bandwidth` of the run in bytes/s; 0: no limit. */
export function effectiveBandwidth({ request, source }: PreflightInput): bigint | undefined {
  return request.maxBandwidthBytesPerSecond ?? numberOf(source.facts, 'max-bandwidth');
}

/** As fast as the host can, with a pause that stays near its limit. */
export function quickest(facts: VmFacts): FindingFix {
  const rate = formatRate(switchoverEstimateBytesPerSecond);
  // Without the parameter QEMU cannot be kept from misjudging an unlimited link; a high limit does.
  return numberOf(facts, estimateName) === undefined
    ? {
        title: `Set max-bandwidth to ${rate}`,
        source: setting({ 'max-bandwidth': switchoverEstimateBytesPerSecond }),
      }
    : {
        title: `Set max-bandwidth to no limit and ${estimateName} to ${rate}`,
        source: setting({
          'max-bandwidth': 0,
          [estimateName]: switchoverEstimateBytesPerSecond,
        }),
      };
}

function bandwidthFinding({ request, source }: PreflightInput): readonly Finding[] {
  const advice =
    request.maxBandwidthBytesPerSecond === undefined ? bandwidthAdvice(source.facts) : undefined;
  if (advice === undefined) return [];
  const fix = quickest(source.facts);
  // A guest that stands still writes nothing: it only takes longer.
  const runs = source.facts.runState.running;
  return [
    {
      id: 'bandwidth-low',
      level: runs ? 'warns' : 'tells',
      side: 'source',
      what: `max-bandwidth limits the migration to ${formatRate(advice.currentBytesPerSecond)}.`,
      why: runs
        ? 'One host copies memory at several times that: the migration takes longer than it needs, and a busy guest may never be done.'
        : 'One host copies memory at several times that: the migration takes longer than it needs.',
      nextStep: `${fix.title}.`,
      fix,
    },
  ];
}

function guessFinding(input: PreflightInput): readonly Finding[] {
  const { request, source } = input;
  if (effectiveBandwidth(input) !== 0n || !source.facts.runState.running) return [];
  const estimate = numberOf(source.facts, estimateName);
  // A run that lifts the limit itself sets the estimate too.
  const handled = request.maxBandwidthBytesPerSecond !== undefined && estimate === 0n;
  if (handled || (estimate !== undefined && estimate > 0n)) return [];
  const fix = quickest(source.facts);
  const ownLimit = request.maxBandwidthBytesPerSecond !== undefined;
  return [
    {
      id: 'switchover-guess',
      level: 'warns',
      side: 'source',
      what:
        estimate === undefined
          ? 'max-bandwidth has no limit, and this QEMU cannot be told how fast the end will be.'
          : `max-bandwidth has no limit, and ${estimateName} is not set.`,
      why: 'QEMU judges the pause by an early guess of the speed: pauses of one to five times downtime-limit were measured.',
      nextStep: ownLimit
        ? `Migrate with a limit of ${formatRate(switchoverEstimateBytesPerSecond)}.`
        : `${fix.title}.`,
      ...(!ownLimit && { fix }),
    },
  ];
}

function pauseFinding({ source }: PreflightInput): readonly Finding[] {
  const limitMs = numberOf(source.facts, 'downtime-limit');
  // Nobody notices a pause of a guest that stands still, and nothing keeps it from ending.
  if (limitMs === undefined || !source.facts.runState.running) return [];
  if (limitMs === 0n) {
    return [
      {
        id: 'pause-impossible',
        level: 'warns',
        side: 'source',
        what: 'downtime-limit is 0.',
        why: 'A guest that writes anything can never be moved without a pause: the migration does not end.',
        nextStep: 'Set downtime-limit to what the guest can bear, such as 300ms.',
        fix: {
          title: 'Set downtime-limit to 300 ms',
          source: setting({ 'downtime-limit': 300 }),
        },
      },
    ];
  }
  return [
    {
      id: 'pause-limit',
      level: 'tells',
      side: 'source',
      what: `The guest may stand still for up to ${formatDurationMs(limitMs)} (downtime-limit).`,
      why: 'QEMU goes on copying until what is left fits into that time; loading devices comes on top.',
      nextStep: 'Nothing, if the guest can bear it.',
    },
  ];
}
