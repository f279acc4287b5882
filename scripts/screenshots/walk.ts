import type { Locator, Page } from 'playwright-core';
import type { Sandbox } from '../lib/sandbox';
import type { Workbench } from '../../test/support/workbench';

/** One stop of the walk: what to do there, after which the picture NAME is taken. */
export interface Stop {
  readonly name: string;
  readonly visit: (workbench: Workbench, sandbox: Sandbox) => Promise<void>;
}

/** What a person sees, in the order in which they would. Each theme takes the whole walk in a new sandbox. */
export const walk: readonly Stop[] = [
  {
    name: 'machines',
    visit: async ({ page }) => {
      await page.locator('.part.activitybar [aria-label*="QEMU Migration"]').first().click();
      // Off the icon, or its tooltip hides a row.
      await page.mouse.move(900, 700);
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
      await row(page, 'max-bandwidth').hover();
      await page.locator('.workbench-hover').first().waitFor();
    },
  },
  {
    name: 'question',
    visit: async ({ page, runCommand }) => {
      await page.mouse.move(900, 700);
      await row(page, 'Parameters').click();
      await runCommand('QEMU Migration: Migrate to...');
      await answer(page, 'Which machine is to move?', 'sandbox-source');
      await answer(page, 'Which QEMU takes the guest over?', 'sandbox-target');
      await question(page, 'How shall the guest travel?');
    },
  },
  {
    name: 'result',
    visit: async ({ page, runCommand }) => {
      await answer(page, 'How shall the guest travel?', 'Passed descriptors');
      await answer(page, 'How fast may it go?', 'No limit for this run');
      await row(page, 'guest has gone to the target').waitFor();
      await row(page, 'Migration').click();
      // A workbench that is driven by tests keeps its messages in the centre.
      await runCommand('Notifications: Show Notifications');
      await page.locator('.notifications-center').getByText('The guest runs on').waitFor();
    },
  },
];

function row(page: Page, text: string): Locator {
  return page.locator('.part.sidebar .monaco-list-row').filter({ hasText: text }).first();
}

async function question(page: Page, text: string): Promise<void> {
  await page.locator(`.quick-input-widget input[placeholder*="${text}"]`).waitFor();
}

async function answer(page: Page, text: string, choice: string): Promise<void> {
  await question(page, text);
  const rows = page.locator('.quick-input-list .monaco-list-row');
  await rows.filter({ hasText: choice }).first().click();
}
