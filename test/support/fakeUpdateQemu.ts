/**
 * A fake QEMU as a process of its own, which plays one side of a recorded case and ends when that one
 * ended. Tells its parent each command, and holds what followed `migrate-incoming` until it is told to go on.
 */
import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { isArray, isObject, parseJson } from '../../src/qmp/json';
import { FakeQmpServer, type FakeCall } from './fakeQmpServer';
import { placeOfNic, waiting, withoutNic } from './fakeTransferSides';
import type { Build, Side } from './recordings';

export interface FakeUpdateQemu {
  readonly build: Build;
  readonly caseName: string;
  readonly side: Side;
  readonly socket: string;
}

export type FakeUpdateMessage = 'ready' | Pick<FakeCall, 'command' | 'arguments'>;

function recordedStderr(build: Build, caseName: string, side: Side): readonly string[] {
  const file = join(import.meta.dirname, '../recordings', build, caseName, 'meta.json');
  const meta = parseJson(readFileSync(file, 'utf8'));
  const found = isObject(meta) ? meta[side] : undefined;
  const lines = isObject(found) ? found['stderr'] : undefined;
  return isArray(lines) ? lines.map(String) : [];
}

async function main({ build, caseName, side, socket }: FakeUpdateQemu): Promise<void> {
  const tell = (message: FakeUpdateMessage): void => {
    // The parent may be gone already.
    if (process.connected) process.send?.(message);
  };
  const server = await FakeQmpServer.start({ build, path: socket });
  if (side === 'source') placeOfNic(server);
  else if (build === 'local') withoutNic(server);
  else waiting(server);
  server.replay(caseName, side);
  server.holdReplayAfter('migrate-incoming');
  server.onCall = (call) => tell({ command: call.command, arguments: call.arguments });
  // It complains and then ends.
  server.onVanish = () => {
    for (const line of recordedStderr(build, caseName, side)) writeSync(2, `${line}\n`);
  };
  server.onStopped = () => process.exit(0);
  process.on('message', () => server.releaseReplay());
  process.on('disconnect', () => process.exit(0));
  tell('ready');
}

const wishes = process.argv[2];
if (wishes !== undefined && process.send !== undefined) {
  void main(JSON.parse(wishes) as FakeUpdateQemu);
}
