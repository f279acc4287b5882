import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, it } from 'mocha';
import { temporaryDirectory } from '../../scripts/lib/processes';
import type { QemuOptions, QemuVersionName } from '../../scripts/lib/qemu';
import { locateHelper } from '../../src/fdpass/locate';
import { fixRequests, preflight } from '../../src/migration/preflight/preflight';
import { findingKey, type Finding, type FindingLevel } from '../../src/migration/preflight/types';
import type { MigrationRequest } from '../../src/migration/run/types';
import { applyChanges } from '../../src/migration/settings/change';
import { helperDirectory, startPair, type Pair } from '../support/pair';

const uuid = '6f5a8cb2-52c9-4c7e-8a52-8f8a3e6a4a50';
const versions: readonly QemuVersionName[] = ['7.2', '10.0', '11.1'];

/** What two fresh QEMUs always have: the default speed limit, and what a run turns on. */
const usual = ['bandwidth-low', 'return-path', 'pause-limit'];

interface Difference {
  readonly name: string;
  readonly source?: readonly string[];
  readonly target?: readonly string[];
  readonly options?: Partial<QemuOptions>;
  /** As `level id subject`; the usual ones left out. */
  readonly found: readonly string[];
}

const nic = (mac: string, id = 'nic0', netdev = 'n0'): string[] => [
  ...['-netdev', `user,id=${netdev}`],
  ...['-device', `virtio-net-pci,netdev=${netdev},id=${id},mac=52:54:00:00:00:${mac}`],
];

const differences: readonly Difference[] = [
  { name: 'nothing', found: [] },
  { name: 'the CPU model', target: ['-cpu', 'kvm64'], found: ['warns cpu-model'] },
  {
    name: 'a CPU feature',
    source: ['-cpu', 'qemu64'],
    target: ['-cpu', 'qemu64,-x2apic'],
    found: ['warns cpu-model'],
  },
  {
    name: 'the MAC address',
    source: nic('01'),
    target: nic('02'),
    found: ['warns mac nic0'],
  },
  {
    name: 'ids of a device and its back end',
    source: nic('01'),
    target: nic('01', 'other', 'n1'),
    found: ['tells netdev-id nic0', 'tells device-id nic0'],
  },
  { name: 'the number of CPUs', target: ['-smp', '2'], found: ['blocks vcpu-count'] },
  { name: 'memory', options: { memoryMiB: 128 }, found: ['blocks memory-size'] },
  {
    name: 'the name of the memory',
    target: [
      ...['-object', 'memory-backend-ram,id=other,size=256M'],
      ...['-machine', 'memory-backend=other'],
    ],
    found: ['blocks ram-block'],
  },
  {
    name: 'a missing device',
    source: ['-device', 'virtio-rng-pci,id=rng0,addr=5'],
    found: ['blocks device-missing rng0'],
  },
  {
    name: 'an additional device',
    target: ['-device', 'virtio-rng-pci,id=rng0,addr=5'],
    found: ['warns device-extra rng0'],
  },
  {
    name: 'a PCI address',
    source: ['-device', 'virtio-rng-pci,id=rng0,addr=5'],
    target: ['-device', 'virtio-rng-pci,id=rng0,addr=6'],
    found: ['blocks device-missing rng0', 'warns device-extra rng0'],
  },
  {
    name: 'the kind of a device behind a bridge',
    source: [
      ...['-device', 'pcie-root-port,id=rp0,addr=4,chassis=1'],
      ...['-device', 'virtio-rng-pci,id=dev0,bus=rp0'],
    ],
    target: [
      ...['-device', 'pcie-root-port,id=rp0,addr=4,chassis=1'],
      ...['-device', 'virtio-balloon-pci,id=dev0,bus=rp0'],
    ],
    found: ['blocks device-differs dev0'],
  },
  {
    name: 'a USB device',
    source: ['-device', 'qemu-xhci,id=usb', '-device', 'usb-tablet,id=tablet'],
    target: ['-device', 'qemu-xhci,id=usb'],
    found: ['warns device-not-found tablet'],
  },
  {
    name: 'the UUID',
    options: { uuid: '6f5a8cb2-52c9-4c7e-8a52-8f8a3e6a4a51' },
    found: ['tells uuid-unchecked'],
  },
];

