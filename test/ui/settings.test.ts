import { strict as assert } from 'node:assert';
import type { Locator, Page } from 'playwright-core';
import { FakeQmpServer, FakeRefusal } from '../support/fakeQmpServer';
import { openWorkbench, type Workbench } from '../support/workbench';

/** What only VS Code's own widgets can show: keys, buttons, focus. */
describe('a person configures a machine by the keyboard', () => {
  let server: FakeQmpServer;
  let workbench: Workbench;
  let page: Page;

  before(async () => {
    server = await FakeQmpServer.start({ build: 'local' });
    workbench = await openWorkbench({
      installed: true,
      settings: {
        'qemuMigration.sockets': [server.path],
        'qemuMigration.discovery.enabled': false,
      },
    });
    page = workbench.page;
    await page.locator('.part.activitybar [aria-label*="QEMU Migration"]').first().click();
    await row('Parameters').click();
    await row('Channels').click();
    await row('Capabilities').click();
  });

  after(async () => {
    await workbench.close();
    await server.stop();
  });

  const row = (text: string): Locator =>
    page.locator('.part.sidebar .monaco-list-row').filter({ hasText: text }).first();
  const field = (): Locator => page.locator('.quick-input-widget input[type="text"]');
  const note = (text: RegExp): Locator => page.locator('.quick-input-message').getByText(text);

  it('is warned while typing, and sets what is needed with the button above', async () => {
    await row('multifd-channels').click();
    await page.locator('.quick-input-title').getByText('multifd-channels').waitFor();
    await field().fill('8');
    await note(/no effect unless multifd is on/).waitFor();
    await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('Enter');
    await row('multifd-channels').filter({ hasText: '8 · default 2' }).waitFor();
    assert.equal(server.qemu.capabilities.get('multifd'), true);
  });

  it('undoes it with Ctrl+Z in the tree', async () => {
    await row('direct-io').click({ button: 'right' });
    await page.keyboard.press('Escape');
    await page.keyboard.press('Control+z');
    await page
      .locator('.notification-toast')
      .getByText(/^Undid /)
      .waitFor();
    await row('multifd-channels').filter({ hasNotText: 'default' }).waitFor();
    assert.equal(server.qemu.capabilities.get('multifd'), false);
  });

  it('switches a capability with Space, and has the box flip back when QEMU refuses', async () => {
    const box = row('auto-converge').locator('[role="checkbox"]');
    await row('Capabilities').click({ button: 'right' });
    await page.keyboard.press('Escape');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Space');
    await row('auto-converge')
      .filter({ hasText: /auto-converge\s*on/ })
      .waitFor();
    assert.equal(server.qemu.capabilities.get('auto-converge'), true);
    server.on('migrate-set-capabilities', () => {
      throw new FakeRefusal('auto-converge stays on');
    });
    await box.click();
    await page
      .locator('.notification-toast')
      .getByText(/auto-converge stays on/)
      .waitFor();
    await row('auto-converge').locator('[role="checkbox"][aria-checked="true"]').waitFor();
  });

  it('reads QEMU’s refusal beside the field, which stays open', async () => {
    server.on('migrate-set-parameters', () => {
      throw new FakeRefusal('not more than one channel');
    });
    await row('multifd-channels').click();
    await page.locator('.quick-input-title').getByText('multifd-channels').waitFor();
    await field().fill('9');
    await page.keyboard.press('Enter');
    await note(/not more than one channel\. It keeps 2\./).waitFor();
    await page.keyboard.press('Escape');
    await field().waitFor({ state: 'hidden' });
  });

  it('finds settings while typing; Escape brings all of them back, Enter keeps some', async () => {
    await workbench.runCommand('QEMU Migration: Find Setting...');
    await page.locator('.quick-input-title').getByText('Find Setting').waitFor();
    await field().fill('announce');
    await row('announce-rounds').waitFor();
    await row('multifd-channels').waitFor({ state: 'detached' });
    await page.keyboard.press('Escape');
    await row('multifd-channels').waitFor();
    await workbench.runCommand('QEMU Migration: Find Setting...');
    await page.locator('.quick-input-title').getByText('Find Setting').waitFor();
    await field().fill('announce');
    await page.keyboard.press('Enter');
    await row('announce-rounds').waitFor();
    await field().waitFor({ state: 'hidden' });
    await row('multifd-channels').waitFor({ state: 'detached' });
    await workbench.runCommand('QEMU Migration: Clear Filter');
    await row('multifd-channels').waitFor();
  });
});
