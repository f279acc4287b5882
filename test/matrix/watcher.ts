import { connect, type Socket } from 'node:net';

/** What a QEMU was seen to be at a moment between two; ms since the epoch. */
export interface Sample {
  readonly sentAt: number;
  readonly receivedAt: number;
  /** QAPI `RunState` */
  readonly status: string;
}

export interface SeenEvent {
  readonly name: string;
  /** By QEMU's own stamp, which is of the same host clock; ms since the epoch. */
  readonly at: number;
  /** QAPI `MigrationStatus` of a MIGRATION event. */
  readonly status: string | undefined;
}

const everyMs = 20;

/** Milliseconds since the epoch, with their fractions. */
export function clock(): number {
  return performance.timeOrigin + performance.now();
}

/**
 * Watches one QEMU from outside, over a monitor of its own: each event, and the run state every 20 ms.
 * It shares no code with `src/qmp`. A QEMU that is frozen is asked once, and answers when it goes on.
 */
export class Watcher {
  readonly name: string;
  readonly samples: Sample[] = [];
  readonly events: SeenEvent[] = [];
  private readonly path: string;
  private socket: Socket | undefined;
  private buffer = '';
  private sentAt: number | undefined;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;
  private goneSince: number | undefined;
  private readonly listeners: ((event: SeenEvent) => void)[] = [];

  constructor(name: string, path: string) {
    this.name = name;
    this.path = path;
  }

  /** Resolves with the first sample; with 0 at once, for a QEMU that answers only later. */
  async start(timeoutMs = 10_000): Promise<void> {
    this.open();
    this.timer = setInterval(() => this.ask(), everyMs);
    if (timeoutMs === 0) return;
    const deadline = Date.now() + timeoutMs;
    while (this.samples.length === 0) {
      if (Date.now() > deadline) throw new Error(`${this.name} does not answer its watcher`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Called with each event as it comes. */
  onEvent(listener: (event: SeenEvent) => void): void {
    this.listeners.push(listener);
  }

  /** Its process is gone, or will be in this very moment. */
  noteEnd(at = clock()): void {
    this.goneSince ??= at;
  }

  get last(): Sample | undefined {
    return this.samples.at(-1);
  }

  has(event: string, status?: string): boolean {
    return this.events.some((seen) => seen.name === event && (!status || seen.status === status));
  }

  /** It was asked after the last such event, and runs. */
  runsSince(event: string): boolean {
    const at = this.events.findLast(({ name }) => name === event)?.at ?? 0;
    return this.last?.status === 'running' && this.last.sentAt > at;
  }

  stop(): void {
    this.closed = true;
    clearInterval(this.timer);
    this.socket?.destroy();
  }

  /** When the guest ran here, from the events and what was sampled; the last may not have ended. */
  runs(now = clock()): readonly Stretch[] {
    const stretches: { from: number; to: number }[] = [];
    let from: number | undefined = this.samples[0]?.status === 'running' ? 0 : undefined;
    for (const { name, at } of this.events) {
      if (name === 'RESUME') from ??= at;
      if (name === 'STOP' && from !== undefined) {
        stretches.push({ from, to: at });
        from = undefined;
      }
    }
    if (from !== undefined) stretches.push({ from, to: this.goneSince ?? now });
    const isKnown = ({ sentAt, receivedAt }: Sample): boolean =>
      stretches.some((stretch) => stretch.from <= receivedAt && sentAt <= stretch.to);
    for (const sample of this.samples) {
      // It runs although no event said so: somewhere between, and surely when it answered.
      if (sample.status === 'running' && !isKnown(sample)) {
        stretches.push({ from: sample.receivedAt, to: sample.receivedAt });
      }
    }
    return stretches;
  }

  private open(): void {
    const socket = connect(this.path);
    this.socket = socket;
    this.buffer = '';
    this.sentAt = undefined;
    socket.setEncoding('utf8');
    socket.on('error', () => undefined);
    socket.on('data', (text: string) => this.receive(text));
    socket.on('close', () => {
      this.sentAt = undefined;
      if (this.closed || this.goneSince !== undefined || socket !== this.socket) return;
      // An update in place ends all connections, and listens again.
      setTimeout(() => {
        if (!this.closed && this.goneSince === undefined) this.open();
      }, 10);
    });
  }

  private ask(): void {
    const isReady = this.socket?.readyState === 'open' && this.greeted.has(this.socket);
    if (!isReady || this.sentAt !== undefined) return;
    this.sentAt = clock();
    this.socket?.write('{"execute":"query-status","id":1}\n');
  }

  private readonly greeted = new WeakSet<Socket>();

  private receive(text: string): void {
    this.buffer += text;
    for (let end = this.buffer.indexOf('\n'); end >= 0; end = this.buffer.indexOf('\n')) {
      const message = JSON.parse(this.buffer.slice(0, end)) as Message;
      this.buffer = this.buffer.slice(end + 1);
      this.take(message);
    }
  }

  private take(message: Message): void {
    if (message.QMP !== undefined && this.socket !== undefined) {
      this.socket.write('{"execute":"qmp_capabilities"}\n');
      this.greeted.add(this.socket);
    } else if (message.event !== undefined && message.timestamp !== undefined) {
      const { seconds, microseconds } = message.timestamp;
      const at = seconds * 1000 + microseconds / 1000;
      const event = { name: message.event, at, status: message.data?.status };
      this.events.push(event);
      for (const listener of this.listeners) listener(event);
    } else if (message.id === 1 && message.return?.status !== undefined) {
      const sentAt = this.sentAt ?? clock();
      this.samples.push({ sentAt, receivedAt: clock(), status: message.return.status });
      this.sentAt = undefined;
    }
  }
}

/** From when until when a guest ran; ms since the epoch. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
}

interface Message {
  readonly QMP?: unknown;
  readonly event?: string;
  readonly timestamp?: { readonly seconds: number; readonly microseconds: number };
  readonly data?: { readonly status?: string };
  readonly id?: number;
  readonly return?: { readonly status?: string };
}

/** When both ran at the same time; empty: never. */
export function overlaps(here: Watcher, there: Watcher): readonly Stretch[] {
  const now = clock();
  return here.runs(now).flatMap((one) =>
    there.runs(now).flatMap((other) => {
      const [from, to] = [Math.max(one.from, other.from), Math.min(one.to, other.to)];
      // Of a sample alone only a moment is known; two stretches that touch are no overlap.
      const isMoment = one.from === one.to || other.from === other.to;
      return from < to || (from === to && isMoment) ? [{ from, to }] : [];
    }),
  );
}
