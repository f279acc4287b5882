import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { provisionQemu, qemuVersions } from '../../scripts/lib/qemu';
import { Binaries } from '../../src/migration/liveUpdate/binaries';

describe('what a QEMU program offers', () => {
  for (const version of qemuVersions) {
    it(`${version}: is read whole by a program that is slow to read it`, async () => {
      const { binary } = await provisionQemu(version);
      const asked = new Binaries().ask(binary);
      let done = false;
      const over = asked.finally(() => {
        done = true;
      });
      // Busy with other things: meanwhile QEMU has written as much as a pipe holds.
      const stalled = async (): Promise<void> => {
        while (!done) {
          const until = performance.now() + 300;
          while (performance.now() < until);
          await nextTurn();
        }
      };
      const [offer] = await Promise.all([asked, stalled(), over]);
      assert.ok(offer.versionText.startsWith(`${version}.`), offer.versionText);
      assert.ok(offer.schema.hasCommand('migrate'));
      assert.equal(offer.target, 'x86_64');
      assert.ok(offer.capabilities.some(({ name }) => name === 'events'));
    });
  }
});
