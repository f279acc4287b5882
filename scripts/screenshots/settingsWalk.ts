import { join } from 'node:path';
import { FakeQmpServer } from '../../test/support/fakeQmpServer';
import { writeWhole } from '../lib/steps';
import {
  answer,
  clearMessages,
  edit,
  hover,
  message,
  moveAway,
  question,
  row,
  type Stop,
} from './page';

/** Editing, finding, pairing, profiles: begins and ends with the sandbox as it was started. */
export const settingsWalk: readonly Stop[] = [
  {
    name: 'changed',
    visit: async ({ page }) => {
      await edit(page, 'max-bandwidth', '1G');
      await page.keyboard.press('Enter');
      await row(page, 'max-bandwidth').filter({ hasText: '1 GiB/s' }).waitFor();
      await hover(page, row(page, 'max-bandwidth'));
    },
  },
  {
    name: 'edit-problem',
    visit: async ({ page }) => {
      await moveAway(page);
      await row(page, 'Speed and pause').click();
      await row(page, 'Channels').click();
      await edit(page, 'multifd-channels', '300');
    },
  },
  {
    name: 'edit-warning',
    visit: async ({ page }) => {
      await page.keyboard.press('Escape');
      await edit(page, 'multifd-channels', '8');
      await page.locator('.quick-input-message').getByText('no effect unless').waitFor();
    },
  },
  {
    name: 'find',
    visit: async ({ page, runCommand }) => {
      // The button above the field: the value, and the capability that it needs.
      await page.keyboard.press('Shift+Tab');
      await page.keyboard.press('Enter');
      await row(page, 'multifd-channels').filter({ hasText: '8 · default 2' }).waitFor();
      await runCommand('QEMU Migration: Find Setting...');
      await page.locator('.quick-input-title').getByText('Find Setting').waitFor();
      await page.keyboard.type('tls');
      await row(page, 'tls-creds').waitFor();
    },
  },
  {
    name: 'changed-only',
    visit: async ({ page, runCommand }) => {
      await page.keyboard.press('Escape');
      await runCommand('QEMU Migration: Show Changed Settings Only');
      await moveAway(page);
      await row(page, 'No setting is changed').waitFor();
    },
  },
  {
    name: 'pair',
    visit: async (workbench) => {
      const { page, runCommand } = workbench;
      await runCommand('QEMU Migration: Show All Settings');
      await row(page, 'Parameters').click();
      await runCommand('QEMU Migration: Pair with...');
      await answer(page, 'Which machine?', 'sandbox-source');
      await answer(page, 'Which is the other', 'sandbox-target');
      await row(page, 'to resolve').click();
      await row(page, 'must be equal').waitFor();
      await clearMessages(workbench);
      await hover(page, page.getByRole('treeitem', { name: 'multifd-channels, 8 on' }).first());
    },
  },
  {
    name: 'comparison',
    visit: async ({ page, runCommand }) => {
      await moveAway(page);
      await runCommand('QEMU Migration: Compare Settings');
      await answer(page, 'Which pair', '→');
      await page.locator('.monaco-diff-editor').getByText('multifd-channels').first().waitFor();
    },
  },
  {
    name: 'copy-as',
    visit: async ({ page }) => {
      await row(page, 'Parameters').click({ button: 'right' });
      await page.getByRole('menuitem', { name: 'Copy As' }).hover();
      await page.getByRole('menuitem', { name: 'Copy as QMP' }).waitFor();
    },
  },
  {
    name: 'profiles',
    visit: async ({ page, runCommand }) => {
      await page.keyboard.press('Escape');
      await page.keyboard.press('Escape');
      await runCommand('QEMU Migration: Apply Profile...');
      await answer(page, 'Which machine?', 'sandbox-source');
      await answer(page, 'in a pair', 'Both sides');
      await question(page, 'Which profile?');
    },
  },
  {
    name: 'profile-preview',
    visit: async ({ page }) => {
      await answer(page, 'Which profile?', 'Lowest downtime');
      await question(page, 'This would change');
    },
  },
  {
    name: 'undo',
    visit: async (workbench) => {
      const { page, runCommand } = workbench;
      await page.keyboard.press('Enter');
      await message(page, 'settings of sandbox-source');
      await clearMessages(workbench);
      await runCommand('QEMU Migration: Undo Last Settings Change');
      await message(page, 'Undid profile');
    },
  },
  {
    name: 'profiles-file',
    visit: async (workbench, { folder }) => {
      const { page, runCommand } = workbench;
      // The two changes before the profile.
      await runCommand('QEMU Migration: Undo Last Settings Change');
      await runCommand('QEMU Migration: Undo Last Settings Change');
      await row(page, 'Pair').filter({ hasText: 'harmless' }).waitFor();
      await clearMessages(workbench);
      await runCommand('View: Close All Editors');
      await writeWhole(join(folder, '.vscode', 'qemu-migration.json'), profilesText);
      await runCommand('QEMU Migration: Open Profiles File');
      await page.locator('.view-line').getByText('downtime-limt').hover();
      await page.locator('.monaco-hover').getByText('Did you mean').waitFor();
    },
  },
  {
    name: 'profiles-hover',
    visit: async ({ page }) => {
      // The message about the mistake lies over the line with the other name.
      await page.locator('.view-line').getByText('"version"').click();
      await page.locator('.monaco-hover').getByText('Did you mean').waitFor({ state: 'hidden' });
      await page.locator('.view-line').getByText('max-bandwidth').hover();
      await page.locator('.monaco-hover').getByText('The most that the source').waitFor();
    },
  },
  {
    name: 'profiles-completion',
    visit: async ({ page }) => {
      await moveAway(page);
      await page.locator('.view-line').getByText('return-path').click();
      await page.keyboard.press('End');
      await page.keyboard.type(',\n"multi');
      await page.keyboard.press('Control+Space');
      await page.locator('.suggest-widget').getByText('multifd').first().waitFor();
    },
  },
  {
    name: 'backend-transfer',
    visit: async (workbench, { directory }, afterwards) => {
      const { page, runCommand } = workbench;
      await page.keyboard.press('Escape');
      await runCommand('File: Revert File');
      await runCommand('View: Close All Editors');
      // No QEMU that can be installed has it: two that answer as a build with the patches did.
      for (const name of ['web-1', 'web-1-new']) {
        const path = join(directory, `${name}.qmp`);
        const server = await FakeQmpServer.start({ build: 'local', path });
        afterwards(() => server.stop());
        server.on('query-name', () => ({ name }));
        if (name !== 'web-1') server.qemu.status = { status: 'inmigrate', running: false };
        await runCommand('QEMU Migration: Connect to QEMU...');
        await page.locator('.quick-input-title').getByText('Connect').waitFor();
        await page.keyboard.type(path);
        await page.keyboard.press('Enter');
        await page.getByRole('treeitem', { name: `${name}, ` }).waitFor();
      }
      await runCommand('QEMU Migration: Pair with...');
      await answer(page, 'Which machine?', 'web-1');
      await answer(page, 'Which is the other', 'web-1-new');
      await clearMessages(workbench);
      await row(page, 'parameter "local"').click();
      await hover(page, row(page, 'parameter "local"'));
    },
  },
];

const profilesText = `{
  "version": 1,
  "profiles": {
    "lab": {
      "description": "Fast link between lab hosts",
      "parameters": {
        "max-bandwidth": "2 GiB/s",
        "downtime-limt": "0.3 s",
        "multifd-channels": 4
      },
      "capabilities": {
        "return-path": true
      }
    }
  }
}
`;
