import assert from 'node:assert/strict';
import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, afterEach, describe, it } from 'mocha';
import { temporaryDirectory } from '../../scripts/lib/processes';
import { verifyGuestMemory, type QemuOptions, type QemuProcess } from '../../scripts/lib/qemu';
import { root } from '../../scripts/lib/paths';
import { run as runProgram } from '../../scripts/lib/steps';
import { startPair, type Pair } from '../support/pair';

const mebibyte = 2 ** 20;

describe('a migration that limits what the guest writes (dirty-limit)', () => {
  const folder = temporaryDirectory('dirty-limit');
  let pair: Pair | undefined;

  after(() => folder.remove());

  afterEach(async () => {
    await pair?.dispose();
    pair = undefined;
  });

  // QEMU 7.2 does not offer it: methods.test.ts.
  for (const version of ['10.0', '11.1'] as const) {
    it(`takes over a guest that writes all the time, and puts the limit back, on QEMU ${version}`, async function () {
      this.timeout(120_000);
      const qemu = await withRing(folder.path);
      pair = await startPair({ version, source: qemu, target: qemu });
      const { source, target, runs, request } = pair;
      await source.waitForRounds(20, 60_000);
      const before = await limitsOf(source);
      const options = { dirtyLimitMegabytesPerSecond: 1, holdSwitchover: true };
      const maxBandwidthBytesPerSecond = BigInt(4 * mebibyte);
      const run = runs.start(request({ transport: 'unix', maxBandwidthBytesPerSecond, options }));
      for (let waits = 0; run.record.progress.phase !== 'held'; waits++) {
        assert.equal(run.record.outcome, undefined, JSON.stringify(run.record.outcome));
        assert.ok(waits < 600, `it does not end: ${JSON.stringify(run.record.progress)}`);
        await sleep(100);
      }
      assert.deepEqual(await limitsOf(source), [true, 1, 4 * mebibyte]);
      await run.control({ id: 'release-switchover' });
      const outcome = await run.outcome;
      assert.deepEqual(
        [outcome.kind, outcome.owner, outcome.guestRunning],
        ['completed', 'target', true],
        JSON.stringify(outcome),
      );
      assert.deepEqual(await limitsOf(source), before);
      assert.deepEqual(await limitsOf(target), before);
      await target.waitForRounds(1, 60_000);
      await verifyGuestMemory(target);
    });
  }
});

/**
 * With the ring by which KVM counts what each virtual CPU writes, and a guest that writes to 8 MiB over
 * and over. Whether it is slowed is QEMU's to decide, from what it measures, and not asserted here.
 */
async function withRing(directory: string): Promise<Partial<QemuOptions>> {
  const [object, image] = [join(directory, 'guest.o'), join(directory, 'guest.img')];
  const symbols = { START: 0x100000, END: 0x900000, DELAY: 64 };
  const defined = Object.entries(symbols).flatMap(([key, value]) => [
    '--defsym',
    `${key}=${value}`,
  ]);
  const source = join(root, 'test', 'support', 'guest', 'unpaged.s');
  await runProgram('as', ['--32', ...defined, '-o', object, source]);
  const format = ['-m', 'elf_i386', '-Ttext', '0x7c00', '--oformat', 'binary'];
  await runProgram('ld', [...format, '-o', image, object]);
  await truncate(image, 4 * mebibyte);
  return {
    ...{ guest: 'none', accelerator: 'kvm,dirty-ring-size=4096', memoryMiB: 64 },
    extraArgs: [
      ...['-drive', `if=none,id=boot,format=raw,readonly=on,file=${image}`],
      ...['-device', 'virtio-blk-pci,id=boot-disk,drive=boot,bootindex=0'],
    ],
  };
}

/** The capability, and both of its parameters. */
async function limitsOf(qemu: QemuProcess): Promise<readonly unknown[]> {
  const all = (await qemu.probe('query-migrate-capabilities')) as readonly {
    readonly capability: string;
    readonly state: boolean;
  }[];
  const parameters = (await qemu.probe('query-migrate-parameters')) as Readonly<
    Record<string, unknown>
  >;
  return [
    all.find(({ capability }) => capability === 'dirty-limit')?.state,
    parameters['vcpu-dirty-limit'],
    parameters['max-bandwidth'],
  ];
}
