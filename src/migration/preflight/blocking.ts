import type { Obstacle, ObstacleId } from '../run/checks/obstacle';
import { backendTransferOf } from '../settings/backendTransfer';
import { changeToMatch } from '../pair/compare';
import { isEmptyChange, type SettingsChange } from '../settings/change';
import { setting, switching, type Finding, type FindingFix, type PreflightInput } from './types';

const early = 'The target refuses the guest at once; the guest does not notice.';
const late =
  'The target notices only when the guest arrives: the guest stands still for some milliseconds, and goes on at the source.';
const lost = 'There is no way back: the program that takes over fails, and the guest is lost.';
const hangs = 'The migration would hang or fail, with nothing that says why.';

/** What comes of it; the rules themselves are those of a run (`run/checks`). */
const why: Readonly<Record<ObstacleId, string>> = {
  'same-machine': 'A guest moves to another QEMU.',
  'not-connected': 'Without its answers nothing can be checked.',
  'same-process': 'A guest moves to another QEMU.',
  'exec-process': 'QEMU itself checks nothing: it goes away first, and the guest with it.',
  'exec-program': 'The new QEMU would end at once, and the guest with it.',
  'exec-option': 'The new QEMU would end at once, or run another guest in the place of this one.',
  'exec-descriptor': 'The new QEMU would end at once, and the guest with it.',
  'exec-file': 'The new QEMU would end at once, and the guest with it.',
  'exec-hot-plugged': 'The new QEMU knows the machine from its command line only.',
  'exec-memory': 'QEMU goes on all the same, and the guest is lost.',
  'exec-unproven': 'A new QEMU that does not come up takes the guest with it.',
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
  'method-not-offered': 'QEMU would refuse it.',
  'option-not-offered': 'QEMU would refuse it.',
  'option-not-for-method': 'What is given is never passed over in silence.',
  'option-missing': 'The migration cannot be made without it.',
  'option-refused': 'QEMU would refuse it.',
  'options-conflict':
    'QEMU refuses the two together, or makes something of them that nobody meant.',
  'dirty-limit-ring': 'QEMU would refuse it.',
  'backend-transfer-method':
    'One side would wait for open devices that the other cannot hand over, and fail.',
  'zero-copy-unix': 'QEMU fails as soon as it makes the connection.',
  'multifd-over-file': 'QEMU would refuse it.',
  'tcp-address': 'QEMU would refuse it, or read it as something else.',
  'tcp-consent': 'Memory holds passwords and keys, and a guest from a stranger is a stranger.',
  'tcp-port-taken': 'The target could not listen there, and serves one attempt only.',
  'tls-one-side': hangs,
  userfaultfd: 'The target would refuse postcopy.',
  'memory-not-shared':
    'Memory that is not shared stays behind, and the guest ends with the QEMU that has it.',
  'memory-file-differs':
    'No page is copied: the guest would go on in memory that is not its own, and nobody notices.',
  'memory-unproven':
    'No page is copied: in memory that is not its own the guest would go on, and nobody notices.',
  'memory-not-in-file': 'What is not in a file ends with the QEMU that has it.',
  'aux-ram-share': 'QEMU refuses it for cpr-transfer, and loses the guest in cpr-exec.',
  'cpr-target-answers': 'The source would connect to a socket at which nobody takes the memory.',
  'cpr-socket': 'The source would find nobody there.',
  'cpr-socket-holder': 'The memory of the guest would be handed to a stranger.',
  'cpr-main-fd': 'It ends at once, and the guest with it.',
  'exec-command': lost,
  'exec-command-differs': lost,
  'exec-tap': lost,
  'exec-unknown': lost,
  'file-path': 'QEMU would take another file than is meant, or none.',
  'file-exists': 'QEMU would write over it without a question.',
  'file-missing': 'QEMU could not open it.',
  'file-not-writable': 'QEMU could not open it; the guest would go on.',
  'file-not-readable': 'QEMU could not open it, and a target serves one attempt only.',
  'file-not-a-migration': 'The target would fail, and serves one attempt only.',
  'file-space': 'The save would fail when the disk is full, and the guest go on.',
  'file-root': 'It would take another file, or none.',
  'file-without-memory': 'A guest cannot be restored without its memory.',
  'helper-missing': 'The helper hands the open file over to QEMU.',
  'saved-unfinished': 'QEMU fails at the end of a file that is cut; the guest does not run.',
  'saved-stale': 'The disks went on without the memory, and would be destroyed.',
  'saved-guest-there': 'Two running copies of one guest destroy its disks.',
  'saved-format': 'QEMU would not understand the file.',
  'restored-before': 'Disks that went on do not fit the memory, and would be destroyed.',
  'force-reason': 'Whoever reads the journal later has to understand it.',
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
  'multifd-over-fd': (_, { subject }) => offOnBoth(subject ?? 'multifd'),
  'zero-copy-unix': () => ({
    title: 'Turn zero-copy-send off',
    source: switching({ 'zero-copy-send': false }),
  }),
  'multifd-over-file': () => ({
    title: 'Turn multifd off',
    source: switching({ multifd: false }),
  }),
  'file-without-memory': () => ({
    title: 'Turn x-ignore-shared off',
    source: switching({ 'x-ignore-shared': false }),
  }),
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
