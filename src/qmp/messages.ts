import { QmpProtocolError } from './errors';
import { isArray, isObject, stringifyJson, type JsonObject, type JsonValue } from './json';
import { excerptOf } from './framing';

/** QEMU's version as its greeting tells it (QAPI `VersionInfo`). */
export interface QmpVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
  /** Whatever the distributor put there; often empty. */
  readonly package: string;
}

/** One asynchronous QMP event. */
export interface QmpEvent {
  readonly name: string;
  /** Empty for an event without data. */
  readonly data: JsonObject;
  /** Microseconds since the epoch by the host's wall clock; NaN if QEMU could not read it. */
  readonly timestampUs: number;
}

export interface QmpGreeting {
  readonly version: QmpVersion;
  readonly capabilities: readonly string[];
}

/** Reads `{"QMP": {"version": {"qemu": {...}, "package": ""}, "capabilities": [...]}}`. */
export function parseGreeting(message: JsonValue): QmpGreeting {
  const qmp = isObject(message) ? message['QMP'] : undefined;
  const version = isObject(qmp) ? qmp['version'] : undefined;
  const qemu = isObject(version) ? version['qemu'] : undefined;
  if (!isObject(qmp) || !isObject(version) || !isObject(qemu)) {
    throw protocolError('not-qmp', 'This is no QMP greeting', message);
  }
  const { major, minor, micro } = qemu;
  if (typeof major !== 'number' || typeof minor !== 'number' || typeof micro !== 'number') {
    throw protocolError('not-qmp', 'A QMP greeting without a version', message);
  }
  const capabilities = qmp['capabilities'];
  return {
    version: {
      major,
      minor,
      micro,
      package: typeof version['package'] === 'string' ? version['package'] : '',
    },
    capabilities: isArray(capabilities)
      ? capabilities.filter((capability) => typeof capability === 'string')
      : [],
  };
}

/** Reads `{"event": NAME, "data": {...}, "timestamp": {"seconds": S, "microseconds": US}}`. */
export function parseEvent(message: JsonObject): QmpEvent {
  const { event, data, timestamp } = message;
  if (typeof event !== 'string' || (data !== undefined && !isObject(data))) {
    throw protocolError('unexpected', 'A malformed event', message);
  }
  return { name: event, data: data ?? {}, timestampUs: parseTimestamp(timestamp) };
}

function parseTimestamp(timestamp: JsonValue | undefined): number {
  if (!isObject(timestamp)) return NaN;
  const { seconds, microseconds } = timestamp;
  if (typeof seconds !== 'number' || typeof microseconds !== 'number') return NaN;
  // QEMU writes -1 into both when the host's clock cannot be read.
  return seconds < 0 || microseconds < 0 ? NaN : seconds * 1_000_000 + microseconds;
}

/** Class and description of an error reply's `error` member. */
export function parseErrorReply(error: JsonValue | undefined): {
  errorClass: string;
  desc: string;
} {
  const { class: errorClass, desc } = isObject(error) ? error : {};
  return {
    errorClass: typeof errorClass === 'string' ? errorClass : 'GenericError',
    desc: typeof desc === 'string' ? desc : 'an error without a description',
  };
}

export function protocolError(
  problem: 'not-qmp' | 'unexpected',
  text: string,
  message: JsonValue,
): QmpProtocolError {
  return new QmpProtocolError(problem, text, excerptOf(stringifyJson(message)));
}
