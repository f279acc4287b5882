import type { Locator, Page } from 'playwright-core';
import type { Sandbox } from '../lib/sandbox';
import type { Workbench } from '../../test/support/workbench';

/** One stop of the walk: what to do there, after which the picture NAME is taken. */
export interface Stop {
  readonly name: string;
  readonly visit: (
    workbench: Workbench,
    sandbox: Sandbox,
    /** Keeps what is to be ended after the walk. */
    afterwards: (end: () => Promise<void>) => void,
  ) => Promise<void>;
}

/** The first row of the tree with a text in it. */
export function row(page: Page, text: string): Locator {
  return page.locator('.part.sidebar .monaco-list-row').filter({ hasText: text }).first();
}

/** The field of an input box or of a quick pick. */
export function field(page: Page): Locator {
  return page.locator('.quick-input-widget input[type="text"]');
}

/** Off every row, or its tooltip hides others. */
export async function moveAway(page: Page): Promise<void> {
  await page.mouse.move(900, 700);
}

/** Shows the tooltip of a row, which a row that is drawn anew meanwhile takes away. */
export async function hover(page: Page, target: Locator): Promise<void> {
  const tooltip = page.locator('.workbench-hover').first();
  for (let attempt = 0; attempt < 5 && !(await tooltip.isVisible()); attempt++) {
    await moveAway(page);
    await target.hover();
    await tooltip.waitFor({ timeout: 3000 }).catch(() => undefined);
  }
  await tooltip.waitFor();
}

/** Opens the input box of a parameter by its row, and types. */
export async function edit(page: Page, name: string, text: string): Promise<void> {
  await row(page, name).click();
  await page.locator('.quick-input-title').getByText(name).waitFor();
  await field(page).fill(text);
  await moveAway(page);
}

/** Waits for the question with this placeholder. */
export async function question(page: Page, text: string): Promise<void> {
  await page.locator(`.quick-input-widget input[placeholder*="${text}"]`).waitFor();
}

/** Answers a question by a click on one of its items. */
export async function answer(page: Page, text: string, choice: string): Promise<void> {
  await question(page, text);
  const rows = page.locator('.quick-input-list .monaco-list-row');
  await rows.filter({ hasText: choice }).first().click();
  await moveAway(page);
}

/** Waits for a message at the lower right. */
export async function message(page: Page, text: string): Promise<void> {
  await page.locator('.notification-toast').getByText(text).first().waitFor();
}

/** Sends all messages away. */
export async function clearMessages({ runCommand }: Workbench): Promise<void> {
  await runCommand('Notifications: Clear All Notifications');
}
