import {
  continueGuest,
  discardAndContinue,
  quitMachine,
  relativesOf,
  type GateSurroundings,
} from '../../migration/run/guestGate';
import { discoverQemus } from '../../vm/discovery';
import { isSameProcess } from '../../vm/process';
import type { MachineHandle } from '../../vm/types';
import { ExitCode } from '../exitCodes';
import type { CommandResult } from '../result';
import type { Session } from '../session';

/** Continues a guest that stands still, where that is proven to be safe. */
export async function continueMachine(session: Session, socket: string): Promise<CommandResult> {
  const machine = await session.connect(socket);
  const around = await surroundingsOf(session, machine);
  const reason = await continueGuest(machine, around);
  const { label, facts } = machine.snapshot;
  const status = facts?.runState.status;
  return {
    exitCode: ExitCode.ok,
    lines: [reason, `${label} was continued; its status is "${status ?? 'unknown'}".`],
    document: { machine: label, socket: machine.id, continued: true, reason, status },
  };
}

/** Removes the file of a saved guest, and lets it go on in the QEMU that saved it. */
export async function continueSaved(
  session: Session,
  socket: string,
  file: string,
): Promise<CommandResult> {
  const path = session.path(file, '--discard-saved');
  const machine = await session.connect(socket);
  const around = await surroundingsOf(session, machine);
  const view = await session.toItsEnd(() => discardAndContinue(machine, path, around));
  const { label } = machine.snapshot;
  const status = view.kind === 'answered' ? view.runState.status : undefined;
  return {
    exitCode: ExitCode.ok,
    lines: [
      `${path} was removed.`,
      `${label} was continued; its status is "${status ?? 'unknown'}".`,
    ],
    document: { machine: label, socket: machine.id, continued: true, discarded: path, status },
  };
}

/** Ends a QEMU whose guest is elsewhere, and waits until its process is gone. */
export async function quitMachineCommand(session: Session, socket: string): Promise<CommandResult> {
  const machine = await session.connect(socket);
  const around = await surroundingsOf(session, machine);
  const { label, process } = machine.snapshot;
  const reason = await session.toItsEnd(() => quitMachine(machine, around));
  return {
    exitCode: ExitCode.ok,
    lines: [reason, `The QEMU of ${label} has ended.`],
    document: { machine: label, socket: machine.id, quit: true, reason, pid: process?.pid },
  };
}

/**
 * The machines of this host that may have the same guest, connected as far as that can be done: those
 * of the same UUID, and the other one of the last migration.
 */
async function surroundingsOf(session: Session, machine: MachineHandle): Promise<GateSurroundings> {
  const { registry, journals } = session;
  await machine.identify();
  const { uuid, sockets } = await relativesOf(machine, journals);
  const own = machine.snapshot.process;
  const wanted = new Set<string>(sockets);
  for (const qemu of await discoverQemus()) {
    if (own !== undefined && isSameProcess(qemu.process, own)) continue;
    const isRelative =
      (uuid !== undefined && uuidIn(qemu.process.args) === uuid) ||
      qemu.sockets.some((socket) => wanted.has(socket));
    if (isRelative) await attachOne(session, qemu.sockets);
  }
  return {
    machines: registry.machines.map(({ snapshot }) => snapshot),
    handleOf: (id) => registry.get(id),
    journals,
  };
}

/** Over the first socket that answers; where none does, the first stands for a machine that is silent. */
async function attachOne(session: Session, sockets: readonly string[]): Promise<void> {
  const tried: MachineHandle[] = [];
  for (const socket of sockets) {
    const other = await session.registry.attach(socket);
    await other.identify();
    if (other.snapshot.state.kind === 'ready') {
      for (const { id } of tried) await session.registry.remove(id);
      return;
    }
    tried.push(other);
  }
}

function uuidIn(args: readonly string[]): string | undefined {
  const at = args.findIndex((argument) => /^--?uuid$/.test(argument));
  return at === -1 ? undefined : args[at + 1]?.toLowerCase();
}
