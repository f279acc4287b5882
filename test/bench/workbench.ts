import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromiumExecutable } from '../../scripts/lib/packages';
import { vscodeTestDirectory } from '../../scripts/lib/paths';
import { buildExtension } from '../../scripts/lib/setup';
import { openWorkbench } from '../support/workbench';
import { median, milliseconds, printTable } from './table';

const rounds = 3;

/** What VS Code says that activating took, of its own list of running extensions. */
export async function measureWorkbench(): Promise<void> {
  if (!existsSync(join(vscodeTestDirectory, 'code-server', 'stamp'))) return;
  if (chromiumExecutable() === undefined) return;
  await buildExtension();
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) times.push(await activationMs());
  printTable(`Activation as VS Code reports it (development build, ${rounds} windows)`, [
    {
      what: 'loading and activating',
      measured: `median ${milliseconds(median(times))} of ${times.join(', ')} ms`,
    },
  ]);
}

async function activationMs(): Promise<number> {
  // Tall, for the list draws only the rows that fit, slowest first.
  const workbench = await openWorkbench({ size: { width: 1280, height: 4000 } });
  try {
    await workbench.runCommand('QEMU Migration: Refresh All Machines');
    await workbench.runCommand('Developer: Show Running Extensions');
    const editor = workbench.page.locator('.runtime-extensions-editor');
    for (const deadline = Date.now() + 20_000; ;) {
      const text = await editor.innerText();
      const found = /qemu.migration[^]*?Activation: (\d+)ms/i.exec(text);
      if (found !== null) return Number(found[1]);
      if (Date.now() > deadline) throw new Error(`VS Code does not list the extension:\n${text}`);
      await sleep(200);
    }
  } finally {
    await workbench.close();
  }
}
