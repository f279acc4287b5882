import { answer, clearMessages, field, message, moveAway, question, row, type Stop } from './page';

/** A migration that does not end by itself, from its questions to an end that needs a person. */
export const runWalk: readonly Stop[] = [
  {
    name: 'methods',
    visit: async ({ page, runCommand }) => {
      await page.locator('.part.activitybar [aria-label*="QEMU Migration"]').first().click();
      await row(page, 'sandbox-target').waitFor();
      await runCommand('QEMU Migration: Migrate to...');
      await answer(page, 'Which machine is to move?', 'sandbox-source');
      await question(page, 'By which method?');
    },
  },
  {
    name: 'options',
    visit: async ({ page }) => {
      await answer(page, 'By which method?', 'Pre-copy');
      await answer(page, 'Which QEMU takes the guest over?', 'sandbox-target');
      await answer(page, 'How shall the guest travel?', 'With options...');
      await question(page, 'What shall be different');
      await page
        .locator('.quick-input-list .monaco-list-row')
        .filter({ hasText: 'Hold the switchover' })
        .first()
        .click();
    },
  },
  {
    name: 'transports',
    visit: async ({ page }) => {
      await page.keyboard.press('Enter');
      await question(page, 'How shall the guest travel?');
    },
  },
  {
    name: 'transfer',
    visit: async ({ page }) => {
      await answer(page, 'How shall the guest travel?', 'UNIX socket');
      await answer(page, 'How fast may it go?', 'Keep');
      // The machine's own row says it as well, in small letters.
      await page.locator('.part.sidebar').getByText('Not converging', { exact: true }).waitFor();
      await moveAway(page);
    },
  },
  {
    name: 'controls',
    visit: async ({ page, runCommand }) => {
      await runCommand('QEMU Migration: Control Running Migration...');
      await question(page, 'What shall be done');
    },
  },
  {
    name: 'held',
    visit: async (workbench) => {
      const { page, runCommand } = workbench;
      await page.keyboard.press('Escape');
      await runCommand('QEMU Migration: Change Limits of Running Migration...');
      await answer(page, 'Which one?', 'downtime-limit');
      await page.locator('.quick-input-title').getByText('for this run').waitFor();
      await field(page).fill('100 s');
      await page.keyboard.press('Enter');
      await row(page, 'standing still').waitFor({ timeout: 60_000 });
      await clearMessages(workbench);
      await moveAway(page);
    },
  },
  {
    name: 'needs-you',
    visit: async ({ page }, { source, target }) => {
      // Neither side can say any more who has the guest.
      target.kill('SIGSTOP');
      source.kill('SIGKILL');
      await message(page, 'It is not known');
      await moveAway(page);
    },
  },
  {
    name: 'details',
    visit: async ({ page }) => {
      await page.locator('.notification-toast').getByText('Show Details').first().click();
      await page.locator('.tab').filter({ hasText: 'Migration of sandbox-source' }).waitFor();
      await moveAway(page);
      await page.waitForTimeout(1500);
    },
  },
];
