import { renameSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TapGuard } from '../../src/fdpass/tapGuard';
import { launchLike } from '../../src/vm/launch';
import { readProcess } from '../../src/vm/process';
import { heldTaps } from '../support/liveUpdateLinux';

export type ScriptedMethod = 'tap-adoption' | 'cpr-transfer' | 'shared-ram';

export interface ScriptTimes {
  /** From the begin to `migrate`. */
  readonly beforeMs: number;
  readonly downtimeMs: number;
  /** The source's STOP to the target's RESUME. */
  readonly blackoutMs: number;
  /** From `completed` to the last moved name. */
  readonly afterMs: number;
}

interface QmpEvent {
  readonly event: string;
  readonly at: number;
  readonly status: string | undefined;
}

/** As little as can be between a script and QEMU. */
class BareMonitor {
  readonly events: QmpEvent[] = [];
  private buffer = '';
  private nextId = 1;
  private readonly socket: Socket;
  private readonly waiting = new Map<number, (message: Reply) => void>();
  private readonly greeted: Promise<void>;
  private noteEvent: () => void = () => undefined;

  private constructor(path: string) {
    this.socket = connect(path);
    this.greeted = new Promise((resolve, reject) => {
      this.socket.on('error', reject);
      this.socket.on('close', () => reject(new Error(`closed: ${path}`)));
      this.socket.setEncoding('utf8').on('data', (text: string) => {
        this.buffer += text;
        for (let end = this.buffer.indexOf('\n'); end >= 0; end = this.buffer.indexOf('\n')) {
          const message = JSON.parse(this.buffer.slice(0, end)) as Reply;
          this.buffer = this.buffer.slice(end + 1);
          if (message.QMP !== undefined) resolve();
          else if (message.event !== undefined) this.note(message);
          else this.waiting.get(message.id ?? 0)?.(message);
        }
      });
    });
  }

  static async open(path: string): Promise<BareMonitor> {
    for (;;) {
      const monitor = new BareMonitor(path);
      try {
        await monitor.greeted;
        await monitor.send('qmp_capabilities');
        return monitor;
      } catch {
        monitor.close();
        await sleep(3);
      }
    }
  }

  async send(execute: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    const id = this.nextId++;
    const reply = await new Promise<Reply>((resolve) => {
      this.waiting.set(id, resolve);
      this.socket.write(`${JSON.stringify({ execute, arguments: args, id })}\n`);
    });
    if (reply.error !== undefined) throw new Error(`${execute}: ${reply.error.desc}`);
    return reply.return;
  }

  /** The first such event, also one that has come already. */
  async event(name: string, statuses?: readonly string[]): Promise<QmpEvent> {
    for (;;) {
      const found = this.events.find(
        ({ event, status }) => event === name && statuses?.includes(status ?? '') !== false,
      );
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => (this.noteEvent = resolve));
    }
  }

  close(): void {
    this.socket.destroy();
  }

  private note({ event = '', timestamp, data }: Reply): void {
    const { seconds = 0, microseconds = 0 } = timestamp ?? {};
    this.events.push({ event, at: seconds * 1000 + microseconds / 1000, status: data?.status });
    this.noteEvent();
  }
}

interface Reply {
  readonly QMP?: unknown;
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly event?: string;
  readonly timestamp?: { readonly seconds: number; readonly microseconds: number };
  readonly data?: { readonly status?: string };
}

export interface ScriptedUpdate {
  readonly method: ScriptedMethod;
  readonly directory: string;
  readonly helper: string;
  readonly sourcePid: number;
  readonly program: string;
  /** Of the source; its own sockets are in them. */
  readonly args: readonly string[];
}

