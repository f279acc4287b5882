import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { endTarget } from '../../../../src/migration/liveUpdate/processEnd';
import type { Side } from '../../../../src/migration/run/look';
import type { SideView } from '../../../../src/migration/run/ownership';
import { isAlive, readProcess } from '../../../../src/vm/process';

const silent: SideView = { kind: 'silent' };

function answered(status: string, migrationStatus: string | undefined): SideView {
  return {
    kind: 'answered',
    runState: { status, running: status === 'running' },
    migrationStatus,
  };
}

/** All that is asked of a side here. */
function sideThat(view: SideView): Side {
  return { look: () => Promise.resolve(view) } as unknown as Side;
}

describe('the end of a new QEMU that does not answer', () => {
  async function end(source: SideView): Promise<{ gone: boolean; told: string | undefined }> {
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    const process = await readProcess(child.pid ?? 0);
    assert.ok(process !== undefined);
    try {
      const told = await endTarget(
        {
          source: sideThat(source),
          target: sideThat(silent),
          patience: { lookMs: 5, quitMs: 4000, startMs: 1000 },
          log: () => undefined,
        },
        process,
        'the run has ended, and the source has the guest',
      );
      return { gone: !(await isAlive(process)), told };
    } finally {
      child.kill('SIGKILL');
    }
  }

  it('is a signal when the old QEMU runs its guest', async () => {
    assert.deepEqual(await end(answered('running', 'failed')), { gone: true, told: undefined });
  });

  it('is a signal when the old QEMU has its paused guest still', async () => {
    assert.equal((await end(answered('paused', undefined))).gone, true);
  });

  for (const [status, migration] of [
    ['postmigrate', 'completed'],
    ['finish-migrate', 'device'],
    ['paused', 'completed'],
  ] as const) {
    it(`does not come while the old QEMU says ${status}, ${migration}: it may have the guest`, async () => {
      const { gone, told } = await end(answered(status, migration));
      assert.equal(gone, false);
      assert.match(told ?? '', /left as it is/);
    });
  }
});
