import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { FdPassError, type FdPassReason } from '../../../src/fdpass/helper';
import { QmpConnection } from '../../../src/qmp/connection';
import { FakeQmpServer } from '../../support/fakeQmpServer';

/** Programs that stand for the helper. Arguments of a pair: $6 and $9 are the messages. */
export class FakeHelpers {
  readonly directory = mkdtempSync(path.join(os.tmpdir(), 'fdpass-'));
  private count = 0;

  script(body: string, mode = 0o755): string {
    const file = path.join(this.directory, `helper${++this.count}`);
    writeFileSync(file, `#!/bin/sh\n${body}\n`);
    chmodSync(file, mode);
    return file;
  }

  dispose(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** The body of a helper that writes both messages, without descriptors, and says so. */
export const goodPair = `
printf '%s' "$6" >&3
printf '%s' "$9" >&4
printf '{"ok":true,"verb":"pair","destinations":[{"bytes":%d,"bytesWritten":%d},{"bytes":%d,"bytesWritten":%d}]}\\n' \
  "\${#6}" "\${#6}" "\${#9}" "\${#9}"`;

/** The body of a helper that fails with this verdict; `written` are shell expressions. */
export function failing(
  exitCode: number,
  reason: string,
  written: readonly [string, string] = ['0', '0'],
): string {
  return `
printf '{"ok":false,"verb":"pair","reason":"${reason}","errno":"EIO","destination":0,"destinations":[{"bytes":%d,"bytesWritten":%d},{"bytes":%d,"bytesWritten":%d}]}\\n' \
  "\${#6}" "${written[0]}" "\${#9}" "${written[1]}"
echo 'fdpass: it failed' >&2
exit ${exitCode}`;
}

/** Two fake QEMUs with a connection to each. */
export class TwoQemus {
  readonly servers: readonly [FakeQmpServer, FakeQmpServer];
  readonly a: QmpConnection;
  readonly b: QmpConnection;

  private constructor(servers: TwoQemus['servers'], a: QmpConnection, b: QmpConnection) {
    this.servers = servers;
    this.a = a;
    this.b = b;
  }

  static async start(): Promise<TwoQemus> {
    const servers = [
      await FakeQmpServer.start({ build: '11.1-stock' }),
      await FakeQmpServer.start({ build: '11.1-stock' }),
    ] as const;
    for (const server of servers) {
      server.on('getfd', () => ({}));
      server.on('closefd', () => ({}));
    }
    const [a, b] = await Promise.all(servers.map((server) => QmpConnection.connect(server.path)));
    return new TwoQemus(servers, a!, b!);
  }

  async stop(): Promise<void> {
    this.a.close();
    this.b.close();
    await Promise.all(this.servers.map((server) => server.stop()));
  }

  /** What each was asked to do, since the last call. */
  takeCommands(): string[][] {
    return this.servers.map((server) =>
      server.transcript.splice(0).map(({ command, arguments: { fdname } }) => {
        return typeof fdname === 'string' ? `${command} ${fdname}` : command;
      }),
    );
  }
}

export async function rejection(work: Promise<unknown>): Promise<FdPassError> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof FdPassError, `not an FdPassError: ${String(error)}`);
  return error;
}

export async function failsWith(
  reason: FdPassReason,
  work: Promise<unknown>,
): Promise<FdPassError> {
  const error = await rejection(work);
  assert.equal(error.reason, reason, error.message);
  return error;
}

export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
