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
];
