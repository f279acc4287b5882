import { makeOption, withValue, type CommandOption } from '../../../vm/commandLine/commandLine';
import { isOn, readValue, writeValue } from '../../../vm/commandLine/optionValue';
import { lateGdb } from './characterDevices';
import { shown, type Draft, type Verdict } from './draft';
import { blocks, tells, warns } from './findings';
import { temporary } from './hostParts';

const removed = (why: string): Verdict => ({ after: [], why });

/** Options that say how QEMU starts, writes its log, and what it may do. */
export function startOption(option: CommandOption, draft: Draft): Verdict | undefined {
  switch (option.name) {
    case 'incoming':
      return removed('it is told what to wait for');
    case 'S':
      return draft.facts.guestRuns ? removed('the guest runs, and is to run on') : undefined;
    case 'daemonize':
      return removed('it stays a child while the update is watched');
    case 'pidfile':
      draft.pidFile = draft.knownAs(option.value ?? '');
      return removed('written when the old QEMU is gone');
    case 'loadvm':
      return removed("the guest's state comes from the old QEMU");
    case 'snapshot':
      temporary(option, draft);
      return undefined;
    case 'preconfig':
      blocks(
        draft,
        option,
        'live-update-preconfig',
        `With "${shown(option)}" the machine was made over QMP.`,
        'What was said there is not in the command line.',
      );
      return undefined;
    case 'runas':
      return removed('it is started as that user at once');
    case 'chroot': {
      chroot(option, draft);
      return;
    }
    case 'run-with':
      return runWith(option, draft);
    case 'D':
      return log(option, draft);
    case 'trace':
      return trace(option, draft);
    case 's':
      return {
        after: lateGdb('tcp::1234', draft),
        why: 'the port is in use until the old QEMU is gone',
      };
    case 'dump-vmstate':
    case 'writeconfig':
      return removed('it would write the file again');
    default:
      return undefined;
  }
}

function chroot(option: CommandOption, draft: Draft): undefined {
  blocks(
    draft,
    option,
    'live-update-chroot',
    `With "${shown(option)}" the old QEMU lives in another root directory.`,
    'Paths mean something else there, and only root could put the new one into it.',
  );
}

function runWith(option: CommandOption, draft: Draft): Verdict | undefined {
  const value = readValue(option);
  if (value === undefined) return undefined;
  if (value.has('chroot')) {
    chroot(option, draft);
    return;
  }
  let rest = value.without('user');
  if (isOn(rest.get('exit-with-parent'))) {
    rest = rest.without('exit-with-parent');
    warns(
      draft,
      option,
      'live-update-parent',
      'The new QEMU does not end with the program that started the old one.',
      'It is started by the update, and would end with that.',
      'Watch it in another way, for example by its pidfile.',
    );
  }
  const why = 'it is started as that user at once, and not to end with the update';
  if (rest.print() === value.print()) return undefined;
  return { after: rest.entries.length === 0 ? [] : [writeValue(option, rest)], why };
}

function log(option: CommandOption, draft: Draft): Verdict | undefined {
  const file = option.value ?? '';
  // %d is the pid, which is another one.
  if (file.includes('%d')) return undefined;
  const own = draft.own(draft.knownAs(file));
  tells(
    draft,
    option,
    'live-update-log',
    `The new QEMU writes its log to ${own}.`,
    'It would empty the old file.',
  );
  return { after: [withValue(option, own)], why: 'the old log would be emptied' };
}

function trace(option: CommandOption, draft: Draft): Verdict | undefined {
  const value = readValue(option);
  const file = value?.get('file');
  if (value === undefined || file === undefined) return undefined;
  const own = draft.own(draft.knownAs(file));
  tells(
    draft,
    option,
    'live-update-log',
    `The new QEMU writes its trace to ${own}.`,
    'It would empty the old file.',
  );
  return {
    after: [writeValue(option, value.with('file', own))],
    why: 'the old trace would be emptied',
  };
}

/**
 * The option that gives the machine its type: the last one that names one counts. Where none does, an
 * option is added.
 */
export function pinnedMachine(option: CommandOption, draft: Draft): Verdict | undefined {
  const { machineType } = draft.wishes;
  if (machineType === undefined || option !== lastTyped(draft.options)) return undefined;
  const value = readValue(option);
  if (value === undefined || value.get('type') === machineType) return undefined;
  return {
    after: [writeValue(option, value.with('type', machineType))],
    why: 'the versioned name, since the short one may mean a later machine there',
  };
}

/** The `-machine` that counts. */
export function lastTyped(options: readonly CommandOption[]): CommandOption | undefined {
  return options.findLast(
    (option) => isMachine(option) && readValue(option)?.get('type') !== undefined,
  );
}

function isMachine({ name }: CommandOption): boolean {
  return name === 'machine' || name === 'M';
}

export function addedMachine(draft: Draft): readonly CommandOption[] {
  const { machineType } = draft.wishes;
  if (machineType === undefined || lastTyped(draft.options) !== undefined) return [];
  return [makeOption('machine', `type=${machineType}`)];
}
