import { strict as assert } from 'node:assert';
import type { Locator } from 'playwright-core';
import { provisionQemu } from '../../scripts/lib/qemu';
import { startSandbox, type Sandbox } from '../../scripts/lib/sandbox';
import { openWorkbench, type Workbench } from '../support/workbench';

describe('a person migrates a guest', () => {
  let sandbox: Sandbox;
  let workbench: Workbench;

  before(async () => {
    sandbox = await startSandbox(await provisionQemu('11.1'));
    const { folder, settings } = sandbox;
    workbench = await openWorkbench({ folder, settings, installed: true });
  });

  after(async () => {
    await workbench.close();
    await sandbox.stop();
  });

  const row = (text: string): Locator =>
    workbench.page.locator('.part.sidebar .monaco-list-row').filter({ hasText: text }).first();
  /** By its own name: another row may name it as its partner. */
  const machine = (name: string): Locator =>
    workbench.page
      .locator('.part.sidebar .monaco-list-row')
      .filter({ has: workbench.page.getByText(name, { exact: true }) })
      .first();
  const choice = (text: string): Locator =>
    workbench.page.locator('.quick-input-list .monaco-list-row').filter({ hasText: text }).first();
  /** Waits for the question, since the list of the one before looks alike. */
  const answer = async (question: string, text: string): Promise<void> => {
    await workbench.page.locator(`.quick-input-widget input[placeholder*="${question}"]`).waitFor();
    await choice(text).click();
  };

  const answerWithEnter = async (question: string): Promise<void> => {
    await workbench.page.locator(`.quick-input-widget input[placeholder*="${question}"]`).waitFor();
    await workbench.page.keyboard.press('Enter');
  };

  it('finds both machines in the sidebar, with what they do', async () => {
    const icon = workbench.page.locator('.part.activitybar [aria-label*="QEMU Migration"]').first();
    await icon.click();
    await row('sandbox-source').filter({ hasText: 'running' }).waitFor();
    await row('sandbox-target').filter({ hasText: 'waiting for a migration' }).waitFor();
    await row('Backend transfer').filter({ hasText: 'not in this QEMU' }).waitFor();
  });

  it('turns a capability on by its checkbox, and QEMU has it', async () => {
    await row('Capabilities').click();
    const capability = row('auto-converge');
    await capability.scrollIntoViewIfNeeded();
    await capability
      .locator('.monaco-checkbox, .custom-view-tree-node-item-checkbox')
      .first()
      .click();
    await row('auto-converge')
      .filter({ hasText: /auto-converge\s*on/ })
      .waitFor();
    const reply = (await sandbox.source.probe('query-migrate-capabilities')) as {
      capability: string;
      state: boolean;
    }[];
    assert.ok(reply.some(({ capability: name, state }) => name === 'auto-converge' && state));
    await row('Capabilities').click();
  });

  it('types a limit with a unit, is told what is wrong with it, and sets it', async () => {
    await workbench.runCommand('QEMU Migration: Set Parameter...');
    await choice('sandbox-source').click();
    await workbench.page
      .locator('.quick-input-widget input[placeholder*="Which parameter"]')
      .waitFor();
    await workbench.page.keyboard.type('downtime-limit');
    await choice('downtime-limit').click();
    await workbench.page.getByText('sandbox-source: downtime-limit').waitFor();
    const input = workbench.page.locator('.quick-input-widget input[type="text"]');
    await input.fill('3000 s');
    await workbench.page
      .locator('.quick-input-message')
      .getByText(/between/)
      .waitFor();
    await input.fill('0.4 s');
    await workbench.page.keyboard.press('Enter');
    await assertEventually(async () => {
      const parameters = (await sandbox.source.probe('query-migrate-parameters')) as {
        'downtime-limit': number;
      };
      assert.equal(parameters['downtime-limit'], 400);
    });
  });

  it('migrates from the palette, and reads where the guest is', async () => {
    await sandbox.source.waitForRounds(1);
    await workbench.runCommand('QEMU Migration: Migrate to...');
    // With Enter alone where the first row is the one that is wanted.
    await answerWithEnter('Which machine is to move?');
    await answerWithEnter('By which method?');
    await answerWithEnter('Which QEMU takes the guest over?');
    await answerWithEnter('How shall the guest travel?');
    await answer('How fast may it go?', 'No limit for this run');
    await row('sandbox-source').filter({ hasText: 'gave its guest to sandbox-target' }).waitFor();
    const message = workbench.page.locator('.notification-toast');
    await message.getByText(/The guest runs on sandbox-target/).waitFor();
    await message.getByText(/Quit sandbox-source soon, and never continue it/).waitFor();
    await machine('sandbox-target').filter({ hasText: 'running' }).waitFor();
    assert.equal(await sandbox.source.guestStatus(), 'postmigrate');
    assert.equal(await sandbox.target.guestStatus(), 'running');
    await sandbox.target.waitForRounds(2);
  });
});

describe('a person watches a migration that does not end, and cancels it', () => {
  let sandbox: Sandbox;
  let workbench: Workbench;

  before(async () => {
    sandbox = await startSandbox(await provisionQemu('11.1'), 'fast-dirtying');
    const { folder, settings } = sandbox;
    workbench = await openWorkbench({ folder, settings, installed: true });
  });

  after(async () => {
    await workbench.close();
    await sandbox.stop();
  });

  it('sees the figures move in the tree, and the guest stay after Cancel', async () => {
    const { page } = workbench;
    const source = page
      .locator('.part.sidebar .monaco-list-row')
      .filter({ hasText: 'sandbox-source' })
      .first();
    await page.locator('.part.activitybar [aria-label*="QEMU Migration"]').first().click();
    await source.filter({ hasText: 'running' }).waitFor();
    await sandbox.source.waitForRounds(1);
    await workbench.runCommand('QEMU Migration: Migrate to...');
    for (const question of [
      'Which machine',
      'By which method',
      'Which QEMU',
      'How shall',
      'How fast',
    ]) {
      await page.locator(`.quick-input-widget input[placeholder*="${question}"]`).waitFor();
      await page.keyboard.press('Enter');
    }
    // A steady stream of changes: VS Code draws it only when they leave it time to.
    await source.filter({ hasText: /pass 2/ }).waitFor();
    await source.filter({ hasText: /pass 3/ }).waitFor();
    await workbench.screenshot('progress');
    await page.locator('.notification-toast').getByText('Cancel', { exact: true }).click();
    const message = page.locator('.notification-toast');
    await message.getByText(/Cancelled: the guest runs on sandbox-source/).waitFor();
    await source.filter({ hasText: 'running' }).waitFor();
    assert.equal(await sandbox.source.guestStatus(), 'running');
    assert.notEqual(await sandbox.target.guestStatus(), 'running');
  });
});

async function assertEventually(check: () => Promise<void>): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await check();
      return;
    } catch (error) {
      if (attempt >= 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