/** What a script would do that sends the same lines and nothing else; the TAP is guarded by the same helper. */
export async function updateByScript(update: ScriptedUpdate): Promise<ScriptTimes> {
  const { method, directory, helper, sourcePid, program } = update;
  const beganAt = now();
  const file = (name: string): string => join(directory, name);
  const source = await BareMonitor.open(file('vm.qmp'));
  const like = await readProcess(sourcePid);
  if (like === undefined) throw new Error('The source is gone.');
  const taps = heldTaps(sourcePid);
  const { guard } = await TapGuard.begin(helper, like, taps);
  await guard.guard();
  // A QEMU removes the path that it made when it ends, whatever is there by then.
  const name = `after-${like.pid}`;
  const numbers = taps.map((_, index) => 40 + index);
  const own = update.args.map((arg) =>
    arg.startsWith('tap,')
      ? `tap,id=net0,${numbers.length > 1 ? `fds=${numbers.join(':')}` : `fd=${numbers.join('')}`}`
      : arg.replace(/vm\.(qmp|probe|serial)/, `${name}.$1`),
  );
  const unix = (name: string): object => ({ transport: 'socket', type: 'unix', path: file(name) });
  const cpr = JSON.stringify({ 'channel-type': 'cpr', addr: unix('cpr.sock') });
  const isCpr = method === 'cpr-transfer';
  const target = await launchLike(like, {
    ...{ helperPath: helper, program, logFile: file(`log-${like.pid}`) },
    args: [...own, '-incoming', 'defer', ...(isCpr ? ['-incoming', cpr] : [])],
    adopt: taps.map(({ fd, ifname }, index) => ({ fd, ifname, number: 40 + index })),
  });
  const capabilities = [
    'events',
    'return-path',
    ...(method === 'shared-ram' ? ['x-ignore-shared'] : []),
  ];
  const prepare = (monitor: BareMonitor): Promise<unknown> =>
    monitor.send('migrate-set-capabilities', {
      capabilities: capabilities.map((capability) => ({ capability, state: true })),
    });
  const uri = `unix:${file('main.sock')}`;
  const incoming = { uri, 'exit-on-error': false };
  await prepare(source);
  const limits = { 'max-bandwidth': 0, 'downtime-limit': 20 };
  await source.send('migrate-set-parameters', {
    ...limits,
    mode: isCpr ? 'cpr-transfer' : 'normal',
  });
  let there: BareMonitor;
  let migrateAt: number;
  if (isCpr) {
    await untilListening(file('cpr.sock'));
    migrateAt = now();
    await source.send('migrate', {
      channels: [
        { 'channel-type': 'main', addr: unix('main.sock') },
        { 'channel-type': 'cpr', addr: unix('cpr.sock') },
      ],
    });
    there = await BareMonitor.open(file(`${name}.qmp`));
    await prepare(there);
    await there.send('migrate-incoming', incoming);
  } else {
    there = await BareMonitor.open(file(`${name}.qmp`));
    await prepare(there);
    await there.send('migrate-incoming', incoming);
    migrateAt = now();
    await source.send('migrate', { uri });
  }
  const ends = ['completed', 'failed'];
  const end = await source.event('MIGRATION', ends);
  if (end.status !== 'completed') throw new Error(`The script's run ${end.status ?? ''}.`);
  const resume = await there.event('RESUME');
  const completedAt = now();
  const { downtime = NaN } = (await source.send('query-migrate')) as { downtime?: number };
  const stop = await source.event('STOP');
  void source.send('quit').catch(() => undefined);
  while ((await readProcess(sourcePid))?.startTicks === like.startTicks) await sleep(1);
  for (const kind of ['qmp', 'probe', 'serial']) {
    renameSync(file(`${name}.${kind}`), file(`vm.${kind}`));
  }
  await guard.release();
  const doneAt = now();
  source.close();
  there.close();
  if (target.process.pid <= 0) throw new Error('No target.');
  return {
    beforeMs: migrateAt - beganAt,
    downtimeMs: downtime,
    blackoutMs: resume.at - stop.at,
    afterMs: doneAt - completedAt,
  };
}

async function untilListening(path: string): Promise<void> {
  const listens = (line: string): boolean => line.includes(' 00010000 ') && line.endsWith(path);
  while (!(await readFile('/proc/net/unix', 'utf8')).split('\n').some(listens)) await sleep(3);
}

function now(): number {
  return performance.timeOrigin + performance.now();
}
