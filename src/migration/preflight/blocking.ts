import type { Obstacle, ObstacleId } from '../run/obstacle';
import { backendTransferOf } from '../settings/backendTransfer';
import { changeToMatch } from '../pair/compare';
import { isEmptyChange, type SettingsChange } from '../settings/change';
import { setting, switching, type Finding, type FindingFix, type PreflightInput } from './types';

const early = 'The target refuses the guest at once; the guest does not notice.';
const late =
  'The target notices only when the guest arrives: the guest stands still for some milliseconds, and goes on at the source.';
const hangs = 'The migration would hang or fail, with nothing that says why.';

/** What comes of it; the rules themselves are those of a run (`run/checks.ts`). */
const why: Readonly<Record<ObstacleId, string>> = {
  'same-machine': 'A guest moves to another QEMU.',
  'not-connected': 'Without its answers nothing can be checked.',
  'same-process': 'A guest moves to another QEMU.',
  'source-waits': 'There is nothing to migrate.',
  'source-gave-away': 'What is left there is an old copy; running it again would double the guest.',
  'source-migrating': 'QEMU makes one migration at a time.',
  'blocked-reason': 'QEMU refuses to migrate as long as this is so.',
  'target-not-waiting': 'Only a QEMU that waits can take a guest.',
  'target-used': 'QEMU does not begin an incoming migration twice.',
  'guest-runs-on': 'Two running copies of one guest destroy its disks.',
  'mapped-ram': 'QEMU refuses it over a connection.',
  'multifd-over-fd': 'QEMU refuses it, or waits for connections that never come.',
  'unix-path-users': 'QEMU could not open the socket.',
  'unix-path-root': 'It would look for the socket elsewhere.',
  'machine-type': early,
  'memory-size': early,
  uuid: early,
  'capability-differs': hangs,
  'parameter-differs': hangs,
  'backend-transfer-listed': 'A run can switch it, but does not edit lists.',
  'backend-transfer-empty': 'Nothing would be handed over.',
  'backend-transfer-unable': 'There is nothing to switch on.',
  'backend-transfer-one-side':
    'One side waits for devices that the other does not hand over, and fails.',
  'netdev-not-permitted': 'The target waits for a device that the source keeps, and ends.',
  'netdev-too-early': 'A TAP that is open already takes no descriptors, and the target ends.',
  'permission-one-side': 'The target fails when the guest arrives.',
  'vcpu-count': late,
  'device-missing': late,
  'device-differs': late,
  'ram-block': early,
  'block-job': 'A job holds its disk, which then cannot be handed over at the switchover.',
  'tls-creds': 'QEMU fails as soon as it makes the connection.',
};

/** What forbids a run, with what would put it right where settings can. */
export function blockingFinding(obstacle: Obstacle, input: Sides | undefined): Finding {
  const { id, side, subject, reason, nextStep } = obstacle;
  const fix = input && fixes[id]?.(input, obstacle);
  return {
    id,
    ...(subject !== undefined && { subject }),
    level: 'blocks',
    side,
    what: reason,
    why: why[id],
    nextStep,
    ...(fix && { fix }),
  };
}

type Sides = Pick<PreflightInput, 'source' | 'target'>;
type MakeFix = (
  sides: Sides,
  obstacle: Pick<Obstacle, 'side' | 'subject'>,
) => FindingFix | undefined;

/** Where settings put it right; the rest is fixed when a QEMU starts, or needs a hand. */
const fixes: Readonly<Partial<Record<ObstacleId, MakeFix>>> = {
  'guest-runs-on': (_, { subject }) =>
    subject === undefined
      ? undefined
      : { title: `Turn ${subject} off`, source: switching({ [subject]: false }) },
  'mapped-ram': () => offOnBoth('mapped-ram'),
  'multifd-over-fd': () => offOnBoth('multifd'),
  'capability-differs': matchTarget,
  'parameter-differs': matchTarget,
  'backend-transfer-one-side': ({ source, target }) => {
    const [from, to] = [source, target].map(({ snapshot }): SettingsChange | undefined => {
      const offer = backendTransferOf(snapshot);
      return offer?.kind === 'boolean' ? setting({ [offer.parameter]: true }) : undefined;
    });
    return from && to && { title: 'Turn it on at both sides', source: from, target: to };
  },
  'tls-creds': (_, { side }) =>
    side === 'both'
      ? undefined
      : { title: 'Clear tls-creds', [side]: setting({ 'tls-creds': '' }) },
};

function offOnBoth(name: string): FindingFix {
  const change = switching({ [name]: false });
  return { title: `Turn ${name} off on both sides`, source: change, target: change };
}

function matchTarget(
  { source, target }: Sides,
  { subject }: Pick<Obstacle, 'subject'>,
): FindingFix | undefined {
  if (subject === undefined) return undefined;
  const { change } = changeToMatch(source.snapshot, target.snapshot, new Set([subject]));
  return isEmptyChange(change)
    ? undefined
    : { title: `Give the target the source's ${subject}`, target: change };
}
