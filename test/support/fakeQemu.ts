import { isDeepStrictEqual } from 'node:util';
import { isArray, isObject, type JsonObject, type JsonValue } from '../../src/qmp/json';
import { QmpSchema, type SchemaType } from '../../src/qmp/schema';
import { exchangesOf, readRecording, recordedReturn, type Build } from './recordings';

/** A refusal as QEMU words it. Handlers may throw it too. */
export class FakeRefusal extends Error {
  readonly errorClass: string;

  constructor(desc: string, errorClass = 'GenericError') {
    super(desc);
    this.errorClass = errorClass;
  }
}

const schemas = new Map<Build, QmpSchema>();

/** The recorded schema of a build, parsed once in a process. */
export function schemaOf(build: Build): QmpSchema {
  const schema = schemas.get(build) ?? QmpSchema.parse(recordedReturn(build, 'query-qmp-schema'));
  schemas.set(build, schema);
  return schema;
}

/** What a fake QEMU remembers between commands; starts as the recorded one was. */
export class FakeQemu {
  readonly build: Build;
  readonly schema: QmpSchema;
  parameters: JsonObject;
  /** Names to on/off. */
  readonly capabilities = new Map<string, boolean>();
  /** Reply of `query-migrate`. */
  migration: JsonObject = {};
  /** Reply of `query-status`. */
  status: JsonObject = { status: 'running', running: true };
  /** Names that `getfd` got. */
  readonly descriptors = new Set<string>();

  constructor(build: Build) {
    this.build = build;
    this.schema = schemaOf(build);
    const parameters = recordedReturn(build, 'query-migrate-parameters');
    this.parameters = isObject(parameters) ? parameters : {};
    const capabilities = recordedReturn(build, 'query-migrate-capabilities');
    for (const entry of isArray(capabilities) ? capabilities : []) {
      if (!isObject(entry) || typeof entry['capability'] !== 'string') continue;
      this.capabilities.set(entry['capability'], entry['state'] === true);
    }
  }

  /** The `return` value of a command; throws FakeRefusal. */
  answer(command: string, args: JsonObject | undefined): JsonValue {
    switch (command) {
      case 'query-migrate-parameters':
        return this.parameters;
      case 'query-migrate-capabilities':
        return [...this.capabilities].map(([capability, state]) => ({ state, capability }));
      case 'query-migrate':
        return this.migration;
      case 'query-status':
        return this.status;
      case 'migrate-set-parameters':
        return this.setParameters(args ?? {});
      case 'migrate-set-capabilities':
        return this.setCapabilities(args ?? {});
      case 'getfd':
        this.descriptors.add(nameIn(args, 'fdname'));
        return {};
      case 'closefd':
        return this.closeDescriptor(nameIn(args, 'fdname'));
      default:
        return this.answerFromRecording(command, args);
    }
  }

  private setParameters(args: JsonObject): JsonObject {
    const recorded = this.recordedReply('migrate-set-parameters', args);
    if (recorded?.['error'] !== undefined) throw refusalOf(recorded['error']);
    // QEMU sets all or nothing.
    for (const [name, value] of Object.entries(args)) {
      const type = this.schema.argument('migrate-set-parameters', name)?.type;
      if (type === undefined) throw new FakeRefusal(`Parameter '${name}' is unexpected`);
      checkType(name, type, value);
    }
    this.parameters = { ...this.parameters, ...args };
    return {};
  }

  private setCapabilities(args: JsonObject): JsonObject {
    const wanted = args['capabilities'];
    if (!isArray(wanted)) throw new FakeRefusal("Parameter 'capabilities' is missing");
    const changes = wanted.filter((entry) => isObject(entry));
    for (const { capability, state } of changes) {
      const name = textOf(capability);
      if (!this.capabilities.has(name)) {
        throw new FakeRefusal(`Parameter 'capability' does not accept value '${name}'`);
      }
      if (typeof state !== 'boolean') {
        throw new FakeRefusal(
          "Invalid parameter type for 'capabilities[0].state', expected: boolean",
        );
      }
    }
    for (const { capability, state } of changes) {
      this.capabilities.set(textOf(capability), state === true);
    }
    return {};
  }

  private closeDescriptor(name: string): JsonObject {
    if (!this.descriptors.delete(name))
      throw new FakeRefusal(`File descriptor named '${name}' not found`);
    return {};
  }

  private answerFromRecording(command: string, args: JsonObject | undefined): JsonValue {
    const reply = this.recordedReply(command, args);
    if (reply?.['error'] !== undefined) throw refusalOf(reply['error']);
    if (reply?.['return'] !== undefined) return reply['return'];
    if (!this.schema.hasCommand(command)) {
      throw new FakeRefusal(`The command ${command} has not been found`, 'CommandNotFound');
    }
    // What was never recorded cannot be found, unless it is a command that just does something.
    if (/^(qom-|device-list|query-)/.test(command)) {
      const name = Object.values(args ?? {})
        .map(String)
        .join('.');
      throw new FakeRefusal(`Device '${name}' not found`, 'DeviceNotFound');
    }
    return {};
  }

  private recordedReply(command: string, args: JsonObject | undefined): JsonObject | undefined {
    return exchangesOf(readRecording(this.build, 'introspection', 'source')).find(
      (exchange) =>
        exchange.command === command && isDeepStrictEqual(exchange.args ?? {}, args ?? {}),
    )?.reply;
  }
}

function nameIn(args: JsonObject | undefined, key: string): string {
  const name = args?.[key];
  if (typeof name !== 'string') throw new FakeRefusal(`Parameter '${key}' is missing`);
  return name;
}

/** Refuses a value of the wrong type as QEMU's input visitor does. */
function checkType(name: string, type: SchemaType, value: JsonValue): void {
  const expected = (what: string): FakeRefusal =>
    new FakeRefusal(`Invalid parameter type for '${name}', expected: ${what}`);
  if (type.kind === 'enum') {
    if (typeof value !== 'string') throw expected('string');
    if (type.values.some((known) => known.name === value)) return;
    throw new FakeRefusal(`Parameter '${name}' does not accept value '${value}'`);
  }
  if (type.kind === 'array' && !isArray(value)) throw expected('array');
  if (type.kind !== 'builtin') return;
  if (type.json === 'boolean' && typeof value !== 'boolean') throw expected('boolean');
  if (type.json === 'string' && typeof value !== 'string') throw expected('string');
  if (type.json === 'int' && typeof value !== 'bigint' && !Number.isInteger(value)) {
    throw new FakeRefusal(`Parameter '${name}' expects uint64`);
  }
}

/** A recorded error as something to throw. */
export function refusalOf(error: JsonValue): FakeRefusal {
  const { class: errorClass, desc } = isObject(error) ? error : {};
  return new FakeRefusal(textOf(desc), textOf(errorClass));
}

function textOf(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : '';
}
