import { join } from 'node:path';
import { guestAddresses } from '../lib/guest';
import { root } from '../lib/paths';
import { spawnOwned } from '../lib/processes';
import { verifyGuestMemory } from '../lib/qemu';
import type { Sandbox } from '../lib/sandbox';
import { say } from '../lib/steps';

/**
 * Migrates the sandbox's guest with the command-line program, then looks from outside, over the QEMUs' other
 * QMP sockets, whether what it said is true. Returns the exit code.
 */
export async function migrateHeadless(sandbox: Sandbox): Promise<number> {
  const { source, target } = sandbox;
  await source.waitForRounds(2);
  const before = await source.guestWord(guestAddresses.rounds);
  const cli = join(root, 'dist', 'cli.js');
  say('Migrating sandbox-source to sandbox-target', 'with dist/cli.js, as a script would');
  process.stdout.write('\n');
  const { exited } = await spawnOwned(
    process.execPath,
    [cli, 'migrate', source.qmpSocket, target.qmpSocket],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  const { code, signal } = await exited;
  process.stdout.write('\n');
  const rows: [check: string, seen: string, ok: boolean][] = [
    ['migrate ends with 0', String(code ?? signal), code === 0],
  ];
  const check = async (what: string, look: () => Promise<[seen: string, ok: boolean]>) => {
    const [seen, ok] = await look().catch((error: unknown): [string, boolean] => [
      error instanceof Error ? error.message : String(error),
      false,
    ]);
    rows.push([what, seen, ok]);
  };
  await check('target', async () => {
    const status = await target.guestStatus();
    return [status, status === 'running'];
  });
  await check('source does not run', async () => {
    if (hasEnded(source.pid)) return ['ended', true];
    const status = await source.guestStatus();
    return [status, status !== 'running'];
  });
  await check('guest goes on counting on the target', async () => {
    await target.waitForRounds(3, 5000);
    const now = await target.guestWord(guestAddresses.rounds);
    return [`${before} rounds before, ${now} now`, now > before];
  });
  await check('guest memory', async () => {
    const { pages } = await verifyGuestMemory(target);
    return [`${pages} pages as the guest wrote them`, true];
  });
  const width = Math.max(...rows.map(([what]) => what.length));
  for (const [what, seen, ok] of rows) {
    process.stdout.write(`  ${ok ? 'ok    ' : 'FAILED'}  ${what.padEnd(width)}  ${seen}\n`);
  }
  const ok = rows.every(([, , fine]) => fine);
  process.stdout.write(ok ? '\nThe guest runs on the target.\n' : '\nNot as it should be.\n');
  return ok ? 0 : 1;
}

function hasEnded(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}
