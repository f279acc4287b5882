import type net from 'node:net';
import { Emitter } from '../../src/qmp/emitter';
import {
  isObject,
  parseJson,
  stringifyJson,
  type JsonObject,
  type JsonValue,
} from '../../src/qmp/json';
import type { QmpTransport } from '../../src/qmp/transport';

export const fakeGreeting: JsonObject = {
  QMP: {
    version: { qemu: { micro: 2, minor: 2, major: 10 }, package: 'fake' },
    capabilities: ['oob'],
  },
};

/**
 * A transport without a socket, for tests that say byte by byte what the peer does. Answers
 * `qmp_capabilities` by itself unless told not to.
 */
export class FakeTransport implements QmpTransport {
  /** All messages that came from the client, in order. */
  readonly sent: JsonObject[] = [];
  isClosed = false;
  /** Stands for the real socket where a test hands it over. */
  readonly socket?: net.Socket;
  private readonly dataEmitter = new Emitter<Buffer>(rethrow);
  private readonly endEmitter = new Emitter<Error | undefined>(rethrow);
  readonly onData = this.dataEmitter.event;
  readonly onEnd = this.endEmitter.event;
  private readonly negotiates: boolean;
  private drained: Promise<void> = Promise.resolve();

  constructor(options: { negotiates?: boolean; socket?: net.Socket } = {}) {
    this.negotiates = options.negotiates ?? true;
    if (options.socket) this.socket = options.socket;
    // After the connection has put its listeners on.
    if (this.negotiates) queueMicrotask(() => this.receive(fakeGreeting));
  }

  send(bytes: string | Buffer): void {
    const message = parseJson(bytes.toString());
    if (!isObject(message)) throw new Error(`Not a command: ${bytes.toString()}`);
    this.sent.push(message);
    if (this.negotiates && message['execute'] === 'qmp_capabilities') this.reply(message, {});
  }

  drain(): Promise<void> {
    return this.drained;
  }

  /** Keeps `drain` waiting until the returned function is called. */
  blockDrain(): () => void {
    let unblock: () => void = () => undefined;
    this.drained = new Promise((resolve) => (unblock = resolve));
    return unblock;
  }

  close(): void {
    this.isClosed = true;
  }

  /** The last command of that name which the client sent. */
  command(name: string): JsonObject {
    const found = this.sent.findLast(
      (message) => (message['execute'] ?? message['exec-oob']) === name,
    );
    if (found === undefined) throw new Error(`${name} was not sent`);
    return found;
  }

  reply(command: JsonObject, value: JsonValue): void {
    this.receive({ return: value, id: command['id'] ?? null });
  }

  /** Lets the client receive one message as QEMU prints it. */
  receive(message: JsonObject): void {
    this.receiveBytes(`${stringifyJson(message)}\r\n`);
  }

  receiveBytes(bytes: string | Buffer): void {
    this.dataEmitter.fire(Buffer.from(bytes));
  }

  end(error?: Error): void {
    this.endEmitter.fire(error);
  }
}

function rethrow(error: unknown): never {
  throw error;
}
