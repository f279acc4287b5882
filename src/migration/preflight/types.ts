import type { HostFacts, ImageFile, ProcessUse } from '../../vm/host';
import type { Inventory } from '../../vm/inventory';
import type { MachineSnapshot, VmFacts } from '../../vm/types';
import type { MethodFacts } from '../run/checks/methodFacts';
import type { MigrationRequest } from '../run/types';
import type { SettingsChange } from '../settings/change';

/**
 * `blocks`: a run is refused. `warns`: it may fail, hurt the guest or take too long. `tells`: what a
 * run will do, or what differs without harm.
 */
export type FindingLevel = 'blocks' | 'warns' | 'tells';

/** Where it is to be put right. */
export type FindingSide = 'source' | 'target' | 'both' | 'host';

/** Settings that put a finding right, by side. */
export interface FindingFix {
  /** A verb phrase: `Set max-bandwidth to 0`. */
  readonly title: string;
  readonly source?: SettingsChange;
  readonly target?: SettingsChange;
}

export interface Finding {
  /** Stays the same from version to version; one id has one meaning. */
  readonly id: string;
  /** The device, setting or disk, where an id may be found several times. */
  readonly subject?: string;
  readonly level: FindingLevel;
  readonly side: FindingSide;
  /** One sentence: what was found. */
  readonly what: string;
  /** What comes of it. */
  readonly why: string;
  readonly nextStep: string;
  readonly fix?: FindingFix;
  /** For one that blocks: a person may overrule it, with a reason (`run/checks/force`). */
  readonly canBeOverruled?: boolean;
}

/** One machine with everything that was read for this look. */
export interface PreflightSide {
  readonly snapshot: MachineSnapshot;
  readonly facts: VmFacts;
  readonly inventory: Inventory;
  readonly use: ProcessUse;
  /** Its memory comes from the pool of huge pages. */
  readonly hugePages: boolean;
  /** The images of its disks, by QEMU's name for the file. */
  readonly images: ReadonlyMap<string, ImageFile>;
}

/** What the checks are made of; they themselves ask nobody. */
export interface PreflightInput {
  readonly request: MigrationRequest;
  readonly source: PreflightSide;
  readonly target: PreflightSide;
  readonly host: HostFacts;
  /** What the method asks for beside; absent: not read. */
  readonly method?: MethodFacts;
}

/** The same where one machine is all that can be asked. */
export interface OneSideInput {
  readonly request: MigrationRequest;
  readonly source: PreflightSide;
  /** Not connected, or the same as the source. */
  readonly target: MachineSnapshot;
  readonly method: MethodFacts;
}

export interface PreflightReport {
  /** By level, the gravest first. */
  readonly findings: readonly Finding[];
  /** Whether a run would be refused. */
  readonly blocked: boolean;
  /** Whether the guest's writing was measured. */
  readonly measured: boolean;
}

/** Names a finding among those of one report, also in the next one. */
export function findingKey({ id, subject }: Finding): string {
  return subject === undefined ? id : `${id} ${subject}`;
}

/** A change of parameters alone. */
export function setting(parameters: SettingsChange['parameters']): SettingsChange {
  return { parameters, capabilities: {} };
}

/** A change of capabilities alone. */
export function switching(capabilities: SettingsChange['capabilities']): SettingsChange {
  return { parameters: {}, capabilities };
}

export function isOn(facts: VmFacts, capability: string): boolean {
  return facts.capabilities.some(({ name, enabled }) => name === capability && enabled);
}
