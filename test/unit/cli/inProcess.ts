import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { runCli, type Surroundings } from '../../../src/cli/program';

export interface End {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the runs of this test process leave is no business of the person's who runs it. */
const state = mkdtempSync(join(tmpdir(), 'qm-state-'));
process.on('exit', () => rmSync(state, { recursive: true, force: true }));

/** Runs the program in this process. */
export async function cli(
  args: readonly string[],
  cwd = '/',
  signals = new EventEmitter(),
  more: Pick<Surroundings, 'openUpdateDesk'> = {},
): Promise<End> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const texts = Promise.all([text(stdout), text(stderr)]);
  const code = await runCli(args, {
    stdout,
    stderr,
    cwd,
    env: { QEMU_MIGRATION_STATE: state },
    bundleDirectory: '/nowhere',
    signals,
    ...more,
  });
  stdout.end();
  stderr.end();
  const [out, err] = await texts;
  return { code, stdout: out, stderr: err };
}

export interface Document {
  readonly exitCode: number;
  readonly [key: string]: unknown;
}

export function documentOf(end: End): Document {
  return JSON.parse(end.stdout) as Document;
}
