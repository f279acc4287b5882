import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { provisionQemu, qemuVersions, type QemuVersionName } from '../../scripts/lib/qemu';
import { isAlive } from '../../src/vm/process';
import { LiveUpdateStage } from '../support/liveUpdateStage';

describe('a live update of a real QEMU', function () {
  this.timeout(120_000);
  let stage: LiveUpdateStage | undefined;

  before(async function () {
    this.timeout(300_000);
    for (const version of qemuVersions) await provisionQemu(version);
  });
  afterEach(async () => {
    await stage?.dispose();
    stage = undefined;
  });

  const pairs: readonly (readonly [QemuVersionName, QemuVersionName])[] = [
    ['11.1', '11.1'],
    ['10.0', '11.1'],
    ['7.2', '10.0'],
  ];
  for (const [from, to] of pairs) {
    it(`puts ${to} in the place of ${from}, by its old names`, async () => {
      stage = await LiveUpdateStage.begin({ version: from });
      const { source, registry, machine, states } = stage;
      const plan = await stage.plan({ to });
      const before = registry.machines.length;
      const outcome = await stage.run(plan);
      assert.equal(outcome.kind, 'updated', JSON.stringify(outcome, undefined, 2));
      assert.deepEqual(outcome.leftovers, []);
      // "Quit it: its guest lives elsewhere" would be said of the QEMU that has the guest now.
      assert.equal(stage.runs.last(machine.id), undefined);
      // The old one is gone, the new one answers at both of its sockets.
      assert.equal(await isAlive(plan.start.like), false);
      assert.equal(machine.snapshot.process?.pid, outcome.targetPid);
      assert.equal(machine.snapshot.state.kind, 'ready');
      assert.equal(machine.snapshot.facts?.runState.status, 'running');
      const version = (await stage.probe().execute('query-version')) as {
        qemu: Record<string, number>;
      };
      const { major, minor } = version.qemu;
      assert.equal(`${major}.${minor}`, to);
      assert.equal(registry.machines.length, before);
      // Its row never said that it was lost.
      assert.deepEqual(states, ['ready', 'connecting', 'ready']);
      const left = readdirSync(stage.directory).sort();
      const expected = [
        source.qmpSocket,
        source.probeSocket,
        source.serialFile,
        plan.start.logFile,
      ];
      assert.deepEqual(
        left.filter((name) => name !== 'state' && !name.endsWith('.old')),
        expected.map((path) => basename(path)).sort(),
      );
      assert.deepEqual((await stage.journals.listUpdates()).updates[0]?.state.ended, true);
      assert.ok(outcome.times.blackoutMs !== undefined && outcome.times.blackoutMs >= 0);
    });
  }
});
