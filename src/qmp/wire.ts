import type { CallSite } from './callSite';
import { Emitter } from './emitter';
import { QmpProtocolError, type CloseReason } from './errors';
import { defaultMaxMessageBytes, excerptOf, Framer } from './framing';
import { isObject, stringifyJson, type JsonObject, type JsonValue } from './json';
import {
  parseErrorReply,
  parseEvent,
  parseGreeting,
  protocolError,
  type QmpEvent,
  type QmpGreeting,
} from './messages';
import type { ExecuteOptions, TrafficListener } from './options';
import { PendingCommand } from './pending';
import { errorCode, type QmpTransport } from './transport';

const defaultTimeoutMs = 30_000;

/** Longer delays overflow Node's timers, which then fire at once. */
const maxTimerMs = 2 ** 31 - 1;

/** A command that has its id, but may not be sent yet. */
export interface Draft {
  readonly id: number;
  /** One JSON text without a line end; undefined if the command failed before it was printed. */
  readonly text: string | undefined;
  readonly reply: Promise<JsonValue>;
}

/**
 * Commands out, replies and events in, over one transport. The part of a connection that works
 * before and after the negotiation alike; `QmpConnection` is what others use.
 */
export class Wire {
  readonly events = new Emitter<QmpEvent>();
  /** Never settles if the connection ends before the greeting; wait for `closed` as well. */
  readonly greeting: Promise<QmpGreeting>;
  readonly closed: Promise<CloseReason>;
  readonly transport: QmpTransport;

  private readonly framer: Framer;
  private readonly onTraffic: TrafficListener | undefined;
  private readonly pending = new Map<number, PendingCommand>();
  private lastId = 0;
  private alarm: NodeJS.Timeout | undefined;
  private alarmAt = Infinity;
  /** What waits for the end of a hold; undefined when nothing is held. */
  private held: { readonly id: number; readonly text: string }[] | undefined;
  private greeted = false;
  private shutdown: CloseReason | undefined;
  private reason: CloseReason | undefined;
  private resolveGreeting!: (greeting: QmpGreeting) => void;
  private resolveClosed!: (reason: CloseReason) => void;

  constructor(
    transport: QmpTransport,
    options: {
      readonly maxMessageBytes?: number | undefined;
      readonly onTraffic?: TrafficListener | undefined;
    },
  ) {
    this.transport = transport;
    this.onTraffic = options.onTraffic;
    this.greeting = new Promise((resolve) => (this.resolveGreeting = resolve));
    this.closed = new Promise((resolve) => (this.resolveClosed = resolve));
    this.framer = new Framer(
      (message, text) => this.receive(message, text),
      options.maxMessageBytes ?? defaultMaxMessageBytes,
    );
    transport.onEnd((error) => this.finish(this.reasonOfEnd(error), error));
    transport.onData((chunk) => this.read(chunk));
  }

  /** Why the connection ended; undefined while it is open. */
  get closeReason(): CloseReason | undefined {
    return this.reason;
  }

  execute(
    command: string,
    args: JsonObject | undefined,
    options: ExecuteOptions,
    site: CallSite | undefined,
  ): Promise<JsonValue> {
    const { id, text, reply } = this.draft(command, args, options, site);
    if (text !== undefined) {
      this.startTimer(id, options);
      if (this.held === undefined) this.send(text);
      else this.held.push({ id, text });
    }
    return reply;
  }

  /** Makes room for the reply of a command that is to be sent, and fails it if it cannot be. */
  draft(
    command: string,
    args: JsonObject | undefined,
    options: ExecuteOptions,
    site: CallSite | undefined,
  ): Draft {
    const id = ++this.lastId;
    let text: string | undefined;
    const reply = new Promise<JsonValue>((resolve, reject) => {
      const pending = new PendingCommand(command, site, resolve, reject);
      const { signal } = options;
      if (this.reason !== undefined) {
        pending.close(this.reason);
      } else if (signal?.aborted === true) {
        pending.abort(signal.reason);
      } else {
        try {
          text = print(command, args, options.outOfBand === true, id);
        } catch (error) {
          pending.notSent(error);
          return;
        }
        this.pending.set(id, pending);
        if (signal) pending.watch(signal, () => this.take(id)?.abort(signal.reason));
      }
    });
    return { id, text, reply };
  }

  /** Starts the clock of a command; its late reply will be dropped. */
  startTimer(id: number, options: ExecuteOptions): void {
    const pending = this.pending.get(id);
    if (pending === undefined) return;
    const now = performance.now();
    pending.timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
    pending.deadline = now + pending.timeoutMs;
    if (pending.deadline < this.alarmAt) this.setAlarm(pending.deadline, now);
  }

  /** Rejects a command that was not sent after all. */
  withdraw(id: number, error: Error | undefined): void {
    const pending = this.take(id);
    if (error === undefined) pending?.notSent(undefined);
    else pending?.rejectWith(error);
  }

  /** Keeps all commands back until {@link unhold}. */
  hold(): void {
    this.held ??= [];
  }

  unhold(): void {
    const held = this.held ?? [];
    this.held = undefined;
    for (const { id, text } of held) {
      // Those that were aborted or timed out meanwhile need not go.
      if (this.pending.has(id)) this.send(text);
    }
  }

