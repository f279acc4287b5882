import { connect, type Socket } from 'node:net';

/**
 * The least that can be called a QMP client, to measure ours against: no limits, no time-outs, no errors,
 * no exact integers.
 */
export class BareClient {
  private readonly socket: Socket;
  private readonly waiting = new Map<number, (value: unknown) => void>();
  private rest = '';
  private nextId = 1;

  private constructor(socket: Socket) {
    this.socket = socket;
  }

  static async connect(path: string): Promise<BareClient> {
    const socket = connect(path);
    const client = new BareClient(socket);
    socket.setEncoding('utf8');
    await new Promise<void>((resolve) => {
      socket.once('data', () => resolve());
    });
    socket.on('data', (text: string) => client.receive(text));
    await client.execute('qmp_capabilities');
    return client;
  }

  execute(command: string): Promise<unknown> {
    const id = this.nextId++;
    return new Promise((resolve) => {
      this.waiting.set(id, resolve);
      this.socket.write(`${JSON.stringify({ execute: command, id })}\n`);
    });
  }

  close(): void {
    this.socket.destroy();
  }

  private receive(text: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) {
      const message = JSON.parse(line) as { id?: number; return?: unknown };
      if (message.id === undefined) continue;
      this.waiting.get(message.id)?.(message.return);
      this.waiting.delete(message.id);
    }
  }
}
