import path from 'node:path';
import type { Inventory } from '../../../vm/inventory';
import { givenOptions, readOptions } from '../../../vm/qemuOptions';
import type { MachineSnapshot } from '../../../vm/types';
import { execObstacles as processObstacles } from '../../methods/execObstacles';
import type { MethodFacts } from './methodFacts';
import type { Obstacle } from './obstacle';
import type { MigrationRequest } from '../types';

const keepIt = 'Start the program with what the running one has.';

/**
 * For `cpr-exec`. There is no way back: a command line that the new program does not take, or a
 * device that it lacks, is the end of the guest.
 */
export function execObstacles(
  request: MigrationRequest,
  machine: MachineSnapshot,
  inventory: Inventory,
  facts: MethodFacts,
): readonly Obstacle[] {
  const running = machine.process?.args;
  const given = request.options?.execCommand;
  const effective = given ?? running;
  if (running === undefined || running.length === 0 || effective === undefined) {
    return [
      {
        id: 'exec-unknown',
        side: 'source',
        reason: `How ${machine.label} was started cannot be told from here.`,
        nextStep: 'Run this as the user of the QEMU.',
      },
    ];
  }
  return [
    ...(given === undefined
      ? []
      : [...programObstacles(given, facts), ...differences(given, running)]),
    // What the process itself shows is more, and surer.
    ...(facts.exec === undefined
      ? [
          ...pluggedSince(effective, machine, inventory),
          ...tapObstacles(machine, facts),
          ...descriptorSets(effective),
        ]
      : processObstacles(facts.exec)),
  ];
}

function command(reason: string, nextStep: string, subject?: string): Obstacle {
  return { id: 'exec-command', side: 'source', ...(subject && { subject }), reason, nextStep };
}

function programObstacles(
  given: readonly string[],
  { program: state }: MethodFacts,
): readonly Obstacle[] {
  const [program, ...args] = given;
  const found: Obstacle[] = [];
  if (program === undefined || !path.isAbsolute(program)) {
    const reason = 'The command does not begin with the absolute path of a program.';
    return [command(reason, 'Give it, such as /usr/bin/qemu-system-x86_64.')];
  }
  if (state === 'missing') found.push(command(`There is no ${program}.`, 'Correct the path.'));
  if (state === 'not-executable') {
    found.push(command(`${program} cannot be executed.`, 'Correct the path, or its mode.'));
  }
  if (given.some((each) => each.includes('\0'))) {
    found.push(command('The command holds a zero byte.', 'Correct it.'));
  }
  for (const [option, why] of [
    ['incoming', 'where the state comes from is set by the run'],
    ['daemonize', 'the new program would leave the process that is watched'],
    ['preconfig', 'the new program would wait before it has a machine'],
  ] as const) {
    if (hasFlag(args, option)) {
      found.push(command(`The command has "-${option}", and ${why}.`, 'Leave it out.', option));
    }
  }
  return found;
}

function hasFlag(args: readonly string[], name: string): boolean {
  return args.some((each) => each === `-${name}` || each === `--${name}`);
}

/** Options by which the new program builds the same machine, with what of each must be the same. */
const sameOptions = ['machine', 'm', 'smp', 'cpu', 'uuid'] as const;
const aliases: Readonly<Record<string, string>> = { M: 'machine' };
const withIds = ['device', 'object', 'netdev', 'drive', 'blockdev'] as const;

function valuesOf(args: readonly string[], name: string): readonly string[] {
  const others = Object.keys(aliases).filter((alias) => aliases[alias] === name);
  return [name, ...others].flatMap((each) => givenOptions(args, each));
}

function differences(given: readonly string[], running: readonly string[]): readonly Obstacle[] {
  const found: Obstacle[] = [];
  for (const name of sameOptions) {
    const [here, there] = [valuesOf(running, name).join(' '), valuesOf(given, name).join(' ')];
    if (here === there) continue;
    found.push({
      id: 'exec-command-differs',
      side: 'source',
      subject: name,
      reason: `-${name} differs: "${here || 'none'}" of the running QEMU and "${there || 'none'}" of the command.`,
      nextStep: keepIt,
    });
  }
  for (const name of withIds) {
    const left = givenOptions(given, name).map(nameOf);
    for (const wanted of givenOptions(running, name).map(nameOf)) {
      const index = left.indexOf(wanted);
      if (index >= 0) {
        left.splice(index, 1);
        continue;
      }
      found.push({
        id: 'exec-command-differs',
        side: 'source',
        subject: wanted,
        reason: `The command has no "-${name}" for ${wanted}.`,
        nextStep: keepIt,
      });
    }
  }
  return found;
}

/** The kind and the id: what names the state of a thing in the stream. */
function nameOf(value: string): string {
  const { first, options } = readOptions(value);
  const kind = first ?? options.get('driver') ?? options.get('qom-type') ?? options.get('type');
  const id = options.get('id') ?? options.get('node-name');
  return [kind, id].filter((each) => each !== undefined).join(' ') || value;
}

/** Devices and memory that came after the start are in no command line. */
function pluggedSince(
  args: readonly string[],
  { label }: MachineSnapshot,
  inventory: Inventory,
): readonly Obstacle[] {
  const ids = new Set(
    [...withIds, 'chardev'].flatMap((name) =>
      givenOptions(args, name).flatMap((value) => readOptions(value).options.get('id') ?? []),
    ),
  );
  const devices = (inventory.devices ?? []).filter(({ named, id }) => named && !ids.has(id));
  const memory = (inventory.memory ?? []).filter(
    ({ id }) => id !== inventory.mainMemory && !ids.has(id),
  );
  return [...devices, ...memory].map(({ id }) => ({
    id: 'exec-device-missing',
    side: 'source',
    subject: id,
    reason: `"${id}" is not in the command line: it was added to ${label} later, and the new program would not have it.`,
    nextStep: `Give a command that has it, or unplug "${id}" first.`,
  }));
}

/** The old descriptor survives, and keeps the new program from opening the interface. */
function tapObstacles({ label }: MachineSnapshot, { netdevs }: MethodFacts): readonly Obstacle[] {
  return (netdevs ?? [])
    .filter(({ type, ifname, incoming }) => type === 'tap' && ifname !== undefined && !incoming)
    .map(({ id, ifname }) => ({
      id: 'exec-tap',
      side: 'source',
      subject: id,
      reason: `${label} opened the interface ${ifname ?? ''} of "${id}" by its name; the new program would find it busy, and end.`,
      nextStep: `Start it with an open descriptor: "-netdev tap,id=${id},fd=N".`,
    }));
}

/** Those given by QMP are gone with the old program; those of `-add-fd` are inherited. */
function descriptorSets(args: readonly string[]): readonly Obstacle[] {
  const sets = new Set(
    args.flatMap((each) => [...each.matchAll(/\/dev\/fdset\/(\d+)/g)].map(([, set]) => set)),
  );
  const kept = new Set(
    givenOptions(args, 'add-fd').map((value) => readOptions(value).options.get('set')),
  );
  return [...sets]
    .filter((set) => !kept.has(set))
    .map((set) => ({
      id: 'exec-fdset',
      side: 'source',
      subject: set ?? '',
      reason: `The command opens /dev/fdset/${set ?? ''}, and descriptor sets are gone with the old program.`,
      nextStep: `Give it with "-add-fd fd=N,set=${set ?? ''}", or by a path.`,
    }));
}
