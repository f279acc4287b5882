import { stageOf } from './migrationInfo';
import { isHandingOver, isPostcopy, type SideView } from './ownership';
import type { GuestOwner, RunPhase } from './types';

/**
 * The state machine of a run, as data: what may be sent in each state, where it may go from there,
 * and who may run the guest meanwhile. Everything that a run sends passes the gate (`gate.ts`), which
 * asks this table; the diagram in CONTRIBUTING.md is printed from it (`npm run diagram`).
 */
export interface StateRow {
  /** For a person: what goes on. */
  readonly words: string;
  /** QMP commands that change something; queries may be sent always. */
  readonly commands: readonly RunCommand[];
  readonly exits: readonly RunPhase[];
  /** Who may run the guest as long as nothing else is proven. */
  readonly owner: GuestOwner;
}

/** QMP commands with an effect that a run sends. */
export type RunCommand =
  | 'migrate-set-capabilities'
  | 'migrate-set-parameters'
  | 'getfd'
  | 'closefd'
  | 'add-fd'
  | 'remove-fd'
  | 'netdev_add'
  | 'netdev_del'
  | 'device_add'
  | 'migrate-incoming'
  | 'migrate'
  | 'migrate-start-postcopy'
  | 'migrate-continue'
  | 'migrate_cancel'
  | 'migrate-pause'
  | 'migrate-recover'
  | 'yank'
  /** Each needs a proof as well, see `ownership.ts`. */
  | 'stop'
  | 'cont'
  | 'quit';

const settings = ['migrate-set-capabilities', 'migrate-set-parameters'] as const;
const takingBack = [...settings, 'closefd', 'remove-fd', 'netdev_del'] as const;

export const states: Readonly<Record<RunPhase, StateRow>> = {
  plan: {
    words: 'planned',
    commands: [],
    exits: ['preflight'],
    owner: 'source',
  },
  preflight: {
    words: 'checking both sides',
    commands: [],
    exits: ['prepare', 'ended'],
    owner: 'source',
  },
  prepare: {
    words: 'preparing both sides',
    commands: [
      ...takingBack,
      ...(['getfd', 'add-fd', 'netdev_add', 'device_add', 'migrate-incoming', 'migrate'] as const),
    ],
    exits: ['transfer', 'settle'],
    owner: 'source',
  },
  transfer: {
    words: 'transferring',
    commands: [
      ...settings,
      // The target of a cpr-transfer comes up only now.
      ...(['migrate-incoming', 'migrate-start-postcopy'] as const),
      // `cont` takes back a pause of ours when nobody watches any more.
      ...(['stop', 'cont', 'migrate_cancel', 'yank'] as const),
    ],
    exits: ['held', 'switch-over', 'postcopy', 'interrupted', 'cancel', 'settle', 'needs-you'],
    owner: 'source',
  },
  held: {
    words: 'standing still before the switchover',
    commands: ['migrate-set-parameters', 'migrate-continue', 'stop', 'cont', 'migrate_cancel'],
    exits: ['transfer', 'switch-over', 'postcopy', 'interrupted', 'cancel', 'settle', 'needs-you'],
    owner: 'source',
  },
  'switch-over': {
    words: 'switching over',
    // From here on nothing may be undone before the target's word.
    commands: [],
    exits: ['transfer', 'held', 'postcopy', 'interrupted', 'cancel', 'settle', 'needs-you'],
    owner: 'neither-yet',
  },
  postcopy: {
    words: 'running on the target, its memory still arriving',
    commands: ['migrate-set-parameters', 'migrate-pause'],
    // To `switch-over` by a status that only a later QEMU knows.
    exits: ['interrupted', 'switch-over', 'settle', 'needs-you'],
    owner: 'target',
  },
  interrupted: {
    words: 'postcopy is interrupted',
    commands: ['getfd', 'closefd', 'migrate-recover', 'migrate', 'migrate-pause'],
    exits: ['postcopy', 'switch-over', 'settle', 'needs-you'],
    owner: 'target',
  },
  cancel: {
    words: 'cancelling',
    commands: ['stop', 'migrate_cancel', 'yank', 'cont'],
    exits: ['transfer', 'held', 'switch-over', 'postcopy', 'interrupted', 'settle', 'needs-you'],
    owner: 'source',
  },
  settle: {
    words: 'settling',
    // `stop`: a target that might start although the source took the guest back.
    commands: [...takingBack, 'stop', 'cont', 'yank'],
    exits: ['needs-you', 'ended'],
    owner: 'unknown',
  },
  'needs-you': {
    words: 'needs you',
    commands: [...takingBack],
    exits: ['ended'],
    owner: 'unknown',
  },
  ended: {
    words: 'ended',
    commands: [],
    exits: [],
    owner: 'unknown',
  },
};

/** Who may run the guest in a state, coming from another one: at the end nothing is known anew. */
export function ownerIn(state: RunPhase, before: GuestOwner): GuestOwner {
  return state === 'settle' ? before : states[state].owner;
}

export function isAllowed(state: RunPhase, command: RunCommand): boolean {
  return states[state].commands.includes(command);
}

export function mayEnter(from: RunPhase, to: RunPhase): boolean {
  return from === to || states[from].exits.includes(to);
}

/** What the source says of a run in these states puts it into no other: its part is over. */
const over: readonly RunPhase[] = ['settle', 'needs-you', 'ended'];
/** From these the guest does not come back: a source that moves data is in another migration. */
const beyondReturn: readonly RunPhase[] = ['postcopy', 'interrupted'];

/**
 * Where an answer of the source puts a run whose `migrate` was sent. Statuses of later QEMUs count
 * as `switch-over`: in progress, and nothing may be undone.
 */
export function stateSeen(now: RunPhase, source: SideView, cancelSent: boolean): RunPhase {
  if (over.includes(now)) return now;
  if (source.kind === 'gone') return 'settle';
  if (source.kind === 'silent') return now;
  const { migrationStatus } = source;
  switch (stageOf(migrationStatus)) {
    case 'moving':
      if (beyondReturn.includes(now)) return now;
      if (isHandingOver(source)) return 'switch-over';
      return cancelSent ? 'cancel' : 'transfer';
    case 'paused-before-switchover':
      if (beyondReturn.includes(now)) return now;
      if (isHandingOver(source)) return 'switch-over';
      return cancelSent ? 'cancel' : 'held';
    case 'point-of-no-return':
      if (migrationStatus === 'postcopy-paused') return 'interrupted';
      return isPostcopy(migrationStatus) ? 'postcopy' : 'switch-over';
    case 'none':
    case 'ending':
    case 'completed':
    case 'failed':
    case 'cancelled':
      return 'settle';
  }
}
