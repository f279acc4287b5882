import path from 'node:path';
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
  { exec }: MethodFacts,
): readonly Obstacle[] {
  const running = machine.process?.args;
  const given = request.options?.execCommand;
  if (running === undefined || running.length === 0 || exec === undefined) {
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
    ...(given === undefined ? [] : [...commandObstacles(given), ...differences(given, running)]),
    ...processObstacles(exec),
  ];
}

function command(reason: string, nextStep: string, subject?: string): Obstacle {
  return { id: 'exec-command', side: 'source', ...(subject && { subject }), reason, nextStep };
}

function commandObstacles(given: readonly string[]): readonly Obstacle[] {
  const [program, ...args] = given;
  const found: Obstacle[] = [];
  if (program === undefined || !path.isAbsolute(program)) {
    const reason = 'The command does not begin with the absolute path of a program.';
    return [command(reason, 'Give it, such as /usr/bin/qemu-system-x86_64.')];
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
