import { stringifyJson, type JsonObject, type JsonValue } from '../../qmp/json';
import { guardsSwitchover, plannedSettings } from '../methods/planned';
import { switchoverEstimateBytesPerSecond } from '../run/checks/candidates';
import type { SideName } from '../run/journal/entries';
import type { MigrationRequest } from '../run/types';
import { backendTransferOf } from '../settings/backendTransfer';
import type { VmFacts } from '../../vm/types';
import type { MachineSnapshot } from '../../vm/types';
import { shellWord } from './shellWord';
import type {
  AdoptedDescriptor,
  HotAddedNic,
  LateCommand,
  PathMove,
  PlanStep,
  TargetStart,
  UpdateMethod,
} from './types';

export interface StepsInput {
  readonly method: UpdateMethod;
  /** As the run engine is going to get it. */
  readonly request: MigrationRequest;
  readonly source: MachineSnapshot;
  /** As it is expected to be; see `projectedTarget`. */
  readonly target: MachineSnapshot;
  readonly start: TargetStart;
  readonly hotAdd: readonly HotAddedNic[];
  readonly moves: readonly PathMove[];
  readonly late: readonly LateCommand[];
  readonly pidFile: string | undefined;
}

/** The name of the channel, which the run makes up. */
export const channelName = 'qemu-migration-RANDOM';

/** Every step in the order of doing, each with the line that is sent. Pure. */
export function planSteps(input: StepsInput): readonly PlanStep[] {
  return input.method === 'cpr-exec' ? execSteps(input) : moveSteps(input);
}

function moveSteps(input: StepsInput): readonly PlanStep[] {
  const { method, request, target, start, hotAdd, late, moves, pidFile } = input;
  const arriving = method === 'cpr-transfer';
  const adopting = start.adopt.some(({ tap }) => tap !== undefined);
  const { transport } = request;
  const uri =
    transport === 'fd' ? `fd:${channelName}` : 'unix:/tmp/qemu-migration-RANDOM/migration.sock';
  const stays = target.facts?.schema.argument('migrate-incoming', 'exit-on-error') !== undefined;
  const incoming = qmp('target', 'Let it wait for the guest', 'migrate-incoming', {
    uri,
    ...(stays && { 'exit-on-error': false }),
  });
  const targetSettings = [
    ...settingSteps('target', input),
    ...hotAdd.flatMap(({ netdev, device }) => [
      qmp(
        'target',
        'Make the network device, which waits for its descriptors',
        'netdev_add',
        netdev as JsonObject,
      ),
      qmp('target', 'Make its NIC in the same place', 'device_add', device as JsonObject),
    ]),
  ];
  const migrate = qmp(
    'source',
    'Begin',
    'migrate',
    arriving
      ? {
          channels: [
            channel('main', uri.replace(/^unix:/, '')),
            channel('cpr', start.cprSocket ?? ''),
          ],
        }
      : { uri },
  );
  return [
    ...(adopting
      ? [
          host(
            'Keep duplicates of the TAP queues and remember the size of their virtio-net header; it is put back at once whenever the new QEMU changes it',
            undefined,
          ),
        ]
      : []),
    host('Start the new QEMU like the old one', launchLine(start)),
    ...(arriving ? [] : [host('Wait until its monitor answers', undefined)]),
    ...(arriving ? [] : targetSettings),
    ...settingSteps('source', input),
    ...(transport === 'fd'
      ? [
          host('Make a pair of connected sockets and hand one end to each QEMU', undefined),
          qmp('source', 'It gets one end', 'getfd', { fdname: channelName }),
          qmp('target', 'It gets the other', 'getfd', { fdname: channelName }),
        ]
      : []),
    ...(arriving
      ? [
          migrate,
          host('Wait until the monitor of the new QEMU answers', undefined),
          ...targetSettings,
          incoming,
        ]
      : [incoming, migrate]),
    ...pauseSteps(request),
    qmp('source', 'Ask for the final figures', 'query-migrate', undefined, 'after'),
    qmp(
      'source',
      'End the old QEMU at once: it still holds what both have open',
      'quit',
      undefined,
      'after',
    ),
    ...late.map(({ what, command, args }) =>
      qmp('target', `Take over: ${what}`, command, args as JsonObject, 'after'),
    ),
    ...moves.map(({ what, from, to }) =>
      host(
        `Give the ${what} its old name`,
        `mv -f -- ${shellWord(from)} ${shellWord(to)}`,
        'after',
      ),
    ),
    ...(pidFile === undefined
      ? []
      : [host('Write the new process into the pidfile', pidFile, 'after')]),
  ];
}

function execSteps(input: StepsInput): readonly PlanStep[] {
  const { start, pidFile } = input;
  const state = '/tmp/qemu-migration-RANDOM/state';
  return [
    host(
      'Try the new program with these options apart from the guest (done when the plan was made)',
      undefined,
    ),
    ...settingSteps('source', input),
    qmp('source', 'Say which program takes over', 'migrate-set-parameters', {
      mode: 'cpr-exec',
      'cpr-exec-command': [start.program, ...start.args, '-incoming', `file:${state}`],
    }),
    qmp('source', 'Begin', 'migrate', { uri: `file:${state}` }),
    step('pause', 'source', 'The guest stops, and its devices go into a file', undefined),
    step(
      'pause',
      'source',
      'The process becomes the new program, which loads them; the guest goes on',
      undefined,
    ),
    host(
      'Wait until its monitor answers again, and look whether the guest runs',
      undefined,
      'after',
    ),
    ...(pidFile === undefined
      ? []
      : [host('The pidfile stays right: the process is the same', undefined, 'after')]),
  ];
}

