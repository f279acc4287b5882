import { setTimeout as sleep } from 'node:timers/promises';
import { stringifyJson } from '../../qmp/json';
import type { BorrowedSettings } from './borrowedSettings';
import { ControlRefusedError, type ControlRequest } from './controls';
import type { Follower } from './follow';
import type { Gate } from './gate';
import type { Recorder } from './journal/recorder';
import type { Side } from './look';
import { Proof } from './ownership';
import type { PostcopyRecovery } from './postcopyRecovery';
import { states } from './states';
import type { ControlHandler } from './runContext';

export interface RunControlsOptions {
  readonly gate: Gate;
  readonly source: Side;
  readonly target: Side;
  readonly follower: Follower;
  readonly borrowed: BorrowedSettings;
  readonly recorder: Recorder;
  readonly recovery: PostcopyRecovery | undefined;
}

const patience = { outOfBand: true, timeoutMs: 5000 } as const;

/** Carries out what a person wants of a run under way, between two looks of its follower. */
export function controlsOf(options: RunControlsOptions): ControlHandler {
  return (request) => {
    // A source that hangs would keep the turn to itself.
    if (request.id === 'yank') return yank(options);
    return options.follower.interject(() => carryOut(request, options));
  };
}

async function carryOut(request: ControlRequest, options: RunControlsOptions): Promise<void> {
  const { gate, borrowed, source, follower, recorder, recovery } = options;
  switch (request.id) {
    case 'cancel':
    case 'yank':
      return;
    case 'set-parameters':
      failUnless(gate, request, ['transfer', 'held', 'postcopy']);
      await note(recorder, request);
      for (const [name, value] of Object.entries(request.parameters)) {
        await borrowed.set(source.machine, name, value, true);
      }
      return;
    case 'start-postcopy':
      failUnless(gate, request, ['transfer']);
      await note(recorder, request);
      await gate.send('source', 'migrate-start-postcopy', {}, { timeoutMs: 5000 });
      return;
    case 'release-switchover':
      failUnless(gate, request, ['held']);
      await note(recorder, request);
      await follower.releaseSwitchover();
      return;
    case 'pause-postcopy':
      failUnless(gate, request, ['postcopy']);
      await note(recorder, request);
      await untilActive(source);
      // Before the reply, which the break may overtake.
      recovery?.pausedByHand(true);
      try {
        await gate.send('source', 'migrate-pause', {}, patience);
      } catch (error) {
        recovery?.pausedByHand(false);
        throw error;
      }
      return;
    case 'recover-postcopy':
      failUnless(gate, request, ['interrupted']);
      await recovery?.recover();
      return;
  }
}

/** QEMU pauses nothing in the moments before the guest runs on the target. Bounded; never rejects. */
async function untilActive(source: Side): Promise<void> {
  for (let tries = 0; tries < 20; tries += 1) {
    const view = await source.look();
    if (view.kind !== 'answered' || view.migrationStatus !== 'postcopy-device') return;
    await sleep(100);
  }
}

/** Cuts the channel of a source that a cancel does not reach. */
async function yank(options: RunControlsOptions): Promise<void> {
  const { gate, source, target, follower, recorder } = options;
  failUnless(gate, { id: 'yank' }, ['transfer', 'cancel', 'settle']);
  const view = await target.look();
  const isHeld = view.kind === 'gone' || (await follower.hold.take()) === 'held';
  // Before the last look, for the disk may take its time.
  if (isHeld) await note(recorder, { id: 'yank' });
  // It may have begun to hand over since the follower asked it.
  const now = await source.look();
  const proof = Proof.yank(now.kind === 'answered' ? now : follower.lastSeen, view, isHeld);
  if (proof === undefined) {
    const { process } = target.lastSeen();
    const pid = process === undefined ? '' : ` (pid ${process.pid})`;
    throw new ControlRefusedError(
      'yank',
      `${target.label} may have all of the guest, and cannot be kept from starting it: both would run.`,
      `End the QEMU of ${target.label}${pid} first; the source then goes on by itself.`,
    );
  }
  follower.noteCancel();
  await gate.sendProven('yank', proof, patience);
}

function failUnless(
  gate: Gate,
  { id }: Pick<ControlRequest, 'id'>,
  allowed: readonly (keyof typeof states)[],
): void {
  if (allowed.includes(gate.state)) return;
  const when = allowed.map((state) => `"${states[state].words}"`).join(' or ');
  throw new ControlRefusedError(
    id,
    `The run is "${states[gate.state].words}"; this can be done while it is ${when}.`,
    'Wait for it, or look at the other controls.',
  );
}

async function note(recorder: Recorder, request: ControlRequest): Promise<void> {
  const detail =
    request.id === 'set-parameters'
      ? Object.entries(request.parameters)
          .map(([name, value]) => `${name}=${stringifyJson(value)}`)
          .join(' ')
      : undefined;
  await recorder.record({ kind: 'control', control: request.id, detail });
}
