import {
  isKnown,
  makeOption,
  readCommandLine,
  type CommandOption,
} from '../../../vm/commandLine/commandLine';
import { givenId } from '../../../vm/commandLine/ids';
import { escapeCommas } from '../../../vm/commandLine/optionValue';
import { readConfigFile } from '../../../vm/commandLine/readConfig';
import type { RewriteCommandLine, RewriteFacts, RewrittenCommandLine } from '../commandLineTypes';
import type { ArgumentChange } from '../types';
import { characterDevice } from './characterDevices';
import { display, noGraphic } from './displays';
import { Draft, shown, type Entry, type Verdict } from './draft';
import { blocks, tells } from './findings';
import { addFd, audio, disk, hostPart } from './hostParts';
import { hotPlugged, isUnplugged } from './live';
import { isNicOf, network } from './networks';
import { pinPlaces } from './places';
import { addedMachine, pinnedMachine, startOption } from './start';

/**
 * The target's command line from the live source's. Only what has to differ is changed, each option in
 * its place; what is kept is kept word by word. What exists once, or is not understood, is a finding.
 * Pure.
 */
export const rewriteCommandLine: RewriteCommandLine = (facts, wishes) => {
  const given = readCommandLine(facts.args).map((option) => expand(option, facts));
  const all = given.flatMap(({ options }) => options);
  const there = all.filter((option) => !isUnplugged(option, facts.live));
  const first = new Draft(facts, wishes, there);
  const added = hotPlugged(first);
  const draft = new Draft(facts, wishes, [...there, ...added]);
  draft.findings.push(...first.findings);
  ownSocketIsFree(draft);
  for (const { source, problem } of given) {
    if (problem !== undefined) {
      blocks(draft, source, 'live-update-readconfig', problem, 'What it opens is not known.');
    }
  }

  const entries = new Map<CommandOption, Entry>();
  for (const option of all) entries.set(option, entryOf(option, there, draft));
  const appended = added.map((option): Entry => {
    const after = rewriteOption(option, draft)?.after ?? [option];
    return { before: undefined, after, why: 'plugged in since the start' };
  });
  const everything = [...entries.values(), ...appended];
  leaveOutNics(everything, added, draft);
  pinPlaces(everything, draft);

  const changes: ArgumentChange[] = [];
  for (const { source, options } of given) {
    changes.push(changeOf(source, options, entries));
  }
  for (const { after, why } of appended) {
    if (after.length > 0) changes.push(change(undefined, after, why));
  }
  for (const option of addedMachine(draft)) {
    changes.push(change(undefined, [option], 'the versioned name of its machine'));
  }
  if (!draft.hasQmpSocket) changes.push(change(undefined, [ownQmp(draft)], 'to drive it'));
  for (const value of wishes.incoming) {
    changes.push(change(undefined, [makeOption('incoming', value)], 'it waits for the guest'));
  }
  return result(draft, changes);
};

/** The old QEMU removes, when it ends, every path that it once bound, whoever has it by then. */
function ownSocketIsFree(draft: Draft): void {
  const { qmpSocket } = draft.wishes;
  if (!draft.isOfSource(qmpSocket)) return;
  draft.find({
    id: 'live-update-own-path',
    level: 'blocks',
    subject: qmpSocket,
    what: `${qmpSocket} is also in the command line of the source.`,
    why: 'The old QEMU removes it when it ends, and then nobody could reach the new one.',
    nextStep: 'Take another path for the QMP socket of the new QEMU.',
  });
}

/** A `-readconfig` stands for the options in its file. */
interface Given {
  readonly source: CommandOption;
  readonly options: readonly CommandOption[];
  readonly problem: string | undefined;
}

function expand(source: CommandOption, { configFiles }: RewriteFacts): Given {
  if (source.name !== 'readconfig') return { source, options: [source], problem: undefined };
  const text = configFiles.get(source.value ?? '');
  if (text === undefined) {
    return { source, options: [source], problem: `The file of "${shown(source)}" cannot be read.` };
  }
  const { options, unknown } = readConfigFile(text);
  return unknown.length === 0
    ? { source, options, problem: undefined }
    : {
        source,
        options,
        problem: `In the file of "${shown(source)}" this is not understood: ${unknown.join(' ')}`,
      };
}

