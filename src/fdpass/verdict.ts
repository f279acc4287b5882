import * as z from 'zod/mini';
import { FdPassError, type FdPassErrorDetails, type FdPassReason } from './errors';
import type { HelperEnd } from './process';

/** How much of a command QEMU may have. */
export type Sent = 'all' | 'none' | 'unknown';

export interface Verdict {
  /** One for each destination. */
  readonly sent: readonly Sent[];
  readonly error: FdPassError | undefined;
}

/** The helper's exit codes (native/fdpass/README.md). */
export const exitCodes = {
  badDestination: 10,
  badDescriptor: 11,
  pairFailed: 12,
  tapFailed: 13,
  timeout: 14,
  peerClosed: 15,
  sendFailed: 16,
  interrupted: 17,
  reportFailed: 18,
  setupFailed: 19,
  processGone: 20,
  notPermitted: 21,
  fetchFailed: 22,
  notThatTap: 23,
  unlike: 24,
  execFailed: 25,
  tapControlFailed: 26,
  usage: 64,
} as const satisfies Partial<Record<FdPassReason, number>>;

export const reasons = Object.keys(exitCodes) as (keyof typeof exitCodes)[];
const count = z.int().check(z.gte(0));
const destinations = z.array(z.object({ bytes: count, bytesWritten: count }));

const report = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true), destinations }),
  z.object({
    ok: z.literal(false),
    verb: z.optional(z.string()),
    reason: z.enum(reasons),
    errno: z.nullable(z.string()),
    destinations,
  }),
]);
type Report = z.infer<typeof report>;

/** Judges what the helper's end means for messages of these lengths. Doubt counts as 'unknown'. */
export function judge(end: HelperEnd, lengths: readonly number[]): Verdict {
  const all = (sent: Sent): Sent[] => lengths.map(() => sent);
  const details = { exitCode: end.exitCode, signal: end.signal, stderr: end.stderr };
  if (end.spawnError !== undefined) {
    const message = `the helper could not be started: ${end.spawnError.message}`;
    return {
      sent: all('none'),
      error: new FdPassError('spawnFailed', message, { ...details, cause: end.spawnError }),
    };
  }
  const told = readReport(end, lengths);
  if (told !== undefined) {
    const sent = told.destinations.map(({ bytes, bytesWritten }): Sent => {
      if (bytesWritten === 0) return 'none';
      return bytesWritten === bytes ? 'all' : 'unknown';
    });
    if (told.ok) return { sent, error: undefined };
    const message = personalLine(end.stderr) || `the helper ended with ${end.exitCode ?? '?'}`;
    const errno = told.errno ?? undefined;
    if (told.reason === 'usage' && told.verb === 'none') {
      return { sent, error: tooOld(details) };
    }
    return { sent, error: new FdPassError(told.reason, message, { ...details, errno }) };
  }
  if (end.signal !== undefined && !end.flooded) {
    // From before its first byte on the helper cannot be killed by SIGTERM: it had not begun.
    const sent = end.signal === 'SIGTERM' && end.stdout === '' ? 'none' : 'unknown';
    const message = `the helper was ended by ${end.signal}`;
    return { sent: all(sent), error: new FdPassError('crashed', message, details) };
  }
  const reason = end.exitCode === exitCodes.reportFailed ? 'reportFailed' : 'badOutput';
  const message = `the helper ended with ${end.exitCode ?? end.signal ?? '?'} and said ${excerpt(end.stdout)}`;
  return { sent: all('unknown'), error: new FdPassError(reason, message, details) };
}

/** The helper's line, unless it contradicts itself, its exit code, or what it was asked to send. */
function readReport(end: HelperEnd, lengths: readonly number[]): Report | undefined {
  if (!/^[^\n]+\n$/.test(end.stdout)) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(end.stdout);
  } catch {
    return undefined;
  }
  const { data } = z.safeParse(report, json);
  if (data === undefined) return undefined;
  if (end.exitCode !== (data.ok ? 0 : exitCodes[data.reason])) return undefined;
  // Refused arguments: it may have stopped reading them at any point.
  if (!data.ok && data.reason === 'usage') {
    const untouched = lengths.map((bytes) => ({ bytes, bytesWritten: 0 }));
    return data.destinations.every(({ bytesWritten }) => bytesWritten === 0)
      ? { ...data, destinations: untouched }
      : undefined;
  }
  const fits = data.destinations.every(({ bytes, bytesWritten }, index) => {
    return (
      bytes === lengths[index] && bytesWritten <= bytes && (!data.ok || bytesWritten === bytes)
    );
  });
  return fits && data.destinations.length === lengths.length ? data : undefined;
}

/** A helper that does not know the verb. */
export function tooOld(details: FdPassErrorDetails): FdPassError {
  const message =
    'the helper that is set is older than version 1.1.0, which this needs; use the bundled one';
  return new FdPassError('helperTooOld', message, details);
}

/** The helper's sentence for a person, without its name and the reason, which the report has too. */
export function personalLine(stderr: string): string {
  const [line = ''] = stderr.split('\n', 1);
  return line.replace(/^fdpass: (?:\w+: )?/, '').trim();
}

export function excerpt(text: string): string {
  return text === '' ? 'nothing' : JSON.stringify(text.slice(0, 80));
}
