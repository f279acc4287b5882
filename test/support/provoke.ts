import { setTimeout as sleep } from 'node:timers/promises';
import type { QemuProcess } from '../../scripts/lib/qemu';
import type { FailureEvidence, ProcessEnd } from '../../src/migration/failures/types';

/** One migration by plain QMP, without any of our checks; what is absent is left alone. */
export interface Attempt {
  readonly source?: QemuProcess;
  readonly target?: QemuProcess;
  /** For both, unless the side says otherwise. */
  readonly uri: string;
  readonly targetUri?: string;
  readonly channels?: readonly unknown[];
  readonly both?: readonly string[];
  readonly sourceCapabilities?: readonly string[];
  readonly targetCapabilities?: readonly string[];
  readonly sourceParameters?: Readonly<Record<string, unknown>>;
  readonly targetParameters?: Readonly<Record<string, unknown>>;
  /** Done as soon as the source was told to migrate. */
  readonly meanwhile?: () => Promise<void>;
}

type Said = Pick<
  FailureEvidence,
  'sourceError' | 'targetError' | 'sourceStderr' | 'targetStderr' | 'sourceEnd' | 'targetEnd'
>;

/** What both sides left behind, after both came to an end, or enough of waiting. */
export async function provoke(attempt: Attempt): Promise<Said> {
  const { source, target } = attempt;
  const before = { source: source?.stderr().length, target: target?.stderr().length };
  const refusals: Record<'source' | 'target', string | undefined> = {
    source: undefined,
    target: undefined,
  };
  const tell = async (
    side: 'source' | 'target',
    command: string,
    args: Readonly<Record<string, unknown>>,
  ): Promise<void> => {
    const qemu = side === 'source' ? source : target;
    if (qemu === undefined || refusals[side] !== undefined) return;
    try {
      await qemu.probe(command, args);
    } catch (error) {
      refusals[side] = (error as Error).message.replace(`${command}: `, '');
    }
  };
  const { both = [], sourceCapabilities = [], targetCapabilities = [] } = attempt;
  await tell('target', 'migrate-set-capabilities', switchedOn([...both, ...targetCapabilities]));
  await tell('source', 'migrate-set-capabilities', switchedOn([...both, ...sourceCapabilities]));
  await tell('target', 'migrate-set-parameters', attempt.targetParameters ?? {});
  await tell('source', 'migrate-set-parameters', attempt.sourceParameters ?? {});
  const stays = target !== undefined && target.build.name !== '7.2';
  const uri = attempt.targetUri ?? attempt.uri;
  await tell('target', 'migrate-incoming', { uri, ...(stays && { 'exit-on-error': false }) });
  const { channels } = attempt;
  await tell('source', 'migrate', channels === undefined ? { uri: attempt.uri } : { channels });
  await attempt.meanwhile?.();
  let deadline = Date.now() + 10_000;
  while (Date.now() < deadline) {
    const sourceRests = refusals.source !== undefined || (await isOver(source));
    const targetRests =
      refusals.target !== undefined || refusals.source !== undefined || (await isOver(target));
    if (sourceRests && targetRests) break;
    // A side may never notice that the other gave up.
    if (sourceRests || targetRests) deadline = Math.min(deadline, Date.now() + 2000);
    await sleep(50);
  }
  const [sourceEnd, targetEnd] = [await endOf(source), await endOf(target)];
  return {
    sourceError: refusals.source ?? (await errorOf(source)),
    targetError: refusals.target ?? (await errorOf(target)),
    sourceStderr: linesOf(source, before.source),
    targetStderr: linesOf(target, before.target),
    ...(sourceEnd !== undefined && { sourceEnd }),
    ...(targetEnd !== undefined && { targetEnd }),
  };
}

function switchedOn(names: readonly string[]): Readonly<Record<string, unknown>> {
  return { capabilities: names.map((capability) => ({ capability, state: true })) };
}

interface MigrationAnswer {
  readonly status?: string;
  readonly 'error-desc'?: string;
}

/** Gone, or in a state that a migration does not leave. */
async function isOver(qemu: QemuProcess | undefined): Promise<boolean> {
  if (qemu === undefined) return true;
  try {
    const { status } = (await qemu.probe('query-migrate')) as MigrationAnswer;
    return ['failed', 'completed', 'cancelled', 'postcopy-paused'].includes(status ?? '');
  } catch {
    return true;
  }
}

async function errorOf(qemu: QemuProcess | undefined): Promise<string | undefined> {
  const answer = await qemu?.probe('query-migrate').catch(() => undefined);
  return (answer as MigrationAnswer | undefined)?.['error-desc'];
}

async function endOf(qemu: QemuProcess | undefined): Promise<ProcessEnd | undefined> {
  if (qemu === undefined) return undefined;
  // A QEMU that is about to end writes its last words first.
  const end = await Promise.race([qemu.exited, sleep(300)]);
  if (end === undefined) return undefined;
  return {
    ...(end.code !== null && { exitCode: end.code }),
    ...(end.signal !== null && { signal: end.signal }),
  };
}

function linesOf(qemu: QemuProcess | undefined, from = 0): string[] {
  return (qemu?.stderr().slice(from) ?? '').split('\n').filter((line) => line.trim() !== '');
}