function entryOf(option: CommandOption, there: readonly CommandOption[], draft: Draft): Entry {
  if (!there.includes(option)) {
    return { before: option, after: [], why: 'unplugged since the start' };
  }
  const verdict = rewriteOption(option, draft);
  return { before: option, after: verdict?.after ?? [option], why: verdict?.why };
}

/** Options that reach nothing that exists once: kept word by word. */
const harmless = new Set(
  (
    'name uuid cpu smp m accel nodefaults no-user-config no-reboot no-shutdown enable-kvm rtc boot global L smbios ' +
    'acpitable no-acpi no-hpet no-fd-bootchk usb overcommit msg action vga k icount only-migratable kernel initrd append bios dtb ' +
    'numa g semihosting semihosting-config mem-prealloc mem-path fw_cfg watchdog-action watchdog sandbox mon d dfilter ' +
    'full-screen portrait rotate echr option-rom compat seed async-teardown enable-sync-profile iscsi audio ' +
    'singlestep one-insn-per-tb tb-size win2k-hack prom-env xen-attach xen-domid xen-domid-restrict old-param shim ' +
    'id perfmap jitdump alt-grab ctrl-grab no-frame no-quit sdl'
  ).split(' '),
);

function rewriteOption(option: CommandOption, draft: Draft): Verdict | undefined {
  const { name } = option;
  if (!isKnown(option)) {
    blocks(
      draft,
      option,
      'live-update-option',
      `The option "${shown(option)}" is not known.`,
      'It may open something that one QEMU at a time can have.',
      'Look it up, and leave it out of the command line in the plan if the new QEMU does not need it.',
    );
    return undefined;
  }
  if (harmless.has(name)) return undefined;
  switch (name) {
    case 'chardev':
    case 'serial':
    case 'parallel':
    case 'monitor':
    case 'qmp':
    case 'qmp-pretty':
    case 'debugcon':
    case 'gdb':
    case 'qtest':
      return characterDevice(option, draft);
    case 'netdev':
    case 'nic':
    case 'net':
      return network(option, draft);
    case 'vnc':
    case 'spice':
    case 'display':
      return display(option, draft);
    case 'nographic':
      return noGraphic(option, draft);
    case 'machine':
    case 'M':
      return pinnedMachine(option, draft);
    case 'device':
    case 'object':
    case 'tpmdev':
    case 'fsdev':
    case 'virtfs':
      return hostPart(option, draft);
    case '':
    case 'drive':
    case 'blockdev':
    case 'hda':
    case 'hdb':
    case 'hdc':
    case 'hdd':
    case 'cdrom':
    case 'fda':
    case 'fdb':
    case 'pflash':
    case 'mtdblock':
    case 'sd': {
      disk(option, draft);
      return;
    }
    case 'add-fd':
      return addFd(option, draft);
    case 'audiodev':
      return audio(option, draft);
    case 'usbdevice':
      if (/^host:/.test(option.value ?? ''))
        return hostPart(makeOption('device', 'usb-host'), draft);
      return undefined;
    case 'set':
      return setOption(option, draft);
    case 'readconfig':
      return undefined;
    case 'plugin':
      tells(
        draft,
        option,
        'live-update-plugin',
        `"${shown(option)}" runs in both QEMUs.`,
        'What it counts begins anew, and a file that it writes may be emptied.',
      );
      return undefined;
    default:
      return startOption(option, draft);
  }
}

