import { connect, type Socket } from 'node:net';

/**
 * A minimal QMP client over a socket of its own. It shares no code with `src/qmp` on purpose: what the
 * product claims about a VM is checked through this, from outside.
 */
export class Probe {
  private socket: Socket | undefined;
  private buffer = '';
  private nextId = 1;
  private readonly waiting = new Map<number, (reply: Record<string, unknown>) => void>();
  private onGreeting: (() => void) | undefined;
  private connecting: Promise<void> | undefined;
  private failure: ((error: Error) => void)[] = [];

  private readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Runs one command; connects and negotiates first when needed. Rejects with QEMU's own words. */
  async execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    this.connecting ??= this.open();
    try {
      await this.connecting;
    } catch (error) {
      this.connecting = undefined;
      throw error;
    }
    return this.send(command, args);
  }

  /** Closes the connection; pending commands are rejected. */
  close(): void {
    this.socket?.destroy();
  }

  private async open(): Promise<void> {
    const socket = connect(this.path);
    this.socket = socket;
    this.buffer = '';
    socket.setEncoding('utf8');
    const greeted = new Promise<void>((resolve, reject) => {
      this.onGreeting = resolve;
      this.failure.push(reject);
    });
    socket.on('error', () => undefined);
    socket.on('data', (text: string) => {
      this.receive(text);
    });
    socket.on('close', () => {
      if (socket !== this.socket) return;
      this.connecting = undefined;
      const failures = this.failure;
      this.failure = [];
      this.waiting.clear();
      for (const fail of failures) fail(new Error(`The connection to ${this.path} closed.`));
    });
    await greeted;
    await this.send('qmp_capabilities');
  }

  private async send(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    const id = this.nextId++;
    const reply = await new Promise<Record<string, unknown>>((resolve, reject) => {
      this.waiting.set(id, resolve);
      this.failure.push(reject);
      this.socket?.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    });
    if ('error' in reply) {
      const { desc } = reply['error'] as { desc: string };
      throw new Error(`${command}: ${desc}`);
    }
    return reply['return'];
  }

  private receive(text: string): void {
    this.buffer += text;
    for (let end = this.buffer.indexOf('\n'); end >= 0; end = this.buffer.indexOf('\n')) {
      const message = JSON.parse(this.buffer.slice(0, end)) as Record<string, unknown>;
      this.buffer = this.buffer.slice(end + 1);
      if ('QMP' in message) this.onGreeting?.();
      const id = message['id'];
      if (typeof id !== 'number') continue;
      this.waiting.get(id)?.(message);
      this.waiting.delete(id);
    }
  }
}
