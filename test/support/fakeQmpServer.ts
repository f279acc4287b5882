import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { Framer } from '../../src/qmp/framing';
import {
  isArray,
  isObject,
  stringifyJson,
  type JsonObject,
  type JsonValue,
} from '../../src/qmp/json';
import { FakeQemu, FakeRefusal, refusalOf } from './fakeQemu';
import { Replay } from './fakeReplay';
import { readRecording, recordedReturn, type Build, type Side } from './recordings';

export { FakeRefusal } from './fakeQemu';

export interface FakeQmpServerOptions {
  /** Whose introspection and wording it has. */
  readonly build: Build;
  /** Where to listen; by default in a directory of its own, mode 0700. */
  readonly path?: string;
  readonly version?: { major: number; minor: number; micro: number };
  /** What the greeting offers; default `oob`. */
  readonly greetingCapabilities?: readonly string[];
  /** Fixed `return` values by command. */
  readonly overrides?: Readonly<Record<string, JsonValue>>;
}

/** A command as the server received it. */
export interface FakeCall {
  readonly command: string;
  readonly arguments: JsonObject;
  readonly id: JsonValue | undefined;
  readonly outOfBand: boolean;
}

/** For a handler to return: no answer at all. */
export const noReply = Symbol('no reply');

/**
 * Answers one command: its `return` value, now or later, or {@link noReply}. A thrown
 * {@link FakeRefusal} goes out as QEMU's error. Handlers that wait do not hold up later commands.
 */
export type FakeHandler = (
  args: JsonObject,
  call: FakeCall,
) => JsonValue | typeof noReply | Promise<JsonValue | typeof noReply>;

/** A QMP monitor on a real UNIX socket that behaves as QEMU's does, made of recordings. */
export class FakeQmpServer {
  readonly path: string;
  /** The state behind the monitor; tests may look and change. */
  readonly qemu: FakeQemu;
  /** All commands received, `qmp_capabilities` included, in order. */
  readonly transcript: FakeCall[] = [];

  private readonly options: FakeQmpServerOptions;
  private readonly server = net.createServer();
  private readonly directory: string | undefined;
  private readonly handlers = new Map<string, FakeHandler>();
  /** The first is being served, the others wait for their greeting. */
  private clients: FakeClient[] = [];
  private replaying: Replay | undefined;
  private heldAfter: string | undefined;
  private isHeld = false;
  /** Told each command when it comes. */
  onCall: ((call: FakeCall) => void) | undefined;
  /** Told when it is about to go away as it did in the recording. */
  onVanish: (() => void) | undefined;
  /** Told when it has gone away. */
  onStopped: (() => void) | undefined;

  private constructor(options: FakeQmpServerOptions) {
    this.options = options;
    this.qemu = new FakeQemu(options.build);
    if (options.path === undefined) {
      this.directory = mkdtempSync(path.join(os.tmpdir(), 'qmp-'));
      chmodSync(this.directory, 0o700);
    }
    this.path = options.path ?? path.join(this.directory ?? '', 'qmp.sock');
    for (const [command, value] of Object.entries(options.overrides ?? {})) {
      this.on(command, () => value);
    }
    this.server.on('connection', (socket) => this.admit(socket));
  }

  static async start(options: FakeQmpServerOptions): Promise<FakeQmpServer> {
    const server = new FakeQmpServer(options);
    await new Promise<void>((resolve, reject) => {
      server.server.once('error', reject);
      server.server.listen(server.path, resolve);
    });
    return server;
  }

  /** Answers a command in place of QEMU from now on. */
  on(command: string, handler: FakeHandler): void {
    this.handlers.set(command, handler);
  }

  /** Plays a recorded case of this build; see {@link Replay}. */
  replay(caseName: string, side: Side): void {
    this.replaying = new Replay(readRecording(this.options.build, caseName, side), {
      qemu: this.qemu,
      sendEvent: (event) => this.clients[0]?.sendEvent(event),
      vanish: () => {
        this.onVanish?.();
        void this.stop();
      },
    });
  }

  /** What was recorded behind this command is played only after {@link releaseReplay}. */
  holdReplayAfter(command: string): void {
    this.heldAfter = command;
  }

  releaseReplay(): void {
    this.heldAfter = undefined;
    this.isHeld = false;
    this.replaying?.advance();
  }

  /** Sends an event, stamped now, if a client is there that has negotiated. */
  emitEvent(name: string, data?: JsonObject): void {
    const now = Date.now();
    const timestamp = { seconds: Math.floor(now / 1000), microseconds: (now % 1000) * 1000 };
    this.clients[0]?.sendEvent({ timestamp, event: name, ...(data === undefined ? {} : { data }) });
  }

  /** What `query-migrate` answers from now on. */
  setMigration(info: JsonObject): void {
    this.qemu.migration = info;
  }

  /** Sends bytes as they are to the client that is served. */
  writeRaw(bytes: string | Buffer): void {
    this.clients[0]?.socket.write(bytes);
  }

  /** Cuts the client that is served off; the next in line is greeted. */
  dropClient(): void {
    this.clients[0]?.socket.destroy();
  }

  /** Goes away as a QEMU does: all connections end, the socket file is removed. */
  async stop(): Promise<void> {
    const clients = this.clients;
    this.clients = [];
    for (const { socket } of clients) socket.destroySoon();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
    if (this.directory !== undefined) rmSync(this.directory, { recursive: true, force: true });
    this.onStopped?.();
  }

  /** The names of the commands received, in order. */
  get commands(): readonly string[] {
    return this.transcript.map((call) => call.command);
  }

