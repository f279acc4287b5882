import type { JsonValue } from './json';

/** A value of an enumeration, with features such as `unstable` or `deprecated`. */
export interface SchemaEnumValue {
  readonly name: string;
  readonly features: readonly string[];
}

export interface SchemaMember {
  readonly name: string;
  readonly type: SchemaType;
  readonly optional: boolean;
  readonly features: readonly string[];
}

/** The members that come on top when a union's discriminator has a certain value. */
export interface SchemaVariants {
  /** Name of the member that decides. */
  readonly discriminator: string;
  /** The extra members for that value; empty for a value without any. */
  membersFor(value: string): readonly SchemaMember[];
}

export type SchemaType =
  | {
      readonly kind: 'builtin';
      readonly json: 'boolean' | 'int' | 'number' | 'string' | 'null' | 'object' | 'value';
      readonly name: string;
    }
  | { readonly kind: 'enum'; readonly values: readonly SchemaEnumValue[] }
  | { readonly kind: 'array'; readonly element: SchemaType }
  | {
      readonly kind: 'object';
      readonly members: readonly SchemaMember[];
      readonly variants?: SchemaVariants;
    }
  | { readonly kind: 'alternate'; readonly members: readonly SchemaType[] };

/** What one QEMU offers, by its own account (`query-qmp-schema`; QAPI `SchemaInfo`). */
export class QmpSchema {
  readonly counts: { readonly entries: number; readonly commands: number; readonly events: number };

  private constructor() {
    this.counts = { entries: 0, commands: 0, events: 0 };
  }

  static parse(reply: JsonValue): QmpSchema {
    throw new Error(`not yet: ${typeof reply}`);
  }

  hasCommand(name: string): boolean {
    return this.notYet(name);
  }

  hasEvent(name: string): boolean {
    return this.notYet(name);
  }

  argument(command: string, argument: string): SchemaMember | undefined {
    return this.notYet(command, argument);
  }

  arguments(command: string): readonly SchemaMember[] {
    return this.notYet(command);
  }

  enumValues(command: string, argument: string): readonly string[] {
    return this.notYet(command, argument);
  }

  commandFeatures(name: string): readonly string[] {
    return this.notYet(name);
  }

  allowsOob(command: string): boolean {
    return this.notYet(command);
  }

  private notYet(...names: string[]): never {
    throw new Error(`not yet: ${names.join()} ${this.counts.entries}`);
  }
}
