import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { Side } from '../../../src/migration/run/look';
import type { JsonObject } from '../../../src/qmp/json';
import { MachineRegistry } from '../../../src/vm/registry';
import type { MachineHandle } from '../../../src/vm/types';
import { FakeQmpServer } from '../../support/fakeQmpServer';

describe('a look at one side of a run', () => {
  let qemu: FakeQmpServer;
  let registry: MachineRegistry;
  let machine: MachineHandle;
  let side: Side;

  beforeEach(async () => {
    qemu = await FakeQmpServer.start({ build: '11.1-stock' });
    qemu.setMigration({ status: 'active' });
    const store = { load: () => [], save: () => Promise.resolve() };
    registry = new MachineRegistry({ store, procRoot: '/nonexistent' });
    machine = await registry.connect(qemu.path);
    side = new Side(machine, undefined);
  });

  afterEach(async () => {
    registry.dispose();
    await qemu.stop();
  });

  /** The migration ends when its status was told already, and before that of the guest is. */
  const endsBetweenTheAnswers = (end: JsonObject): void => {
    const told = new Promise<void>((resolve) => {
      machine.onDidChange(({ parts }) => parts.has('migration') && resolve());
    });
    qemu.on('query-status', async () => {
      if (qemu.qemu.migration['status'] === 'active') {
        await told;
        qemu.setMigration(end);
        qemu.emitEvent('MIGRATION', { status: end['status'] ?? '' });
      }
      return { status: 'running', running: true };
    });
  };

  it('knows why a migration failed between the answers', async () => {
    endsBetweenTheAnswers({ status: 'failed', 'error-desc': 'execvp /bin/qemu failed' });
    const view = await side.look();
    assert.equal(view.kind === 'answered' && view.migrationStatus, 'failed');
    assert.equal(side.info.errorText, 'execvp /bin/qemu failed');
  });

  it('knows the figures of a migration that completed between the answers', async () => {
    endsBetweenTheAnswers({ status: 'completed', downtime: 7, 'total-time': 90 });
    const view = await side.look();
    assert.equal(view.kind === 'answered' && view.migrationStatus, 'completed');
    assert.equal(side.info.downtimeMs, 7);
  });
});
