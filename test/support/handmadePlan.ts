import { randomBytes } from 'node:crypto';
import type { QemuBuild } from '../../scripts/lib/qemu';
import type { LiveUpdatePlan, PathMove } from '../../src/migration/liveUpdate/types';
import type { QemuProcess as ProcessFacts } from '../../src/vm/types';

/** What one plan is made of, by hand; `planLiveUpdate` makes them of a machine. */
export interface HandmadePlan {
  readonly source: ProcessFacts;
  readonly socket: string;
  readonly target: Pick<QemuBuild, 'binary' | 'prefixArgs' | 'version'>;
  readonly method: 'plain' | 'cpr-transfer';
  readonly targetVersion?: string | undefined;
  /** Tells the new QEMU's own paths from others'; absent: a random one. */
  readonly mark?: string;
  readonly patch?: Partial<LiveUpdatePlan>;
  /** Added to the new QEMU's arguments. */
  readonly extraArgs?: readonly string[];
}

/** The plan of a live update of a QEMU of `startQemu`, without any network. */
export function handmadePlan(wishes: HandmadePlan): LiveUpdatePlan {
  const { source, socket, target, method, patch = {} } = wishes;
  const mark = wishes.mark ?? randomBytes(3).toString('hex');
  const own = (path: string): string => `${path}.${mark}`;
  const moves: PathMove[] = [];
  const args = source.args.slice(1).map((argument, index, all) => {
    const option = all[index - 1];
    const from = /^(?:unix|file):([^,]+)/.exec(argument)?.[1];
    if (from !== undefined && (option === '-qmp' || option === '-serial')) {
      const what = option === '-qmp' ? 'QMP socket' : 'serial console';
      moves.push({ what, from: own(from), to: from });
      return argument.replace(from, own(from));
    }
    // Data that belongs to one build.
    if (option === '-L') return target.prefixArgs[index] ?? argument;
    return argument;
  });
  const cprSocket = method === 'cpr-transfer' ? own(`${socket}.cpr`) : undefined;
  const incoming = ['-incoming', 'defer'];
  if (cprSocket !== undefined) {
    const addr = { transport: 'socket', type: 'unix', path: cprSocket };
    incoming.push('-incoming', JSON.stringify({ 'channel-type': 'cpr', addr }));
  }
  const program = target.binary;
  return {
    request: { machine: socket, program, method: 'auto' },
    label: 'web',
    sourceVersion: '',
    targetVersion: wishes.targetVersion ?? target.version,
    method,
    why: '',
    methods: [],
    run: {
      method: method === 'plain' ? 'precopy' : 'cpr-transfer',
      transport: method === 'plain' ? 'fd' : 'unix',
      backendTransfer: 'as-is',
      ...(method === 'plain' && { maxBandwidthBytesPerSecond: 0n }),
      ...(cprSocket !== undefined && { options: { cprSocket } }),
    },
    sourceArgs: source.args.slice(1),
    start: {
      program,
      args: [...args, ...incoming, ...(wishes.extraArgs ?? [])],
      like: source,
      adopt: [],
      qmpSocket: own(socket),
      logFile: own(`${socket}.log`),
      cprSocket,
    },
    changes: [],
    hotAdd: [],
    moves,
    pidFile: undefined,
    late: [],
    steps: [],
    findings: [],
    ledger: [],
    ...patch,
  };
}
