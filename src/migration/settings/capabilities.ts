import type { MachineHandle } from '../../vm/types';

/** QEMU reported another state than was set, without refusing. */
export class CapabilityNotTakenError extends Error {
  override readonly name = 'CapabilityNotTakenError';
  readonly capability: string;

  constructor(capability: string) {
    super(`QEMU accepted ${capability}, but reports another state`);
    this.capability = capability;
  }
}

/**
 * Sends `migrate-set-capabilities` for one capability and reads back.
 *
 * @returns what QEMU now reports
 * @throws {QmpCommandError} QEMU's refusal; then nothing was set
 */
export async function setCapability(
  machine: MachineHandle,
  name: string,
  enabled: boolean,
): Promise<boolean> {
  const now = await setCapabilities(machine, { [name]: enabled });
  return now[name] ?? false;
}

/**
 * Sets several capabilities in one command, which QEMU takes all or not at all, and reads back.
 *
 * @returns what QEMU now reports of those named
 * @throws {QmpCommandError} QEMU's refusal; then nothing was set
 * @throws {CapabilityNotTakenError}
 */
export async function setCapabilities(
  machine: MachineHandle,
  wanted: Readonly<Record<string, boolean>>,
): Promise<Readonly<Record<string, boolean>>> {
  const capabilities = Object.entries(wanted).map(([capability, state]) => ({ capability, state }));
  await machine.connection().execute('migrate-set-capabilities', { capabilities });
  const facts = await machine.refresh(['capabilities']);
  if (facts.failures.capabilities !== undefined) throw facts.failures.capabilities;
  const now: Record<string, boolean> = {};
  for (const { name, enabled } of facts.capabilities) {
    if (name in wanted) now[name] = enabled;
  }
  for (const [name, enabled] of Object.entries(wanted)) {
    if (now[name] !== enabled) throw new CapabilityNotTakenError(name);
  }
  return now;
}
