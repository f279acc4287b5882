/** What the number means that QMP takes and gives. */
export type Unit = 'bytes' | 'bytes/s' | 'ms' | 'percent' | 'MB/s' | 'count' | 'level' | 'none';

export type ParameterGroup =
  | 'local-transfer'
  | 'speed-and-pause'
  | 'channels'
  | 'compression'
  | 'cpu-throttling'
  | 'announce'
  | 'security'
  | 'other';

export interface ParameterGroupInfo {
  readonly id: ParameterGroup;
  readonly title: string;
  readonly summary: string;
}

export type ParameterType =
  'bool' | 'int' | 'size' | 'enum' | 'string' | 'string-or-null' | 'list' | 'struct';

/**
 * Where a setting has to be made.
 * - `both-equal`: on both sides, with the same value
 * - `source`, `target`: only that side's value matters
 * - `either`: each side's value stands for itself
 */
export type Sides = 'both-equal' | 'source' | 'target' | 'either';

/** A value of a parameter; integers are bigint, for they reach 2^64-1. */
export type CatalogueValue = boolean | bigint | string | null | readonly string[];

/** All that is given must hold for the setting to have an effect. */
export interface Need {
  readonly capability?: string;
  readonly parameter?: { readonly name: string; readonly value: CatalogueValue };
}

export interface EnumValueInfo {
  readonly value: string;
  readonly since: string;
  readonly summary: string;
}

export interface ParameterInfo {
  readonly name: string;
  readonly group: ParameterGroup;
  readonly type: ParameterType;
  readonly unit: Unit;
  /** What QEMU accepts, both ends included. */
  readonly range?: { readonly min: bigint; readonly max: bigint };
  readonly powerOfTwo?: boolean;
  /** What 0 stands for when it is not simply the smallest value ("no limit"). */
  readonly zeroMeans?: string;
  /** The values known to us, for enumerations; a build may lack some. */
  readonly values?: readonly EnumValueInfo[];
  /** QEMU version that brought it; `patched` when only patched builds have it. */
  readonly since: string;
  /** The first version without it. */
  readonly until?: string;
  readonly unstable?: boolean;
  readonly sides: Sides;
  readonly needs?: readonly Need[];
  /** A change while a migration runs has an effect on that migration. */
  readonly takesEffectWhileRunning?: boolean;
  /** One line, no full stop. */
  readonly summary: string;
  /** Markdown, one to four sentences. */
  readonly details: string;
}

export interface CapabilityInfo {
  readonly name: string;
  readonly since: string;
  /** The first version without it. */
  readonly until?: string;
  readonly unstable?: boolean;
  readonly sides: Sides;
  /** Capabilities that must be on as well: every version refuses it else. */
  readonly needs?: readonly string[];
  /**
   * Capabilities that QEMU refuses with this one: the newest version that has both, if not each.
   * Always mutual.
   */
  readonly conflicts?: readonly string[];
  /** One line, no full stop. */
  readonly summary: string;
  /** Markdown, one to four sentences. */
  readonly details: string;
}
