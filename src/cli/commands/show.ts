import { backendTransferOf } from '../../migration/settings/backendTransfer';
import { buildMachineNode } from '../../migration/view/machineTree';
import type { MachineHandle, MachineSnapshot, VmFacts } from '../../vm/types';
import { formatBytes } from '../../migration/settings/units';
import { ExitCode } from '../exitCodes';
import type { CommandResult } from '../result';
import type { Session } from '../session';
import { outline, table } from '../text';

/** Everything about one machine: what the sidebar shows, as text. */
export async function show(session: Session, socket: string): Promise<CommandResult> {
  const machine = await session.connect(socket);
  await identified(machine);
  const { snapshot } = machine;
  return {
    exitCode: ExitCode.ok,
    lines: [...header(snapshot), '', ...outline(buildMachineNode(snapshot))],
    document: machineDocument(snapshot),
  };
}

/** Milliseconds for finding the process; `/proc` answers in a few, or never. */
const identifyTimeoutMs = 500;

/** Waits until the process behind the socket is known, or seems not to become so. */
async function identified(machine: MachineHandle): Promise<void> {
  if (machine.snapshot.process !== undefined) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, identifyTimeoutMs);
    const listening = machine.onDidChange(({ parts }) => {
      if (parts.has('identity') && machine.snapshot.process !== undefined) done();
    });
    function done(): void {
      clearTimeout(timer);
      listening.dispose();
      resolve();
    }
  });
}

function header(snapshot: MachineSnapshot): string[] {
  const { facts, process } = snapshot;
  const rows: [string, string | undefined][] = [
    ['Machine', snapshot.label],
    ['Socket', snapshot.socketPath],
    ['Status', facts?.runState.status],
    ['QEMU', facts === undefined ? undefined : versionText(facts)],
    ['Machine type', facts?.machineType],
    ['Memory', facts?.memoryBytes === undefined ? undefined : formatBytes(facts.memoryBytes)],
    ['UUID', facts?.uuid],
    ['Process', process === undefined ? undefined : String(process.pid)],
  ];
  return table(rows.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

function versionText({ version }: VmFacts): string {
  const number = `${version.major}.${version.minor}.${version.micro}`;
  return version.package === '' ? number : `${number} (${version.package})`;
}

function backendTransferDocument(snapshot: MachineSnapshot): unknown {
  const offer = backendTransferOf(snapshot);
  if (offer === undefined || offer.kind === 'absent') return offer;
  return {
    ...offer,
    devices: offer.devices.map(({ device, permission }) => ({
      id: device.id,
      driver: device.driver,
      netdev: device.netdev,
      permission,
    })),
  };
}

/** Values as QEMU gives them, under names that stay. */
function machineDocument(snapshot: MachineSnapshot): Record<string, unknown> {
  const { facts, process } = snapshot;
  return {
    socket: snapshot.socketPath,
    name: snapshot.label,
    state: snapshot.state.kind,
    pid: process?.pid,
    executable: process?.executable,
    status: facts?.runState.status,
    running: facts?.runState.running,
    version: facts?.version,
    machineType: facts?.machineType,
    memoryBytes: facts?.memoryBytes,
    uuid: facts?.uuid,
    backendTransfer: backendTransferDocument(snapshot),
    parameters: facts?.parameters,
    capabilities:
      facts === undefined
        ? undefined
        : Object.fromEntries(facts.capabilities.map(({ name, enabled }) => [name, enabled])),
    migration: facts?.migration,
    devices: facts?.devices,
    failures:
      facts === undefined
        ? undefined
        : Object.fromEntries(
            Object.entries(facts.failures).map(([part, error]) => [part, error.message]),
          ),
  };
}
