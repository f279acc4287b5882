import type { Channel } from '../methods/channel';
import type { Gate } from './gate';
import type { Recorder } from './journal/recorder';
import type { Side } from './look';
import { patience } from './patience';

const attemptsAllowed = 5;

export interface PostcopyRecoveryOptions {
  readonly gate: Gate;
  readonly source: Side;
  readonly target: Side;
  readonly recorder: Recorder;
  readonly log: (line: string) => void;
  /** A new way for the rest of the memory. */
  readonly reopen: () => Promise<Channel>;
  /** Between two attempts; milliseconds. */
  readonly betweenMs?: number | undefined;
}

/**
 * Joins the two sides of an interrupted postcopy again: the target listens anew (`migrate-recover`),
 * then the source goes on (`migrate` with `resume`). Until that has worked the guest on the target
 * stands still wherever it needs a page that has not come.
 */
export class PostcopyRecovery {
  private readonly options: PostcopyRecoveryOptions;
  private readonly opened: Channel[] = [];
  private attempts = 0;
  private nextMs = 0;
  private byHand = false;

  constructor(options: PostcopyRecoveryOptions) {
    this.options = options;
  }

  /** For the line of progress. */
  get note(): string {
    return this.byHand
      ? 'Paused by hand; it waits for you to recover it.'
      : `The channel broke; joining both sides again (attempt ${Math.max(1, this.attempts)}).`;
  }

  /** A person cuts the channel: it is joined again on their word only. */
  pausedByHand(cut: boolean): void {
    this.byHand = cut;
  }

  /** One look, and perhaps one attempt. Never rejects. */
  async step(): Promise<'waiting' | 'tried' | 'given-up'> {
    if (this.byHand || Date.now() < this.nextMs) return 'waiting';
    if (this.attempts >= attemptsAllowed) return 'given-up';
    this.nextMs = Date.now() + (this.options.betweenMs ?? patience.recoveryMs);
    this.attempts += 1;
    try {
      await this.recover();
    } catch (error) {
      this.options.log(`recovery of postcopy: ${String(error)}`);
    }
    return 'tried';
  }

  /** @throws {QmpError} and what opening a channel throws */
  async recover(): Promise<void> {
    const { gate, target, recorder, reopen } = this.options;
    this.byHand = false;
    const view = await target.look();
    if (view.kind === 'answered' && view.migrationStatus === 'postcopy-active') {
      // It has not noticed that the channel is cut.
      await gate.send('target', 'migrate-pause', {}, { outOfBand: true, timeoutMs: 5000 });
    }
    await recorder.record({ kind: 'control', control: 'recover-postcopy' });
    const channel = await reopen();
    this.opened.push(channel);
    const options = { outOfBand: true, timeoutMs: 5000 };
    await gate.send('target', 'migrate-recover', { uri: channel.uri }, options);
    const uri = (await channel.outgoingUri?.()) ?? channel.uri;
    await gate.send('source', 'migrate', { uri, resume: true });
  }

  /** Removes what the attempts left on disk. Never rejects. */
  async close(): Promise<void> {
    for (const channel of this.opened.splice(0)) await channel.close();
  }
}