  /** Takes a command from a client and answers it. */
  async receive(client: FakeClient, call: FakeCall): Promise<void> {
    this.transcript.push(call);
    this.onCall?.(call);
    if (call.command === this.heldAfter) this.isHeld = true;
    try {
      const result = await this.run(client, call);
      if (result !== noReply) client.reply(call, { return: result });
    } catch (error) {
      if (!(error instanceof FakeRefusal)) throw error;
      client.reply(call, { error: { class: error.errorClass, desc: error.message } });
    }
    if (call.command === 'quit' && client.negotiated) await this.stop();
    else if (!this.isHeld) this.replaying?.advance();
  }

  private run(client: FakeClient, call: FakeCall): ReturnType<FakeHandler> {
    if (!client.negotiated || call.command === 'qmp_capabilities') return client.negotiate(call);
    if (call.outOfBand && !client.outOfBand) {
      throw new FakeRefusal("QMP input member 'exec-oob' is unexpected");
    }
    if (call.outOfBand && !this.qemu.schema.allowsOob(call.command)) {
      throw new FakeRefusal(`The command ${call.command} does not support OOB`);
    }
    const handler = this.handlers.get(call.command);
    if (handler !== undefined) return handler(call.arguments, call);
    const recorded = this.replaying?.take(call.command);
    if (recorded?.['error'] !== undefined) throw refusalOf(recorded['error']);
    const result = this.runItself(call);
    return recorded?.['return'] ?? result;
  }

  /** The few commands that cause events, or QEMU's own answer. */
  private runItself(call: FakeCall): JsonValue {
    const { qemu } = this;
    switch (call.command) {
      case 'cont':
        qemu.status = { status: 'running', running: true };
        this.emitEvent('RESUME');
        return {};
      case 'stop':
        qemu.status = { status: 'paused', running: false };
        this.emitEvent('STOP');
        return {};
      case 'quit':
        this.emitEvent('SHUTDOWN', { guest: false, reason: 'host-qmp-quit' });
        return {};
      default:
        return qemu.answer(call.command, call.arguments);
    }
  }

  private admit(socket: net.Socket): void {
    const client = new FakeClient(this, socket);
    this.clients.push(client);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      const wasServed = this.clients[0] === client;
      this.clients = this.clients.filter((other) => other !== client);
      if (wasServed) this.greetFirst();
    });
    if (this.clients[0] === client) this.greetFirst();
  }

  private greetFirst(): void {
    const recorded = recordedReturn(this.options.build, 'query-version');
    const known = isObject(recorded) ? recorded : {};
    this.clients[0]?.greet({
      QMP: {
        version: { ...known, ...(this.options.version && { qemu: this.options.version }) },
        capabilities: this.options.greetingCapabilities ?? ['oob'],
      },
    });
  }
}

/** One connection to the fake monitor. */
class FakeClient {
  readonly socket: net.Socket;
  negotiated = false;
  outOfBand = false;
  private offered: readonly string[] = [];
  private readonly server: FakeQmpServer;

  constructor(server: FakeQmpServer, socket: net.Socket) {
    this.server = server;
    this.socket = socket;
  }

  /** Starts to serve: nothing that the client sent was read before. */
  greet(greeting: JsonObject): void {
    const qmp = greeting['QMP'];
    const offered = isObject(qmp) ? qmp['capabilities'] : undefined;
    this.offered = isArray(offered) ? offered.map(String) : [];
    this.send(greeting);
    let framer = this.newFramer();
    this.socket.on('data', (chunk) => {
      try {
        framer.push(chunk);
      } catch {
        // Without an id, since none could be read.
        const desc = 'JSON parse error, invalid keyword';
        this.send({ error: { class: 'GenericError', desc } });
        framer = this.newFramer();
      }
    });
  }

  sendEvent(event: JsonObject): void {
    if (this.negotiated) this.send(event);
  }

  reply(call: FakeCall, answer: JsonObject): void {
    this.send(call.id === undefined ? answer : { ...answer, id: call.id });
  }

  negotiate(call: FakeCall): JsonObject {
    if (call.command !== 'qmp_capabilities') {
      const desc = "Expecting capabilities negotiation with 'qmp_capabilities'";
      throw new FakeRefusal(desc, 'CommandNotFound');
    }
    if (this.negotiated) {
      const desc = 'Capabilities negotiation is already complete, command ignored';
      throw new FakeRefusal(desc, 'CommandNotFound');
    }
    const wanted = call.arguments['enable'];
    for (const capability of isArray(wanted) ? wanted.map(String) : []) {
      if (!this.offered.includes(capability)) {
        throw new FakeRefusal(`Capability '${capability}' is not available`);
      }
      if (capability === 'oob') this.outOfBand = true;
    }
    this.negotiated = true;
    return {};
  }

  private newFramer(): Framer {
    return new Framer((message) => {
      if (!isObject(message)) return;
      const { execute, id } = message;
      const command = execute ?? message['exec-oob'];
      const args = message['arguments'];
      if (typeof command !== 'string') {
        const desc = "QMP input lacks member 'execute'";
        this.send({ ...(id === undefined ? {} : { id }), error: { class: 'GenericError', desc } });
        return;
      }
      void this.server.receive(this, {
        command,
        arguments: isObject(args) ? args : {},
        id,
        outOfBand: execute === undefined,
      });
    });
  }

  /** One line, CR LF, ASCII only, as QEMU prints. */
  private send(message: JsonObject): void {
    if (this.socket.destroyed || !this.socket.writable) return;
    const text = stringifyJson(message).replace(
      /[\u0080-\uffff]/g,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
    this.socket.write(`${text}\r\n`);
  }
}