describe('the check before a migration, with real QEMUs', () => {
  let pair: Pair | undefined;

  afterEach(async () => {
    await pair?.dispose();
    pair = undefined;
  });

  async function start(
    version: QemuVersionName,
    { source = [], target = [], options = {} }: Partial<Difference> = {},
  ): Promise<Pair> {
    const both = { guest: 'none', uuid } as const;
    pair = await startPair({
      version,
      source: { ...both, extraArgs: source },
      target: { ...both, ...options, extraArgs: target },
    });
    return pair;
  }

  async function look(
    { sourceMachine, targetMachine, request }: Pair,
    patch: Partial<MigrationRequest> = {},
    measure = false,
  ): Promise<readonly Finding[]> {
    const report = await preflight(sourceMachine, targetMachine, request(patch), {
      measure,
      locateHelper: () =>
        locateHelper({
          bundledDirectory: helperDirectory,
          platform: process.platform,
          arch: process.arch,
        }),
    });
    assert.equal(
      report.blocked,
      report.findings.some(({ level }) => level === 'blocks'),
    );
    for (const { what, why, nextStep } of report.findings) {
      for (const sentence of [what, why, nextStep]) {
        assert.match(sentence, /[.:]$/);
        assert.doesNotMatch(sentence, /undefined|\[object|NaN/);
      }
    }
    return report.findings;
  }

  const named = (findings: readonly Finding[]): string[] =>
    findings
      .filter(({ id }) => !usual.includes(id))
      .map((finding) => `${finding.level} ${findingKey(finding)}`);

  const at = (findings: readonly Finding[], id: string): Finding => {
    const found = findings.find((finding) => finding.id === id);
    assert.ok(found, `${id} in ${findings.map(findingKey).join(', ')}`);
    return found;
  };

  for (const [version, targetVersion] of [
    ['7.2', '11.1'],
    ['7.2', '10.0'],
    ['10.0', '11.1'],
  ] as const) {
    it(`${version} to ${targetVersion} with one machine type: nothing differs`, async () => {
      const machine = `pc-q35-${version}`;
      const extraArgs = [
        ...nic('01'),
        ...['-device', 'pcie-root-port,id=rp0,addr=4,chassis=1'],
        ...['-device', 'virtio-rng-pci,id=dev0,bus=rp0'],
        ...['-device', 'VGA', '-smp', '2'],
      ];
      const both = { uuid, machine, extraArgs };
      pair = await startPair({ version, targetVersion, source: both, target: both });
      // The firmware has numbered the buses of the source alone.
      await pair.source.waitForRounds(1);
      assert.deepEqual(named(await look(pair, { transport: 'unix' })), []);
    });
  }

  for (const version of versions) {
    for (const difference of differences) {
      it(`${version}: finds what differs, and nothing else: ${difference.name}`, async () => {
        assert.deepEqual(named(await look(await start(version, difference))), difference.found);
      });
    }

    it(`${version}: a difference that blocks the check refuses the run too`, async () => {
      const started = await start(version, {
        source: ['-device', 'virtio-rng-pci,id=rng0,addr=5'],
        target: ['-smp', '2'],
      });
      const outcome = await started.runs.start(started.request()).outcome;
      assert.equal(outcome.kind, 'refused');
      assert.match(outcome.details.join(' '), /virtual CPUs/);
      assert.match(outcome.details.join(' '), /rng0/);
      assert.equal(await started.target.guestStatus(), 'inmigrate');
    });

    it(`${version}: disks by file, size, access and lock`, async () => {
      const temporary = temporaryDirectory('disks');
      try {
        const [one, two] = ['one.img', 'two.img'].map((name) => join(temporary.path, name));
        await writeFile(one!, Buffer.alloc(2 ** 20));
        await writeFile(two!, Buffer.alloc(2 ** 21));
        const disk = (file: string, id: string, options = ''): string[] => [
          ...['-drive', `if=none,id=d${id},format=raw,file=${file}${options}`],
          ...['-device', `virtio-blk-pci,id=disk${id},drive=d${id}`],
        ];
        const open = ',file.locking=off';
        const started = await start(version, {
          source: [...disk(one!, '0'), ...disk(one!, '1', open), ...disk(two!, '2')],
          target: [...disk(two!, '0', ',readonly=on'), ...disk(one!, '1'), ...disk(two!, '2')],
        });
        assert.deepEqual(named(await look(started)), [
          'warns disk-file disk0',
          'warns disk-size disk0',
          'warns disk-read-only disk0',
          'warns disk-lock disk1 (source)',
        ]);
      } finally {
        await temporary.remove();
      }
    });

    it(`${version}: one file as the memory of both sides is told`, async () => {
      const temporary = temporaryDirectory('memory');
      try {
        const file = join(temporary.path, 'ram');
        const memory = [
          ...['-object', `memory-backend-file,id=ram0,size=256M,share=on,mem-path=${file}`],
          ...['-machine', 'memory-backend=ram0'],
        ];
        const started = await start(version, { source: memory, target: memory });
        const findings = await look(started);
        assert.deepEqual(named(findings), ['warns memory-file']);
        const { sourceMachine, targetMachine } = started;
        const requests = fixRequests(at(findings, 'memory-file'), sourceMachine, targetMachine);
        await applyChanges(requests);
        assert.deepEqual(named(await look(started)), []);
      } finally {
        await pair?.dispose();
        pair = undefined;
        await temporary.remove();
      }
    });

    it(`${version}: fixes put right what they are offered for`, async () => {
      const started = await start(version);
      const { source, sourceMachine, targetMachine } = started;
      await source.probe('migrate-set-capabilities', {
        capabilities: [{ capability: 'multifd', state: true }],
      });
      const patch = { transport: 'unix' } as const;
      const before = await look(started, patch);
      assert.deepEqual(named(before), ['blocks capability-differs multifd']);
      for (const finding of [
        at(before, 'capability-differs'),
        at(before, 'bandwidth-low'),
        at(before, 'return-path'),
      ]) {
        await applyChanges(fixRequests(finding, sourceMachine, targetMachine));
      }
      const after = await look(started, patch);
      assert.deepEqual(after.map(findingKey), ['pause-limit']);
    });

    it(`${version}: sees block jobs and credentials that are not there`, async () => {
      const started = await start(version, {
        source: [
          ...[
            '-blockdev',
            'null-co,node-name=a,size=1048576',
            '-blockdev',
            'null-co,node-name=b,size=1048576',
          ],
        ],
      });
      await started.source.probe('blockdev-mirror', {
        ...{ device: 'a', target: 'b', sync: 'full', 'job-id': 'job0' },
      });
      await started.target.probe('migrate-set-parameters', { 'tls-creds': 'tls0' });
      const findings = await look(started);
      const levels = (id: string): FindingLevel => at(findings, id).level;
      assert.equal(levels('block-job'), 'blocks');
      assert.match(at(findings, 'block-job').what, /mirror of job0/);
      assert.equal(levels('tls-creds'), 'blocks');
      assert.equal(at(findings, 'tls-creds').side, 'target');
    });

    it(`${version}: tells whether a busy guest converges, and what helps`, async () => {
      pair = await startPair({ version, source: { uuid }, target: { uuid } });
      await pair.source.waitForRounds(2);
      const { source } = pair;
      await source.probe('migrate-set-parameters', { 'max-bandwidth': 2 ** 20 });
      let slow = at(await look(pair, {}, true), 'convergence');
      // On a busy host a second may fall into the guest's rest between two rounds.
      for (let again = 0; slow.level !== 'warns' && again < 5; again += 1) {
        slow = at(await look(pair, {}, true), 'convergence');
      }
      assert.equal(slow.level, 'warns');
      assert.match(slow.what, /will not converge/);
      assert.match(slow.why, /1 MiB\/s/);
      assert.match(slow.fix?.title ?? '', /max-bandwidth/);
      await source.probe('stop');
      const paused = at(await look(pair, {}, true), 'convergence');
      assert.match(paused.what, /will converge: the guest stands still/);
    });
  }
});
