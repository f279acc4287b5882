import { answer, hover, message, moveAway, question, row, type Stop } from './page';
import { settingsWalk } from './settingsWalk';

/** What a person sees, in the order in which they would. Each theme takes the whole walk in a new sandbox. */
export const walk: readonly Stop[] = [
  {
    name: 'machines',
    visit: async ({ page }) => {
      await page.locator('.part.activitybar [aria-label*="QEMU Migration"]').first().click();
      await moveAway(page);
      const names = ['sandbox-source', 'sandbox-target'];
      for (const name of names) {
        await page.locator('.part.sidebar').getByText(name, { exact: true }).first().waitFor();
      }
    },
  },
  {
    name: 'commands',
    visit: async ({ page }) => {
      await page.keyboard.press('F1');
      await page.keyboard.type('QEMU Migration: ');
      await page.locator('.quick-input-list .monaco-list-row').first().waitFor();
    },
  },
  {
    name: 'parameters',
    visit: async ({ page }) => {
      await page.keyboard.press('Escape');
      await row(page, 'Parameters').click();
      await row(page, 'Speed and pause').click();
      await hover(page, row(page, 'max-bandwidth'));
    },
  },
  ...settingsWalk,
  {
    name: 'question',
    visit: async ({ page, runCommand }) => {
      await moveAway(page);
      await runCommand('QEMU Migration: Migrate to...');
      await answer(page, 'Which machine is to move?', 'sandbox-source');
      await answer(page, 'By which method?', 'Pre-copy');
      await answer(page, 'Which QEMU takes the guest over?', 'sandbox-target');
      await question(page, 'How shall the guest travel?');
    },
  },
  {
    name: 'result',
    visit: async ({ page }) => {
      await answer(page, 'How shall the guest travel?', 'Passed descriptors');
      await answer(page, 'How fast may it go?', 'No limit for this run');
      await row(page, 'gave its guest to sandbox-target').waitFor();
      await row(page, 'Migration').click();
      await message(page, 'The guest runs on');
    },
  },
];
