import { readFile, readlink, stat } from 'node:fs/promises';
import path from 'node:path';
import { readCredentials } from './access';
import { defaultProcRoot, readText } from './process';

/** The kinds of `/proc/PID/ns` in which what a QEMU opens may differ. */
const namespaceKinds = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts'] as const;
export type NamespaceKind = (typeof namespaceKinds)[number];

/** What surrounds a process, beyond its identity: what another one needs to be started alike. */
export interface ProcessContext {
  /** `undefined`: we may not know. */
  readonly cwd: string | undefined;
  /** Without what QEMU leaves there for itself; `undefined`: we may not read it. */
  readonly environment: ReadonlyMap<string, string> | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly groups: readonly number[];
  /** The namespace of each kind, such as `net:[4026531840]`; those that we may not see are left out. */
  readonly namespaces: ReadonlyMap<NamespaceKind, string>;
  /** Kinds in which the process is not where we are. */
  readonly foreignNamespaces: readonly NamespaceKind[];
  /** Of the unified hierarchy, such as `/machine.slice/vm.scope`. */
  readonly cgroup: string | undefined;
  /** Soft and hard limits, as the kernel names them. */
  readonly limits: ReadonlyMap<string, { readonly soft: string; readonly hard: string }>;
  /** What of it we may not see, each as a few words. */
  readonly hidden: readonly string[];
}

/** Set by QEMU for its own successor, or by a service manager for this very process alone. */
const ownVariables = new Set([
  'QEMU_CPR_EXEC_STATE',
  ...['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES', 'NOTIFY_SOCKET', 'WATCHDOG_PID'],
  ...['WATCHDOG_USEC', 'MAINPID', 'INVOCATION_ID', 'JOURNAL_STREAM', 'SYSTEMD_EXEC_PID'],
]);

/** What `/proc` tells; a part that is not ours to see is named in `hidden`. Never rejects. */
export async function readProcessContext(
  pid: number,
  procRoot = defaultProcRoot,
): Promise<ProcessContext> {
  const directory = path.join(procRoot, String(pid));
  const [cwd, environment, who, cgroups, limits, theirs, ours] = await Promise.all([
    readlink(path.join(directory, 'cwd')).catch(() => undefined),
    readFile(path.join(directory, 'environ'), 'utf8').catch(() => undefined),
    readCredentials(pid, procRoot),
    readText(path.join(directory, 'cgroup')),
    readText(path.join(directory, 'limits')),
    readNamespaces(directory),
    readNamespaces(path.join(procRoot, 'self')),
  ]);
  const hidden = [
    ...(cwd === undefined ? ['its working directory'] : []),
    ...(environment === undefined ? ['its environment'] : []),
    ...(who === undefined ? ['its user and groups'] : []),
    ...(theirs.size < namespaceKinds.length ? ['its namespaces'] : []),
  ];
  const [gid, ...groups] = who === undefined ? [] : [...who.gids];
  return {
    cwd,
    environment: environment === undefined ? undefined : variablesOf(environment),
    uid: who?.uid,
    gid,
    groups,
    namespaces: theirs,
    foreignNamespaces: [...theirs].flatMap(([kind, link]) =>
      ours.get(kind) === link || !ours.has(kind) ? [] : [kind],
    ),
    cgroup: /^0::(.*)$/m.exec(cgroups)?.[1],
    limits: limitsOf(limits),
    hidden,
  };
}

async function readNamespaces(directory: string): Promise<ReadonlyMap<NamespaceKind, string>> {
  const read = async (kind: NamespaceKind): Promise<readonly [NamespaceKind, string][]> => {
    const link = await readlink(path.join(directory, 'ns', kind)).catch(() => undefined);
    return link === undefined ? [] : [[kind, link]];
  };
  return new Map((await Promise.all(namespaceKinds.map(read))).flat());
}

function variablesOf(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split('\0').flatMap((entry): [string, string][] => {
      const at = entry.indexOf('=');
      if (at < 1) return [];
      const name = entry.slice(0, at);
      return ownVariables.has(name) ? [] : [[name, entry.slice(at + 1)]];
    }),
  );
}

/** Lines such as `Max open files            1024                 524288               files`. */
function limitsOf(text: string): ProcessContext['limits'] {
  return new Map(
    [...text.matchAll(/^(Max .+?) {2,}(\d+|unlimited) +(\d+|unlimited)/gm)].map(
      ([, name = '', soft = '', hard = '']) => [name, { soft, hard }],
    ),
  );
}

/**
 * Whether the kernel lets us duplicate that process's descriptors (`pidfd_getfd`, which asks for the
 * right to trace it). What a security module forbids besides is not looked at.
 *
 * @returns why not, as a sentence; `undefined`: it does
 */
export async function whyNotTraceable(
  pid: number,
  procRoot = defaultProcRoot,
): Promise<string | undefined> {
  const [mine, them, owner, scope] = await Promise.all([
    readText(path.join(procRoot, 'self', 'status')),
    readCredentials(pid, procRoot),
    stat(path.join(procRoot, String(pid))).catch(() => undefined),
    readText(path.join(procRoot, 'sys/kernel/yama/ptrace_scope')),
  ]);
  if (them === undefined || owner === undefined) return 'The process cannot be looked at.';
  const capabilities = /^CapEff:\s*([0-9a-f]+)/m.exec(mine)?.[1] ?? '0';
  const traces = (BigInt(`0x${capabilities}`) & (1n << capSysPtrace)) !== 0n;
  const restricted = scope.trim();
  if (restricted === '3') return 'This host forbids tracing altogether (ptrace_scope 3).';
  if (traces) return undefined;
  const uid = /^Uid:\s*\d+\s+(\d+)/m.exec(mine)?.[1];
  if (Number(uid) !== them.uid) {
    return 'It runs as another user, and duplicating its descriptors takes CAP_SYS_PTRACE.';
  }
  if (owner.uid !== them.uid) {
    return 'It gave up rights after its start, which protects it from being looked into.';
  }
  if (restricted === '' || restricted === '0') return undefined;
  return `This host lets nobody but root duplicate descriptors of another process (ptrace_scope ${restricted}).`;
}

const capSysPtrace = 19n;
