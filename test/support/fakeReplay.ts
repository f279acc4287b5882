import { isObject, type JsonObject, type JsonValue } from '../../src/qmp/json';
import type { FakeQemu } from './fakeQemu';
import type { RecordedMessage } from './recordings';

/** What a replay does to the outside. */
export interface ReplayStage {
  readonly qemu: FakeQemu;
  /** Sends a recorded event as it is. */
  sendEvent(event: JsonObject): void;
  /** QEMU went away. */
  vanish(): void;
}

/**
 * Plays a recorded transcript against a client that need not do exactly what the recorded one did.
 *
 * Commands that change something are matched by name, in order. Each releases what was recorded up to
 * the next one of them: events are sent, and the replies of recorded queries become what such a query
 * answers from then on. So a client may poll more, less or not at all.
 */
export class Replay {
  private readonly messages: readonly RecordedMessage[];
  private readonly stage: ReplayStage;
  private position = 0;
  private readonly commandsById = new Map<JsonValue, string>();

  constructor(messages: readonly RecordedMessage[], stage: ReplayStage) {
    this.messages = messages;
    this.stage = stage;
    for (const { direction, message } of messages) {
      if (direction !== 'out' || message === undefined) continue;
      this.commandsById.set(message['id'] ?? null, commandOf(message));
    }
    this.skipTo('qmp_capabilities');
  }

  /**
   * The recorded reply to `command`, with the events that came before it sent already; undefined if
   * the recording has nothing (more) to say about it. `advance` then plays on.
   */
  take(command: string): JsonObject | undefined {
    if (isQuery(command) || !this.skipTo(command)) return undefined;
    const id = this.messages[this.position - 1]?.message?.['id'];
    while (this.position < this.messages.length) {
      const { direction, message } = this.messages[this.position] ?? {};
      this.position++;
      if (direction === 'in' && message?.['id'] === id && message?.['id'] !== undefined)
        return message;
      if (direction === 'in') this.play(message);
    }
    return undefined;
  }

  /** Plays all that follows without our doing, a turn of the event loop for each message. */
  advance(): void {
    const next = this.messages[this.position];
    if (next === undefined) return;
    if (next.direction === 'out' && next.message && !isQuery(commandOf(next.message))) return;
    this.position++;
    if (next.direction === 'in') this.play(next.message);
    setImmediate(() => this.advance());
  }

  private play(message: JsonObject | undefined): void {
    if (message === undefined) this.stage.vanish();
    else if (message['event'] !== undefined) this.playEvent(message);
    else this.remember(message);
  }

  private playEvent(event: JsonObject): void {
    const data = event['data'];
    const { qemu } = this.stage;
    if (event['event'] === 'MIGRATION' && isObject(data)) {
      qemu.migration = { ...qemu.migration, ...data };
    } else if (event['event'] === 'STOP') qemu.status = { status: 'paused', running: false };
    else if (event['event'] === 'RESUME') qemu.status = { status: 'running', running: true };
    this.stage.sendEvent(event);
  }

  private remember(reply: JsonObject): void {
    const result = reply['return'];
    const command = this.commandsById.get(reply['id'] ?? null);
    if (!isObject(result)) return;
    if (command === 'query-migrate') this.stage.qemu.migration = result;
    if (command === 'query-status') this.stage.qemu.status = result;
  }

  /** Moves behind the next recorded `command`; stays where it was if there is none. */
  private skipTo(command: string): boolean {
    for (let at = this.position; at < this.messages.length; at++) {
      const { direction, message } = this.messages[at] ?? {};
      if (direction !== 'out' || message === undefined || commandOf(message) !== command) continue;
      this.position = at + 1;
      return true;
    }
    return false;
  }
}

function commandOf(message: JsonObject): string {
  const command = message['execute'];
  return typeof command === 'string' ? command : '';
}

function isQuery(command: string): boolean {
  return command.startsWith('query-') || command === 'human-monitor-command';
}