function pauseSteps(request: MigrationRequest): readonly PlanStep[] {
  const stands = step(
    'pause',
    'source',
    'STOP: the guest stands still, and what is left of it is sent',
    undefined,
  );
  const goesOn = 'RESUME: the guest goes on in the new QEMU';
  if (!guardsSwitchover(request)) return [stands, step('pause', 'target', goesOn, undefined)];
  return [
    stands,
    qmp('target', 'Keep it from starting by itself', 'stop', undefined, 'pause'),
    qmp('source', 'Send the rest', 'migrate-continue', { state: 'pre-switchover' }, 'pause'),
    qmp('target', `Once both are proven to be done: ${goesOn}`, 'cont', undefined, 'pause'),
  ];
}

/** The same as `run/steps.ts` sends. */
function settingSteps(
  side: SideName,
  { request, source, target }: StepsInput,
): readonly PlanStep[] {
  const snapshot = side === 'source' ? source : target;
  const { facts } = snapshot;
  if (facts === undefined) return [];
  const planned = plannedSettings(request, side);
  const { mode, ...parameters } = planned.parameters;
  const isCommon = (name: string): boolean => name === 'return-path' || name === 'events';
  const missing = Object.entries(planned.capabilities)
    .filter(([name, state]) => isOff(facts, name) && state)
    .map(([name]) => name);
  const capabilities = [missing.filter(isCommon), missing.filter((name) => !isCommon(name))];
  const set = (values: JsonObject): PlanStep =>
    qmp(side, `Set ${Object.keys(values).join(', ')}`, 'migrate-set-parameters', values);
  const steps: PlanStep[] = capabilities
    .filter((names) => names.length > 0)
    .map((names) =>
      qmp(side, `Turn ${names.join(' and ')} on`, 'migrate-set-capabilities', {
        capabilities: names.map((capability) => ({ capability, state: true })),
      }),
    );
  for (const [name, value] of Object.entries(parameters)) steps.push(set({ [name]: value }));
  const offer = backendTransferOf(snapshot);
  if (request.backendTransfer !== 'as-is' && offer?.kind === 'boolean') {
    steps.push(set({ [offer.parameter]: request.backendTransfer === 'on' }));
  }
  if (side === 'target') return steps;
  if (request.method !== 'cpr-exec' && hasMode(facts)) steps.push(set({ mode: mode ?? 'normal' }));
  const { maxBandwidthBytesPerSecond: limit } = request;
  if (limit === undefined) return steps;
  steps.push(set({ 'max-bandwidth': limit }));
  if (limit === 0n && facts.parameters['avail-switchover-bandwidth'] === 0) {
    steps.push(set({ 'avail-switchover-bandwidth': switchoverEstimateBytesPerSecond }));
  }
  return steps;
}

function hasMode({ schema }: VmFacts): boolean {
  return schema.argument('migrate-set-parameters', 'mode') !== undefined;
}

function isOff({ capabilities }: VmFacts, name: string): boolean {
  return capabilities.some((one) => one.name === name && !one.enabled);
}

function channel(type: string, file: string): JsonObject {
  return { 'channel-type': type, addr: { transport: 'socket', type: 'unix', path: file } };
}

/** The helper's verb, as a shell would call it. */
function launchLine({ program, args, adopt, like, logFile }: TargetStart): string {
  const descriptors = adopt.flatMap((one) => ['--adopt', adoptWord(one)]);
  const words = [
    ...['fdpass', 'launch', '--like', String(like.pid), '--start-ticks', String(like.startTicks)],
    ...[...descriptors, '--log', '3', '--env-like', '--', program, ...args],
  ];
  return `${words.map(shellWord).join(' ')} 3>>${shellWord(logFile)}`;
}

/** For the helper: its number in the source, its number in the target, and what it has to be. */
export function adoptWord({ sourceFd, targetFd, tap }: AdoptedDescriptor): string {
  return `${sourceFd}=${targetFd}${tap === undefined ? '' : `:${tap}`}`;
}

function qmp(
  side: SideName,
  what: string,
  execute: string,
  args?: Readonly<Record<string, JsonValue>>,
  phase: PlanStep['phase'] = 'before',
): PlanStep {
  const command = args === undefined ? { execute } : { execute, arguments: args };
  return { phase, side, what, line: stringifyJson(command) };
}

function host(
  what: string,
  line: string | undefined,
  phase: PlanStep['phase'] = 'before',
): PlanStep {
  return { phase, side: 'host', what, line };
}

function step(
  phase: PlanStep['phase'],
  side: PlanStep['side'],
  what: string,
  line: string | undefined,
): PlanStep {
  return { phase, side, what, line };
}
