import type { LiveUpdateRecord } from '../../../../src/migration/liveUpdate/updates';
import type {
  LedgerRow,
  LiveUpdatePlan,
  UpdateOutcome,
} from '../../../../src/migration/liveUpdate/types';

export const ledger: readonly LedgerRow[] = [
  { kind: 'disk', what: '/var/vm/web|1.qcow2', sourceFd: 11, targetFd: 13, fate: 'opened-anew' },
  { kind: 'tap', what: 'TAP web0, queue 1', sourceFd: 20, targetFd: 30, fate: 'handed-over' },
  { kind: 'vhost', what: 'vhost-net', sourceFd: 21, targetFd: undefined, fate: 'unclaimed' },
];

/** A plan as the planner would make it for a machine with one TAP. */
export function planOf(patch: Partial<LiveUpdatePlan> = {}): LiveUpdatePlan {
  const args = [
    '-name',
    'web-1',
    '-m',
    '512',
    '-qmp',
    'unix:/run/vm/.web-1.new,server=on,wait=off',
  ];
  return {
    request: { machine: '/run/vm/web-1.qmp', program: '/opt/qemu/bin/qemu', method: 'auto' },
    label: 'web-1',
    sourceVersion: '10.0.8',
    targetVersion: '11.1.3',
    method: 'tap-adoption',
    why: 'Neither QEMU hands TAPs over by itself.',
    methods: [
      { method: 'backend-transfer', offered: false, reason: 'QEMU 10.0.8 has no "local".' },
      { method: 'tap-adoption', offered: true, reason: 'The TAPs can be duplicated.' },
      { method: 'cpr-exec', offered: false, reason: 'QEMU 10.0.8 has no such mode.' },
      { method: 'plain', offered: true, reason: 'It always works, with a TAP of its own.' },
    ],
    run: { method: 'precopy', transport: 'fd', backendTransfer: 'as-is' },
    sourceArgs: [
      '-name',
      'web-1',
      '-m',
      '512',
      '-qmp',
      'unix:/run/vm/web-1.qmp,server=on,wait=off',
    ],
    start: {
      program: '/opt/qemu/bin/qemu',
      args: [...args, '-incoming', 'defer'],
      like: {
        ...{ pid: 4211, startTicks: 1n, uid: 0, executable: '/usr/bin/qemu', root: '/' },
        args: [],
      },
      adopt: [{ sourceFd: 20, targetFd: 30, tap: 'web0', netdev: 'net0' }],
      qmpSocket: '/run/vm/.web-1.new',
      logFile: '/run/vm/web-1.log',
      cprSocket: undefined,
    },
    changes: [],
    hotAdd: [],
    moves: [{ what: 'QMP socket', from: '/run/vm/.web-1.new', to: '/run/vm/web-1.qmp' }],
    pidFile: undefined,
    late: [],
    steps: [],
    findings: [],
    ledger,
    ...patch,
  };
}

export function outcomeOf(patch: Partial<UpdateOutcome> = {}): UpdateOutcome {
  return {
    kind: 'updated',
    run: undefined,
    headline: 'web-1 runs in QEMU 11.1.3 now.',
    details: [],
    nextStep: '',
    times: {
      beforeMs: 812.4,
      downtimeMs: 9,
      blackoutMs: 12.34,
      sourceGoneMs: 40,
      afterMs: undefined,
    },
    ledger,
    leftovers: [],
    targetPid: 4300,
    findings: [],
    ...patch,
  };
}

export function recordOf(outcome: UpdateOutcome | undefined, plan = planOf()): LiveUpdateRecord {
  return {
    id: 1,
    machine: plan.request.machine,
    label: plan.label,
    plan,
    startedAt: 0,
    progress: { phase: 'ended', step: '', run: undefined },
    outcome,
    journalId: '2026-11-23-web-1',
  };
}
