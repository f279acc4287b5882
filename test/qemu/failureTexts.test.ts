import assert from 'node:assert/strict';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, it } from 'mocha';
import { temporaryDirectory } from '../../scripts/lib/processes';
import {
  provisionQemu,
  qemuVersions,
  startQemu,
  type QemuOptions,
  type QemuProcess,
  type QemuVersionName,
} from '../../scripts/lib/qemu';
import { explainFailure } from '../../src/migration/failures/explain';
import type { FailureExplanation } from '../../src/migration/failures/types';
import type { MethodName } from '../../src/migration/run/types';
import { provoke, type Attempt } from '../support/provoke';

type Options = Partial<QemuOptions>;

const returnPath = { both: ['return-path'] } as const;
const uuid = '11111111-1111-1111-1111-111111111111';
const shared = [
  ...['-object', 'memory-backend-memfd,id=ram0,size=64M,share=on'],
  ...['-machine', 'memory-backend=ram0,aux-ram-share=on'],
];
const withRng = { extraArgs: ['-device', 'virtio-rng-pci'] };

/** What a QEMU of 2026 says is not in any document: here it is asked, with none of our checks. */
describe('what QEMU really says when a migration fails', () => {
  let cleanUp: (() => Promise<void>)[] = [];

  afterEach(async () => {
    for (const step of cleanUp.reverse()) await step();
    cleanUp = [];
  });

  interface Bench {
    readonly directory: string;
    readonly start: (options: Options) => Promise<QemuProcess>;
    readonly explain: (
      attempt: Omit<Attempt, 'uri'> & { readonly uri?: string },
      method?: MethodName,
    ) => Promise<FailureExplanation>;
  }

  async function bench(version: QemuVersionName): Promise<Bench> {
    const temporary = temporaryDirectory('texts');
    cleanUp.push(() => temporary.remove());
    const directory = temporary.path;
    const build = await provisionQemu(version);
    return {
      directory,
      start: async (options) => {
        const name = options.incoming === true ? 'target' : 'source';
        const qemu = await startQemu({ build, directory, name, memoryMiB: 64, uuid, ...options });
        cleanUp.push(() => qemu.stop());
        return qemu;
      },
      explain: async (attempt, method = 'precopy') => {
        const said = await provoke({ uri: `unix:${join(directory, 'migration')}`, ...attempt });
        const explanation = explainFailure({
          ...{ method, phase: 'transfer', owner: 'source', guestRunning: true },
          labels: { source: 'source', target: 'target' },
          ...said,
        });
        const told = [said.sourceError, said.targetError].filter((text) => text !== undefined);
        for (const text of told) {
          assert.ok(explanation.quotes.join('\n').includes(text), `${text} is kept`);
        }
        return explanation;
      },
    };
  }

  /** One pair for each: what differs, and the cause that has to be found. */
  const differences: readonly (readonly [string, Options, Options, Partial<Attempt>, string])[] = [
    ['another machine type', {}, { machine: 'pc-q35-7.1' }, returnPath, 'machine-type'],
    ['another size of memory', {}, { memoryMiB: 128 }, returnPath, 'memory-size'],
    [
      'another name of the memory',
      {
        extraArgs: [
          ...['-object', 'memory-backend-ram,id=ram0,size=64M'],
          ...['-machine', 'memory-backend=ram0'],
        ],
      },
      {},
      returnPath,
      'ram-block-unknown',
    ],
    ['a device that the target lacks', withRng, {}, returnPath, 'device-missing'],
    ['fewer CPUs', { extraArgs: ['-smp', '2'] }, {}, returnPath, 'cpu-missing'],
    [
      'another UUID',
      {},
      { uuid: '22222222-1111-1111-1111-111111111111' },
      { both: ['return-path', 'validate-uuid'] },
      'uuid',
    ],
    [
      'a capability at the source only',
      {},
      {},
      { ...returnPath, sourceCapabilities: ['x-ignore-shared'] },
      'capability-differs',
    ],
    [
      'postcopy at the source only',
      {},
      {},
      { ...returnPath, sourceCapabilities: ['postcopy-ram'] },
      'postcopy-one-side',
    ],
    [
      'multifd at the source only',
      {},
      {},
      { ...returnPath, sourceCapabilities: ['multifd'] },
      'multifd-differs',
    ],
    [
      'TLS credentials that are not there',
      {},
      {},
      { ...returnPath, sourceParameters: { 'tls-creds': 'nosuch' } },
      'tls-credentials',
    ],
  ];

  for (const version of qemuVersions) {
    for (const [what, sourceOptions, targetOptions, attempt, id] of differences) {
      it(`explains ${what} on QEMU ${version}`, async () => {
        const { start, explain } = await bench(version);
        const source = await start(sourceOptions);
        const target = await start({ ...targetOptions, incoming: true });
        const explanation = await explain({ source, target, ...attempt });
        assert.equal(explanation.id, id, JSON.stringify(explanation));
      });
    }

    it(`explains a socket at which nobody listens on QEMU ${version}`, async () => {
      const { start, explain, directory } = await bench(version);
      const source = await start({});
      const none = await explain({ source, uri: `unix:${directory}/nobody` });
      assert.equal(none.id, 'no-socket', JSON.stringify(none));
      const refused = await explain({ source, uri: 'tcp:127.0.0.1:1' });
      assert.equal(refused.id, 'connection-refused', JSON.stringify(refused));
    });

    for (const victim of ['source', 'target'] as const) {
      it(`names the ${victim} that was killed, not what the other said, on QEMU ${version}`, async () => {
        const { start, explain } = await bench(version);
        const source = await start({});
        const target = await start({ incoming: true });
        const explanation = await explain({
          ...{ source, target, ...returnPath },
          sourceParameters: { 'max-bandwidth': 10_000 },
          meanwhile: async () => {
            await untilMoving(source);
            (victim === 'source' ? source : target).kill('SIGKILL');
          },
        });
        assert.equal(explanation.id, `${victim}-killed`, JSON.stringify(explanation));
        assert.equal(explanation.side, victim);
      });
    }
  }

  it('explains a queue that is too small on QEMU 11.1', async () => {
    const { start, explain } = await bench('11.1');
    const nic = (size: number): Options => ({
      extraArgs: ['-device', `virtio-net-pci,rx_queue_size=${size}`],
    });
    const source = await start(nic(1024));
    const target = await start({ ...nic(256), incoming: true });
    const explanation = await explain({ source, target, ...returnPath });
    assert.equal(explanation.id, 'queue-size', JSON.stringify(explanation));
    assert.match(explanation.meaning, /1024.*256/);
  });

  for (const version of ['10.0', '11.1'] as const) {
    it(`explains files that cannot be written or read on QEMU ${version}`, async () => {
      const { start, explain, directory } = await bench(version);
      const source = await start({});
      const saving = await explain({ source, uri: `file:${directory}/none/saved` }, 'save');
      assert.equal(saving.id, 'file-not-found', JSON.stringify(saving));
      const file = join(directory, 'file');
      for (const [content, id] of [
        ['garbage '.repeat(5000), 'not-a-migration'],
        ['', 'not-a-migration'],
        [undefined, 'stream-cut'],
      ] as const) {
        if (content === undefined) {
          await provoke({ source, uri: `file:${file}` });
          await truncate(file, 20_000);
        } else await writeFile(file, content);
        const target = await start({ incoming: true });
        const explanation = await explain({ target, uri: `file:${file}` }, 'restore');
        assert.equal(explanation.id, id, JSON.stringify(explanation));
        assert.match(explanation.what, /^Restoring failed .*file/);
        await target.stop();
      }
    });

    it(`explains mapped-ram at one side of a file only on QEMU ${version}`, async () => {
      const { start, explain, directory } = await bench(version);
      const source = await start({});
      const uri = `file:${join(directory, 'saved')}`;
      await provoke({ source, uri, both: ['mapped-ram'] });
      const target = await start({ incoming: true });
      const explanation = await explain({ target, uri }, 'restore');
      assert.equal(explanation.id, 'capability-differs', JSON.stringify(explanation));
      assert.match(explanation.nextStep, /Turn mapped-ram on/);
    });

    it(`explains memory that a live update cannot hand over on QEMU ${version}`, async () => {
      const { start, explain, directory } = await bench(version);
      const channels = ['main', 'cpr'].map((name) => ({
        'channel-type': name,
        addr: { transport: 'socket', type: 'unix', path: join(directory, name) },
      }));
      const sourceParameters = { mode: 'cpr-transfer' };
      const plain = await start({});
      const private_ = await explain({ source: plain, channels, sourceParameters }, 'cpr-transfer');
      assert.equal(private_.id, 'cpr-memory-not-shared', JSON.stringify(private_));
      await plain.stop();
      const source = await start({ extraArgs: shared });
      const alone = await explain({ source, channels, sourceParameters }, 'cpr-transfer');
      assert.equal(alone.id, 'no-socket', JSON.stringify(alone));
    });
  }

  it('explains a program that QEMU cannot become, or that ends at once, on QEMU 11.1', async () => {
    const { start, explain, directory } = await bench('11.1');
    const source = await start({ extraArgs: shared });
    const uri = `file:${join(directory, 'state')}`;
    const become = (...command: string[]): Promise<FailureExplanation> => {
      const sourceParameters = { mode: 'cpr-exec', 'cpr-exec-command': command };
      return explain({ source, uri, sourceParameters }, 'cpr-exec');
    };
    const none = await become('/nonexistent');
    assert.equal(none.id, 'exec-failed', JSON.stringify(none));
    const wrong = await become(source.build.binary, '-nosuch');
    assert.equal(wrong.id, 'bad-argument', JSON.stringify(wrong));
  });
});

async function untilMoving(source: QemuProcess): Promise<void> {
  for (let looks = 0; looks < 500; looks++) {
    const { ram } = (await source.probe('query-migrate')) as { ram?: { transferred: number } };
    if ((ram?.transferred ?? 0) > 0) return;
  }
  throw new Error('the migration does not move');
}
