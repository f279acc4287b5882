import { isArray, isObject } from '../../qmp/json';
import type { DevicePermission, PermissionOption } from '../settings/backendTransfer';
import { sameValue } from '../settings/values';
import { howToLeaveOut, howToPermit, isTooEarly } from './transferDevices';
import { areMixed, counterpart, optionOf, transferable, type End, type Ends } from './transferEnds';

/** What stands in the way of handing devices over between the two, as measured. */
export function problemsOf(ends: Ends): readonly string[] {
  const { source, target } = ends;
  const unable = listsAgree(ends) ? [] : [source, target].flatMap(noSwitch);
  if (unable.length > 0) return unable;
  if (areMixed(ends)) return [mixedStages(ends)];
  return [
    ...onOneSide(ends),
    ...waiting(target),
    ...transferable(ends).flatMap((entry) => deviceProblem(ends, entry)),
  ];
}

/** Two lists that name the same may work, although there is nothing to switch. */
function listsAgree({ source, target }: Ends): boolean {
  const [from, to] = [source.offer, target.offer];
  return (
    from.kind === 'list' &&
    to.kind === 'list' &&
    sameValue(from.entries, to.entries) &&
    isOn(source)
  );
}

function noSwitch({ snapshot, offer }: End): readonly string[] {
  switch (offer.kind) {
    case 'boolean':
      return [];
    case 'absent': {
      const instead = offer.instead.length === 0 ? '' : ` It has ${offer.instead.join(', ')}.`;
      return [
        `The QEMU of ${snapshot.label} has no backend transfer.${instead} Migrate without it: the target then needs network devices of its own.`,
      ];
    }
    case 'list':
      return [
        `In the QEMU of ${snapshot.label} backend transfer is a list: set "${offer.parameter}" on both sides to what is to be handed over.`,
      ];
  }
}

function mixedStages({ source, target }: Ends): string {
  const [from, to] = [source, target].map(({ snapshot, offer }) => {
    const name = offer.kind === 'absent' ? '' : offer.parameter;
    return `"${name}" in the QEMU of ${snapshot.label}`;
  });
  return `It is ${from}, ${to}: different stages of the work, which are not known to understand each other. Use one build of QEMU for both sides.`;
}

function onOneSide({ source, target }: Ends): readonly string[] {
  const [from, to] = [isOn(source), isOn(target)];
  if (from === to) return [];
  const [on, other] = from ? [source, target] : [target, source];
  const result = from
    ? `${other.snapshot.label} would open network devices of its own and fail`
    : `${on.snapshot.label} would wait for network devices that nobody hands over, and fail`;
  return [
    `Backend transfer is on at ${on.snapshot.label} only: ${result}. Switch both on, or both off.`,
  ];
}

function isOn({ offer }: End): boolean {
  if (offer.kind === 'absent') return false;
  return offer.kind === 'boolean' ? offer.enabled : offer.entries.length > 0;
}

/** Whether the target still waits, for a channel that can carry descriptors. */
function waiting(target: End): readonly string[] {
  const { label, facts, process } = target.snapshot;
  const again = `Start ${label} with \`-incoming defer\`.`;
  if (facts === undefined || facts.failures.status !== undefined) return [];
  if (facts.runState.status !== 'inmigrate') {
    return [`${label} does not wait for a migration. ${again}`];
  }
  const given = process?.args.find((_, index) =>
    /^--?incoming$/.test(process.args[index - 1] ?? ''),
  );
  if (given !== undefined && given !== 'defer') {
    return [
      `${label} was started with \`-incoming ${given}\`, so it has opened its devices before backend transfer could be on. ${again}`,
    ];
  }
  const { status } = facts.migration;
  if (!isOn(target) && status !== undefined && status !== 'none') {
    return [
      `${label} was told where to listen before backend transfer was on, and a target serves one attempt. ${again}`,
    ];
  }
  return otherChannel(target)
    ? [
        `${label} does not listen at a UNIX socket, and nothing else can carry descriptors. ${again}`,
      ]
    : [];
}

function otherChannel({ snapshot }: End): boolean {
  const addresses = snapshot.facts?.migration['socket-address'];
  return (
    isArray(addresses) &&
    addresses.some(
      (each) => isObject(each) && (each['type'] === 'inet' || each['type'] === 'vsock'),
    )
  );
}

function deviceProblem(ends: Ends, entry: DevicePermission): readonly string[] {
  const option = optionOf(ends);
  if (option === undefined) return [];
  const there = counterpart(ends, entry.device.id);
  return option.on === 'netdev'
    ? netdevProblem(ends, entry, there, option)
    : switchProblem(ends, entry, there, option);
}

/** The permission is on the netdev, and the target gets its device later. */
function netdevProblem(
  { source, target }: Ends,
  entry: DevicePermission,
  there: DevicePermission | undefined,
  option: PermissionOption,
): readonly string[] {
  const netdev = entry.device.netdev?.id ?? '';
  const missing =
    entry.permission === 'not-permitted'
      ? [
          `${source.snapshot.label} may not hand over "${netdev}". ${howToPermit(source, entry, option)}`,
        ]
      : [];
  if (there === undefined || !isTooEarly(there)) return missing;
  const cause = isOn(target)
    ? `before backend transfer was on there, or without \`${option.name}=on\``
    : 'before backend transfer was on there';
  return [
    ...missing,
    `${target.snapshot.label} has "${there.device.id}" with a back end of its own already, opened ${cause}. ${howToLeaveOut(target, there)}`,
  ];
}

/** The permission is on the device, and the target is started with it. */
function switchProblem(
  ends: Ends,
  entry: DevicePermission,
  there: DevicePermission | undefined,
  option: PermissionOption,
): readonly string[] {
  const { source, target } = ends;
  const { id } = entry.device;
  const [from, to] = [source.snapshot.label, target.snapshot.label];
  if (there === undefined) {
    return [
      `${to} has no "${id}". With this QEMU the target is started with the same \`-netdev\` and \`-device\` as the source, and \`-incoming defer\`.`,
    ];
  }
  const here = entry.permission === 'not-permitted';
  const notThere = there.permission === 'not-permitted';
  if (here === notThere) {
    // What neither side hands over simply stays out of it, unless nothing else is left.
    const others = transferable(ends).some(({ permission }) => permission !== 'not-permitted');
    return here && !others
      ? [
          `Neither side may hand over "${id}", so nothing would be. ${howToPermit(source, entry, option)} ${howToPermit(target, there, option)}`,
        ]
      : [];
  }
  const [who, how] = here
    ? [from, howToPermit(source, entry, option)]
    : [to, howToPermit(target, there, option)];
  return [`${who} may not hand over "${id}", and the other side expects it. ${how}`];
}
