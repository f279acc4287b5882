import { isArray, isObject, type JsonObject, type JsonValue } from './json';

/** A value of an enumeration. */
interface SchemaEnumValue {
  readonly name: string;
  readonly features: readonly string[];
}

/** A member of an object: an argument, a field of a result. */
export interface SchemaMember {
  readonly name: string;
  readonly type: SchemaType;
  readonly optional: boolean;
  /** Such as `unstable`, `deprecated`. */
  readonly features: readonly string[];
}

/** The members that come on top when a union's discriminator has a certain value. */
export interface SchemaVariants {
  /** Name of the member that decides, such as `type` of `netdev_add`. */
  readonly discriminator: string;
  /** The extra members for that value; empty for one that has none. */
  membersFor(value: string): readonly SchemaMember[];
}

/** A QAPI type. Types may be recursive: follow members only as far as needed. */
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

/** The member of that name; undefined if there is none. */
export function memberNamed(
  members: readonly SchemaMember[],
  name: string,
): SchemaMember | undefined {
  return members.find((member) => member.name === name);
}

/** What is not in the schema, or is of a sort that we do not know: any value at all. */
function unknownType(name: string): SchemaType {
  return { kind: 'builtin', json: 'value', name };
}

/** The types of a schema by their opaque names, resolved when asked for. */
export class SchemaTypes {
  readonly #entries: ReadonlyMap<string, JsonObject>;
  readonly #resolved = new Map<string, SchemaType>();

  constructor(entries: ReadonlyMap<string, JsonObject>) {
    this.#entries = entries;
  }

  get(name: string): SchemaType {
    const known = this.#resolved.get(name);
    if (known !== undefined) return known;
    const entry = this.#entries.get(name);
    const type = entry === undefined ? unknownType(name) : this.resolve(name, entry);
    this.#resolved.set(name, type);
    return type;
  }

  private resolve(name: string, entry: JsonObject): SchemaType {
    switch (textOf(entry['meta-type'])) {
      case 'builtin':
        return { kind: 'builtin', json: jsonTypeOf(entry['json-type']), name };
      case 'enum':
        return { kind: 'enum', values: enumValuesOf(entry) };
      case 'array':
        return new ArrayType(this, textOf(entry['element-type']));
      case 'alternate':
        return new AlternateType(this, entry);
      case 'object':
        return typeof entry['tag'] === 'string'
          ? new UnionType(this, entry, entry['tag'])
          : new ObjectType(this, entry);
      default:
        return unknownType(name);
    }
  }
}

// Types refer to each other in circles, so that what a type is made of is resolved on first use. Their
// fields are private to the engine too, lest a printed or compared type drag the whole schema along.

class ArrayType {
  readonly kind = 'array';
  readonly #types: SchemaTypes;
  readonly #elementName: string;

  constructor(types: SchemaTypes, elementName: string) {
    this.#types = types;
    this.#elementName = elementName;
  }

  get element(): SchemaType {
    return this.#types.get(this.#elementName);
  }
}

class AlternateType {
  readonly kind = 'alternate';
  readonly #types: SchemaTypes;
  readonly #entry: JsonObject;

  constructor(types: SchemaTypes, entry: JsonObject) {
    this.#types = types;
    this.#entry = entry;
  }

  get members(): readonly SchemaType[] {
    return objectsIn(this.#entry['members']).map((member) =>
      this.#types.get(textOf(member['type'])),
    );
  }
}

class ObjectType {
  readonly kind = 'object';
  readonly #types: SchemaTypes;
  readonly #entry: JsonObject;
  #read: readonly SchemaMember[] | undefined;

  constructor(types: SchemaTypes, entry: JsonObject) {
    this.#types = types;
    this.#entry = entry;
  }

  get members(): readonly SchemaMember[] {
    this.#read ??= objectsIn(this.#entry['members']).map(
      (member) => new Member(this.#types, member),
    );
    return this.#read;
  }
}

class UnionType extends ObjectType {
  readonly variants: SchemaVariants;

  constructor(types: SchemaTypes, entry: JsonObject, discriminator: string) {
    super(types, entry);
    const variants = objectsIn(entry['variants']);
    this.variants = {
      discriminator,
      membersFor: (value) => {
        const variant = variants.find((candidate) => candidate['case'] === value);
        const type = variant === undefined ? undefined : types.get(textOf(variant['type']));
        return type?.kind === 'object' ? type.members : [];
      },
    };
  }
}

class Member implements SchemaMember {
  readonly name: string;
  readonly optional: boolean;
  readonly features: readonly string[];
  readonly #types: SchemaTypes;
  readonly #typeName: string;

  constructor(types: SchemaTypes, entry: JsonObject) {
    this.#types = types;
    this.name = textOf(entry['name']);
    this.#typeName = textOf(entry['type']);
    // QAPI: "If present, the member is optional"; the value is always null so far.
    this.optional = 'default' in entry;
    this.features = stringsIn(entry['features']);
  }

  get type(): SchemaType {
    return this.#types.get(this.#typeName);
  }
}

function enumValuesOf(entry: JsonObject): readonly SchemaEnumValue[] {
  const members = objectsIn(entry['members']);
  // `members` came with QEMU 6.2; `values` is deprecated since.
  if (members.length === 0) {
    return stringsIn(entry['values']).map((name) => ({ name, features: [] }));
  }
  return members.map((member) => ({
    name: textOf(member['name']),
    features: stringsIn(member['features']),
  }));
}

type BuiltinJson = (SchemaType & { kind: 'builtin' })['json'];

const builtinJson: readonly BuiltinJson[] = [
  'boolean',
  'int',
  'number',
  'string',
  'null',
  'object',
  'value',
];

/** A kind of value that we do not know counts as any value. */
function jsonTypeOf(json: JsonValue | undefined): BuiltinJson {
  return builtinJson.find((known) => known === json) ?? 'value';
}

function textOf(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : '';
}

function objectsIn(value: JsonValue | undefined): readonly JsonObject[] {
  return isArray(value) ? value.filter((element) => isObject(element)) : [];
}

export function stringsIn(value: JsonValue | undefined): readonly string[] {
  return isArray(value) ? value.filter((element) => typeof element === 'string') : [];
}
