import { strict as assert } from 'node:assert';
import { openWorkbench, type Workbench } from '../support/workbench';

describe('the workbench', () => {
  let workbench: Workbench;

  before(async () => {
    workbench = await openWorkbench();
  });

  after(async () => {
    await workbench.close();
  });

  it('shows the activity bar with our view container', async () => {
    const item = workbench.page.locator('.part.activitybar [aria-label*="QEMU Migration"]').first();
    await item.waitFor({ state: 'visible', timeout: 30_000 });
    assert.ok(await item.isVisible());
  });

  it('runs a command from the palette', async () => {
    await workbench.runCommand('View: Show Explorer');
    await workbench.page.locator('.explorer-folders-view').waitFor({ state: 'visible' });
  });
});
