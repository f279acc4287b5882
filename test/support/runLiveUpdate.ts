import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { provisionLinuxGuest } from '../../scripts/lib/linuxGuest';
import { root } from '../../scripts/lib/paths';
import { provisionQemu, type QemuVersionName } from '../../scripts/lib/qemu';
import type { UpdateMethod } from '../../src/migration/liveUpdate/types';
import type { LinuxOptions, MemoryPlace } from './liveUpdateLinux';
import type { NetworkView } from './liveUpdateWatch';

export interface LiveUpdateCase {
  readonly from: QemuVersionName;
  readonly to: QemuVersionName;
  readonly method: UpdateMethod | 'auto';
  readonly memory?: MemoryPlace;
  readonly nic?: LinuxOptions['nic'];
  readonly queues?: 1 | 2;
  /** The guest is updated so once before, and what is measured begins after it. */
  readonly first?: UpdateMethod;
  /** More arguments of the command line. */
  readonly more?: readonly string[];
  /** What is killed, when a journal entry is about to be written, written, or on disk; see `brokenUpdateCli.ts`. */
  readonly kill?: {
    readonly who: 'program' | 'source' | 'target' | 'helper';
    readonly when: 'before' | 'written' | 'synced';
    readonly at: string;
  };
}

/** What was seen from outside when all was over. */
export interface LiveUpdateView {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Of `resume`, after a killing. */
  readonly resumed: { readonly exitCode: number | null; readonly text: string } | undefined;
  readonly network: NetworkView;
  /** The guest still sends its heartbeat. */
  readonly beats: boolean;
  readonly memory: { readonly errors: number; readonly rounds: number };
  readonly sourcePid: number;
  /** All QEMUs that are left, with how many descriptors of the TAP each has. */
  readonly qemus: readonly { readonly pid: number; readonly taps: number }[];
  readonly helpers: number;
  /** Of whoever answers at the probe's old path. */
  readonly status: string;
  readonly version: string | undefined;
  readonly answersAtOldPath: boolean;
  readonly newFiles: readonly string[];
  readonly lostFiles: readonly string[];
  readonly locks: readonly string[];
}

/** Carries the case out in namespaces of its own: nothing that it starts outlives it. */
export async function runLiveUpdate(wanted: LiveUpdateCase): Promise<LiveUpdateView> {
  // There is no way out of the namespace.
  await provisionLinuxGuest();
  await Promise.all([provisionQemu(wanted.from), provisionQemu(wanted.to)]);
  const namespaces = ['--net', '--pid', '--fork', '--mount-proc', '--kill-child'];
  const script = join(root, 'test/support/liveUpdateCase.ts');
  const child = spawn(
    'unshare',
    [...namespaces, process.execPath, '--import', 'tsx', script, JSON.stringify(wanted)],
    { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const code = await new Promise((resolve) => child.once('close', resolve));
  const last = stdout.trim().split('\n').at(-1) ?? '';
  if (code !== 0) throw new Error(`The case ended with ${String(code)}:\n${stdout}${stderr}`);
  return JSON.parse(last) as LiveUpdateView;
}