  /** Tells the traffic listener, if there is one, of a message. */
  traffic(direction: 'in' | 'out', text: string): void {
    if (this.onTraffic === undefined) return;
    try {
      this.onTraffic(direction, text);
    } catch (error) {
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  }

  /** Ends the connection, once, and fails all commands that wait. */
  finish(reason: CloseReason, cause?: Error): void {
    if (this.reason !== undefined) return;
    this.reason = reason;
    clearTimeout(this.alarm);
    this.framer.stop();
    this.transport.close();
    this.held = undefined;
    const waiting = [...this.pending.values()];
    this.pending.clear();
    for (const pending of waiting) pending.close(reason, cause);
    this.resolveClosed(reason);
  }

  private send(text: string): void {
    this.traffic('out', text);
    this.transport.send(`${text}\n`);
  }

  /**
   * One timer for all commands, set to the earliest deadline that was known when it was set: a timer
   * for each would cost more than the rest of the command.
   */
  private setAlarm(at: number, now: number): void {
    clearTimeout(this.alarm);
    this.alarmAt = at;
    this.alarm = setTimeout(this.onAlarm, Math.min(Math.max(at - now, 1), maxTimerMs));
    // It may outlive the command that it was set for; what keeps the process alive is the socket.
    this.alarm.unref();
  }

  private readonly onAlarm = (): void => {
    const now = performance.now();
    let next = Infinity;
    for (const [id, pending] of this.pending) {
      // Timers may ring a fraction of a millisecond early.
      if (pending.deadline <= now + 1) this.take(id)?.timeOut();
      else if (pending.deadline < next) next = pending.deadline;
    }
    this.alarmAt = Infinity;
    if (next < Infinity) this.setAlarm(next, now);
  };

  private take(id: number): PendingCommand | undefined {
    const pending = this.pending.get(id);
    this.pending.delete(id);
    return pending;
  }

  private read(chunk: Buffer): void {
    try {
      this.framer.push(chunk);
    } catch (error) {
      const problem = this.asProtocolError(error);
      this.finish({ kind: 'protocol-error', error: problem }, problem);
    }
  }

  private asProtocolError(error: unknown): QmpProtocolError {
    if (!(error instanceof QmpProtocolError)) {
      return new QmpProtocolError('unexpected', 'Cannot read this message', '', { cause: error });
    }
    // Before the greeting it is not a broken monitor, but the socket of some other program.
    if (this.greeted || error.problem === 'not-qmp') return error;
    return new QmpProtocolError('not-qmp', 'This is not a QMP monitor', error.excerpt, {
      cause: error,
    });
  }

  private receive(message: JsonValue, text: string): void {
    this.traffic('in', text);
    if (!isObject(message)) throw protocolError('unexpected', 'Not an object', message);
    if (!this.greeted) {
      const greeting = parseGreeting(message);
      this.greeted = true;
      this.resolveGreeting(greeting);
      return;
    }
    const result = message['return'];
    if (result !== undefined) this.takeReplied(message, text)?.succeed(result);
    else if (message['event'] !== undefined) this.receiveEvent(parseEvent(message));
    else if (message['error'] !== undefined) {
      const { errorClass, desc } = parseErrorReply(message['error']);
      this.takeReplied(message, text)?.refuse(errorClass, desc);
    } else throw new QmpProtocolError('unexpected', 'No kind of QMP message', excerptOf(text));
  }

  /** The command that `message` answers; undefined if nobody waits for it any more. */
  private takeReplied(message: JsonObject, text: string): PendingCommand | undefined {
    const id = message['id'];
    // QEMU's parser could make nothing of something that we sent, and cannot say of what. It may
    // even be inside an open object now and swallow all that follows.
    if (id === undefined) {
      throw new QmpProtocolError('unexpected', 'A reply to no command', excerptOf(text));
    }
    return typeof id === 'number' ? this.take(id) : undefined;
  }

  private receiveEvent(event: QmpEvent): void {
    if (event.name === 'SHUTDOWN') {
      const { guest, reason } = event.data;
      this.shutdown = {
        kind: 'qemu-quit',
        guest: guest === true,
        reason: typeof reason === 'string' ? reason : 'unknown',
      };
    } else if (event.name === 'RESUME') {
      // With -no-shutdown QEMU stays, and may run the guest again.
      this.shutdown = undefined;
    }
    this.events.fire(event);
  }

  private reasonOfEnd(error: Error | undefined): CloseReason {
    const code = error === undefined ? '' : errorCode(error);
    // QEMU's exit may show as a reset instead of an end, or as a write that came too late.
    if (error === undefined || code === 'ECONNRESET' || code === 'EPIPE') {
      return this.shutdown ?? { kind: 'peer-closed' };
    }
    return { kind: 'io-error', code, message: error.message };
  }
}

function print(command: string, args: JsonObject | undefined, oob: boolean, id: number): string {
  const verb = oob ? 'exec-oob' : 'execute';
  const name = stringifyJson(command);
  if (args === undefined) return `{"${verb}":${name},"id":${id}}`;
  return `{"${verb}":${name},"arguments":${stringifyJson(args)},"id":${id}}`;
}
