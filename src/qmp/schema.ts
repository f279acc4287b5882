import { createHash } from 'node:crypto';
import { QmpProtocolError } from './errors';
import { excerptOf } from './framing';
import { isArray, isObject, stringifyJson, type JsonObject, type JsonValue } from './json';
import {
  memberNamed,
  SchemaTypes,
  stringsIn,
  type SchemaMember,
  type SchemaType,
} from './schemaTypes';

export { memberNamed, type SchemaMember, type SchemaType } from './schemaTypes';

/** By their content: machines of one QEMU build, however many, share one of some 400 kB. */
const inUse = new Map<string, WeakRef<QmpSchema>>();

/**
 * What one QEMU offers, by its own account (`query-qmp-schema`; QAPI `SchemaInfo`).
 *
 * Ranges, units and defaults are not in it. Types are looked up when they are asked for, and each
 * only once: of 600 types a user of this class meets a dozen.
 */
export class QmpSchema {
  readonly counts: { readonly entries: number; readonly commands: number; readonly events: number };

  private readonly commands: ReadonlyMap<string, JsonObject>;
  private readonly events: ReadonlyMap<string, JsonObject>;
  private readonly types: SchemaTypes;

  private constructor(entries: readonly JsonObject[]) {
    this.commands = entriesOf(entries, (metaType) => metaType === 'command');
    this.events = entriesOf(entries, (metaType) => metaType === 'event');
    this.types = new SchemaTypes(
      entriesOf(entries, (metaType) => metaType !== 'command' && metaType !== 'event'),
    );
    this.counts = {
      entries: entries.length,
      commands: this.commands.size,
      events: this.events.size,
    };
  }

  /**
   * Reads the reply of `query-qmp-schema`; the same object comes for replies that say the same.
   * Throws QmpProtocolError if it is no list of entries.
   */
  static parse(reply: JsonValue): QmpSchema {
    if (!isArray(reply) || !reply.every(isObject)) {
      throw new QmpProtocolError(
        'unexpected',
        'query-qmp-schema did not return a list of entries',
        excerptOf(stringifyJson(reply)),
      );
    }
    const content = createHash('sha256').update(stringifyJson(reply)).digest('base64');
    const known = inUse.get(content)?.deref();
    if (known !== undefined) return known;
    const schema = new QmpSchema(reply);
    inUse.set(content, new WeakRef(schema));
    return schema;
  }

  hasCommand(name: string): boolean {
    return this.commands.has(name);
  }

  hasEvent(name: string): boolean {
    return this.events.has(name);
  }

  /** One argument of a command; undefined if this QEMU does not have it. */
  argument(command: string, argument: string): SchemaMember | undefined {
    return memberNamed(this.arguments(command), argument);
  }

  /** The arguments of a command, without those that depend on a discriminator's value. */
  arguments(command: string): readonly SchemaMember[] {
    const type = this.argumentType(command);
    return type?.kind === 'object' ? type.members : [];
  }

  /** All of a command's arguments as one object type, with its variants; `netdev_add` has some. */
  argumentType(command: string): SchemaType | undefined {
    return this.typeOf(this.commands.get(command), 'arg-type');
  }

  /** What a command returns. */
  returnType(command: string): SchemaType | undefined {
    return this.typeOf(this.commands.get(command), 'ret-type');
  }

  /** An event's data. */
  eventType(event: string): SchemaType | undefined {
    return this.typeOf(this.events.get(event), 'arg-type');
  }

  /** The values that an enumerated argument, or a list of them, may have; empty for all others. */
  enumValues(command: string, argument: string): readonly string[] {
    let type = this.argument(command, argument)?.type;
    if (type?.kind === 'array') type = type.element;
    return type?.kind === 'enum' ? type.values.map((value) => value.name) : [];
  }

  /** Such as `unstable`, `deprecated`; empty for an unknown command. */
  commandFeatures(name: string): readonly string[] {
    return stringsIn(this.commands.get(name)?.['features']);
  }

  /** Whether a command may be executed out of band. */
  allowsOob(command: string): boolean {
    return this.commands.get(command)?.['allow-oob'] === true;
  }

  private typeOf(entry: JsonObject | undefined, key: string): SchemaType | undefined {
    const name = entry?.[key];
    return typeof name === 'string' ? this.types.get(name) : undefined;
  }
}

function entriesOf(
  entries: readonly JsonObject[],
  wanted: (metaType: JsonValue | undefined) => boolean,
): Map<string, JsonObject> {
  const found = new Map<string, JsonObject>();
  for (const entry of entries) {
    const { name } = entry;
    if (typeof name === 'string' && wanted(entry['meta-type'])) found.set(name, entry);
  }
  return found;
}