/** `-set device.ID.KEY=VALUE` changes an option that stands elsewhere. */
function setOption(option: CommandOption, draft: Draft): Verdict | undefined {
  const [, group, id, key] = /^([\w-]+)\.([\w.-]+)\.([\w-]+)=/.exec(option.value ?? '') ?? [];
  const isHarmless =
    group === 'device' && !/^(chardev|drive|netdev|fd|vhostfd|bus|addr|host|mac)$/.test(key ?? '');
  if (!isHarmless) {
    blocks(
      draft,
      option,
      'live-update-set',
      `"${shown(option)}" changes another option.`,
      'What becomes of both together is not understood.',
      'Start the guest with the value in the option itself.',
    );
    return undefined;
  }
  return draft.options.some((other) => other.name === group && givenId(other) === id)
    ? undefined
    : { after: [], why: 'its device is not there' };
}

/** NICs of networks that are left out, those plugged in since the start included. */
function leaveOutNics(
  entries: readonly Entry[],
  added: readonly CommandOption[],
  draft: Draft,
): void {
  for (const { netdev } of draft.leftOut) {
    for (const entry of entries) {
      const [only] = entry.after;
      if (only === undefined || !isNicOf(only, netdev)) continue;
      if (givenId(only) === undefined && !added.includes(only)) {
        blocks(
          draft,
          only,
          'live-update-nic',
          `The NIC "${shown(only)}" has no id.`,
          'It is left out and added over QMP, where it would have another name than in the old QEMU.',
          'Choose another method, such as TAP adoption.',
        );
      }
      entry.after = [];
      entry.why = 'added over QMP, with its network';
    }
  }
}

function change(
  before: CommandOption | undefined,
  after: readonly CommandOption[],
  why: string | undefined,
): ArgumentChange {
  const [was, will] = [before?.words ?? [], after.flatMap(({ words }) => words)];
  const same = was.length === will.length && was.every((word, at) => word === will[at]);
  const kind =
    before === undefined ? 'added' : same ? 'kept' : will.length === 0 ? 'removed' : 'changed';
  return { kind, before: was, after: will, why: same ? undefined : why };
}

function changeOf(
  source: CommandOption,
  options: readonly CommandOption[],
  entries: ReadonlyMap<CommandOption, Entry>,
): ArgumentChange {
  const parts = options.flatMap((option) => entries.get(option) ?? []);
  if (options.length === 1 && options[0] === source) {
    return change(source, parts[0]?.after ?? [], parts[0]?.why);
  }
  const isKept = parts.every(({ before, after }) => after.length === 1 && after[0] === before);
  if (isKept) return change(source, [source], undefined);
  const whys = [...new Set(parts.flatMap(({ why }) => why ?? []))];
  return change(
    source,
    parts.flatMap(({ after }) => after),
    `the file's options: ${whys.join('; ')}`,
  );
}

/** The source's was not found: perhaps it was opened over a monitor. */
function ownQmp(draft: Draft): CommandOption {
  const { qmpSocket, oldQmpSocket } = draft.wishes;
  draft.moves.push({ what: 'QMP socket', from: qmpSocket, to: draft.resolve(oldQmpSocket) });
  draft.find({
    id: 'live-update-qmp',
    level: 'tells',
    subject: oldQmpSocket,
    what: `Which option opens ${oldQmpSocket} is not clear.`,
    why: 'The new QEMU gets a QMP socket besides, which takes this name when the old one is gone.',
    nextStep: 'Nothing has to be done.',
  });
  return makeOption('qmp', `unix:${escapeCommas(qmpSocket)},server=on,wait=off`);
}

function result(draft: Draft, changes: readonly ArgumentChange[]): RewrittenCommandLine {
  const { adopt, leftOut, moves, late, pidFile, findings } = draft;
  return {
    args: changes.flatMap(({ after }) => after),
    changes,
    adopt,
    leftOut,
    moves: moves.filter((move, at) => moves.findIndex(({ to }) => to === move.to) === at),
    late,
    pidFile,
    findings,
  };
}

/** Values of `-readconfig` whose files have to be read beforehand. */
export function configFilesOf(args: readonly string[]): readonly string[] {
  return readCommandLine(args).flatMap(({ name, value }) =>
    name === 'readconfig' && value !== undefined ? [value] : [],
  );
}
