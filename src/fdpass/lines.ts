import * as z from 'zod/mini';
import { FdPassError, type FdPassErrorDetails } from './errors';
import type { HelperEnd } from './process';
import { excerpt, reasons, tooOld } from './verdict';

/** Names one process for good: `startTicks` (field 22 of `/proc/PID/stat`) tells a reused pid apart. */
export interface ProcessId {
  readonly pid: number;
  readonly startTicks: bigint;
}

/** A number that may be too large for JSON's, as the helper writes it. */
export const digits = z.string().check(z.regex(/^\d+$/));

const failure = z.object({
  ok: z.literal(false),
  verb: z.string(),
  reason: z.enum(reasons),
  errno: z.nullable(z.string()),
  detail: z.optional(z.string()),
});

export function likeArguments({ pid, startTicks }: ProcessId): readonly string[] {
  return ['--like', String(pid), '--start-ticks', String(startTicks)];
}

/** One line of the helper's. @throws {FdPassError} what the line tells, or that it cannot be believed */
export function readLine<T extends z.ZodMiniType>(
  line: string,
  schema: T,
  details: FdPassErrorDetails = {},
): z.infer<T> {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    json = undefined;
  }
  const told = z.safeParse(failure, json);
  if (told.success) {
    const { verb, reason, errno, detail } = told.data;
    if (reason === 'usage' && verb === 'none') throw tooOld(details);
    const message = detail ?? 'the helper refused its arguments';
    const sentence = errno === null ? message : `${message} (${errno})`;
    throw new FdPassError(reason, sentence, { ...details, errno: errno ?? undefined });
  }
  const { data } = z.safeParse(schema, json);
  if (data === undefined) {
    throw new FdPassError('badOutput', `the helper said ${excerpt(line)}`, details);
  }
  return data;
}

/** The one line of a helper that has ended. @throws {FdPassError} */
export function readEnd<T extends z.ZodMiniType>(end: HelperEnd, schema: T): z.infer<T> {
  const details = { exitCode: end.exitCode, signal: end.signal, stderr: end.stderr };
  if (end.spawnError !== undefined) {
    const message = `the helper could not be started: ${end.spawnError.message}`;
    throw new FdPassError('spawnFailed', message, { ...details, cause: end.spawnError });
  }
  if (end.signal !== undefined) {
    throw new FdPassError('crashed', `the helper was ended by ${end.signal}`, details);
  }
  const [line = '', ...rest] = end.stdout.split('\n');
  const told = readLine(line, schema, details);
  if (rest.join('') !== '' || end.exitCode !== 0) {
    const message = `the helper ended with ${end.exitCode ?? '?'} and said ${excerpt(end.stdout)}`;
    throw new FdPassError('badOutput', message, details);
  }
  return told;
}
