import { QmpConnectError } from '../../qmp/errors';
import { discoverQemus, type DiscoveredQemu } from '../../vm/discovery';
import { ExitCode } from '../exitCodes';
import type { CommandResult } from '../result';
import type { Session } from '../session';
import { table } from '../text';

interface Row {
  readonly qemu: DiscoveredQemu;
  readonly status: string | undefined;
  readonly problem: string | undefined;
}

export interface ListOptions {
  /** Ask each monitor too, not only `/proc`. */
  readonly connect: boolean;
  /** Only those with this in their name. */
  readonly name: string | undefined;
}

/** The QEMUs of this host. */
export async function list(session: Session, options: ListOptions): Promise<CommandResult> {
  const { connect, name = '' } = options;
  const qemus = (await discoverQemus()).filter((qemu) => (qemu.name ?? '').includes(name));
  const rows = await Promise.all(
    qemus.map(async (qemu) =>
      connect ? await ask(session, qemu) : { qemu, status: undefined, problem: undefined },
    ),
  );
  return {
    exitCode: ExitCode.ok,
    lines:
      rows.length === 0
        ? [
            `No QEMU with a QMP socket${name === '' ? '' : ` and "${name}" in its name`} runs on this host, as far as this user can see.`,
          ]
        : text(rows),
    document: {
      qemus: rows.map(({ qemu, status, problem }) => ({
        name: qemu.name,
        pid: qemu.process.pid,
        status,
        problem,
        sockets: qemu.sockets,
        executable: qemu.process.executable,
      })),
    },
  };
}

/** Asks over the first socket that answers. */
async function ask(session: Session, qemu: DiscoveredQemu): Promise<Row> {
  let problem: string | undefined;
  for (const socket of qemu.sockets) {
    try {
      const machine = await session.connect(socket);
      return { qemu, status: machine.snapshot.facts?.runState.status, problem: undefined };
    } catch (error) {
      problem ??= shortReason(error);
    }
  }
  return { qemu, status: undefined, problem };
}

function shortReason(error: unknown): string {
  if (!(error instanceof QmpConnectError)) return 'no answer';
  const { kind } = error.closeReason;
  if (kind === 'greeting-timeout') return 'monitor in use';
  return kind === 'no-permission' ? 'no permission' : 'not reachable';
}

function text(rows: readonly Row[]): string[] {
  const cells = rows.flatMap(({ qemu, status, problem }) => {
    const [first, ...others] = qemu.sockets;
    return [
      [qemu.name ?? '-', String(qemu.process.pid), status ?? problem ?? '-', first ?? ''],
      ...others.map((socket) => ['', '', '', socket]),
    ];
  });
  return table([['NAME', 'PID', 'STATUS', 'QMP SOCKET'], ...cells]);
}
