import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'mocha';
import { catalogue } from '../../../src/migration/failures/catalogue';
import type { Place } from '../../../src/migration/failures/cause';
import { explainFailure } from '../../../src/migration/failures/explain';
import type { FailureEvidence, ProcessEnd } from '../../../src/migration/failures/types';
import { failureTexts } from '../../support/failureTexts';

const labels = { source: 'vm1', target: 'vm2' };

function evidence(patch: Partial<FailureEvidence> = {}): FailureEvidence {
  return {
    method: 'precopy',
    phase: 'transfer',
    owner: 'source',
    guestRunning: true,
    labels,
    sourceError: undefined,
    targetError: undefined,
    ...patch,
  };
}

function said(place: Place, text: string): Partial<FailureEvidence> {
  switch (place) {
    case 'source-error':
      return { sourceError: text };
    case 'target-error':
      return { targetError: text };
    case 'source-stderr':
      return { sourceStderr: [text] };
    case 'target-stderr':
      return { targetStderr: [text] };
  }
}

describe('the catalogue of failures', () => {
  it('knows every text that a QEMU was seen to say, each by its own cause', () => {
    for (const [id, texts] of Object.entries(failureTexts)) {
      for (const [place, text] of texts) {
        const explanation = explainFailure(evidence(said(place, text)));
        assert.equal(explanation.id, id, text);
        assert.ok(explanation.quotes.join('\n').includes(text), 'the words are kept verbatim');
      }
    }
  });

  it('has for every cause a text that was seen, and each name once', () => {
    const ids = catalogue.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    for (const { id, ended } of catalogue) {
      assert.equal(failureTexts[id] === undefined, ended !== undefined, id);
    }
    for (const id of Object.keys(failureTexts)) assert.ok(ids.includes(id), id);
  });

  it('says for every text what failed, what it means and what to do, with nothing left open', () => {
    for (const texts of Object.values(failureTexts)) {
      for (const [place, text] of texts) {
        const { what, meaning, nextStep } = explainFailure(evidence(said(place, text)));
        assert.match(
          what,
          /^The migration failed while the memory was being sent: .*[^.]\.$/,
          text,
        );
        for (const words of [what, meaning, nextStep]) {
          assert.doesNotMatch(words, /undefined|\?"|""|NaN|\[object| {2}/, text);
          assert.match(words, /[.)]$/, text);
        }
      }
    }
  });

  it('names values of both sides where QEMU tells them', () => {
    const machine = explainFailure(
      evidence({ targetStderr: [failureTexts['machine-type']?.[0]?.[1] ?? ''] }),
    );
    assert.match(machine.meaning, /pc-q35-7\.2.*pc-q35-7\.1/);
    assert.match(machine.nextStep, /-machine pc-q35-7\.2"/);
    const size = explainFailure(
      evidence({ targetStderr: ['Size mismatch: pc.ram: 0x4000000 != 0x8000000'] }),
    );
    assert.match(size.meaning, /64(\.0)? MiB.*128 MiB/);
    const rom = explainFailure(
      evidence({
        targetStderr: [
          'Unknown ramblock "0000:00:01.0/virtio-net-pci.rom", cannot accept migration',
        ],
      }),
    );
    assert.match(rom.meaning, /device/);
  });

  it('explains what the recorded QEMUs said when the backends did not fit', () => {
    const expected: Readonly<Record<string, string>> = {
      'device-permission-off-on-source': 'vnet-header',
      'parameter-only-on-source-other-tap': 'section-footer',
      'parameter-only-on-target': 'vnet-header',
      'tcp-channel': 'needs-unix-socket',
      'ifname-given-on-target': 'ram-block-unknown',
      'target-has-no-nic': 'ram-block-unknown',
      'netdev-id-differs': 'netdev-differs',
      'parameter-set-after-netdev-add': 'tap-too-early',
      'permission-missing-on-target': 'tap-too-early',
    };
    let seen = 0;
    const root = join(__dirname, '../../recordings');
    for (const build of readdirSync(root)) {
      for (const name of readdirSync(join(root, build))) {
        const id = expected[name];
        const meta = readMeta(join(root, build, name, 'meta.json'));
        if (id === undefined || meta === undefined || meta.target.stderr.length === 0) continue;
        seen++;
        const explanation = explainFailure(
          evidence({
            sourceError: 'Sibling indicated error 1',
            sourceStderr: meta.source.stderr,
            targetStderr: meta.target.stderr,
            targetEnd: { exitCode: meta.target.exit ?? 1 },
          }),
        );
        assert.equal(explanation.id, id, `${build} ${name}`);
      }
    }
    assert.ok(seen >= 5, `only ${seen} recordings tell it`);
  });
});

interface Meta {
  readonly source: { readonly stderr: readonly string[] };
  readonly target: { readonly stderr: readonly string[]; readonly exit: number | null };
}

function readMeta(file: string): Meta | undefined {
  const meta = JSON.parse(readFileSync(file, 'utf8')) as Partial<Meta>;
  return meta.source && meta.target ? (meta as Meta) : undefined;
}

describe('joining both sides of a failure', () => {
  const machineType = "Machine type received is 'pc-q35-10.0' and local is 'pc-q35-9.2'";

  for (const sourceError of [
    'Sibling indicated error 1',
    'Unable to write to socket: Broken pipe',
    'Channel error: Input/output error',
  ]) {
    it(`takes the target's cause, not the source's "${sourceError}"`, () => {
      const explanation = explainFailure(
        evidence({
          sourceError,
          targetError: 'load of migration failed: Invalid argument',
          sourceStderr: [`qemu-system-x86_64: ${sourceError}`],
          targetStderr: [`qemu-system-x86_64: ${machineType}`],
          targetEnd: { exitCode: 1 },
        }),
      );
      assert.equal(explanation.id, 'machine-type');
      assert.equal(explanation.side, 'target');
      assert.deepEqual(explanation.quotes, [
        'vm2 says: load of migration failed: Invalid argument',
        `vm1 says: ${sourceError}`,
        `On standard error of vm2: qemu-system-x86_64: ${machineType}`,
      ]);
    });
  }

  const ends: readonly (readonly [ProcessEnd, string, RegExp])[] = [
    [{ signal: 'SIGKILL' }, 'target-killed', /vm2 was killed by SIGKILL/],
    [{ signal: 'SIGSEGV' }, 'target-crashed', /vm2 crashed.*SIGSEGV/],
    [{ exitCode: 1 }, 'target-ended', /vm2 ended with exit 1/],
    [{}, 'target-ended', /vm2 has ended/],
  ];
  for (const [targetEnd, id, words] of ends) {
    it(`sees through "Broken pipe" to a target that ended as ${JSON.stringify(targetEnd)}`, () => {
      const explanation = explainFailure(
        evidence({ sourceError: 'Unable to write to socket: Broken pipe', targetEnd }),
      );
      assert.equal(explanation.id, id);
      assert.match(explanation.what, words);
    });
  }

  it("sees through the target's complaints to a source that was killed", () => {
    const explanation = explainFailure(
      evidence({
        targetError:
          'load of migration failed: Invalid argument: Section footer error, section_id: 1',
        targetStderr: ['check_section_footer: Read section footer failed: -5'],
        sourceEnd: { signal: 'SIGKILL' },
        targetEnd: { exitCode: 1 },
      }),
    );
    assert.equal(explanation.id, 'source-killed');
    assert.equal(explanation.side, 'source');
  });

  it('prefers what the target said to its mere exit', () => {
    const explanation = explainFailure(
      evidence({
        targetError: 'load of migration failed: Invalid argument',
        targetEnd: { exitCode: 1 },
      }),
    );
    assert.equal(explanation.id, 'target-refused');
  });

  it("takes the target's refusal to listen, not the source's missing socket", () => {
    const explanation = explainFailure(
      evidence({
        sourceError: "Failed to connect to '/run/m': No such file or directory",
        targetError: 'could not configure /dev/net/tun (tap0): Device or resource busy',
      }),
    );
    assert.equal(explanation.id, 'tap-busy');
    assert.equal(explanation.side, 'target');
  });

  it('keeps the words of what it does not know', () => {
    const explanation = explainFailure(
      evidence({ sourceError: 'Flux capacitor empty', targetStderr: ['gears grind'] }),
    );
    assert.equal(explanation.id, 'unknown');
    assert.equal(explanation.side, 'unknown');
    assert.deepEqual(explanation.quotes, [
      'vm1 says: Flux capacitor empty',
      'On standard error of vm2: gears grind',
    ]);
  });

  it('says so when nobody said anything', () => {
    const explanation = explainFailure(evidence());
    assert.equal(explanation.id, 'unknown');
    assert.match(explanation.meaning, /Neither side said anything/);
  });

  it('calls a channel that was cut by a cancel what it is', () => {
    const cut = { sourceError: 'Channel error: Input/output error' };
    assert.equal(explainFailure(evidence({ ...cut, phase: 'cancel' })).id, 'cancelled');
    assert.equal(explainFailure(evidence(cut)).id, 'channel-broken');
    const real = explainFailure(evidence({ ...cut, phase: 'cancel', targetStderr: [machineType] }));
    assert.equal(real.id, 'machine-type');
  });

  it('blames nobody for a line in a log that both QEMUs write', () => {
    const log = ["qemu: No TLS credentials with id 'tls0'"];
    const explanation = explainFailure(evidence({ sourceStderr: log, targetStderr: log }));
    assert.equal(explanation.id, 'tls-credentials');
    assert.equal(explanation.side, 'unknown');
    assert.equal(explanation.quotes.length, 1);
  });

  it('speaks of the file, not of two sides, when a guest is restored', () => {
    const explanation = explainFailure(
      evidence({
        method: 'restore',
        labels: { source: 'vm2', target: 'vm2' },
        sourceError:
          'load of migration failed: Invalid argument: Not a migration stream, magic: 0 != 5145564d',
      }),
    );
    assert.match(explanation.what, /^Restoring failed while the file was being read: the file/);
  });

  it('names the step for every state of a run', () => {
    const phases = ['prepare', 'transfer', 'held', 'switch-over', 'postcopy', 'settle'] as const;
    const whats = phases.map((phase) => explainFailure(evidence({ phase })).what);
    assert.equal(new Set(whats).size, phases.length);
  });

  it('quotes few lines, but always the one that tells the cause, and no warnings', () => {
    const targetStderr = [
      machineType,
      'qemu-system-x86_64: warning: nothing of interest',
      ...Array.from({ length: 15 }, (_, line) => `line ${line}`),
    ];
    const { quotes } = explainFailure(evidence({ targetStderr }));
    assert.ok(quotes.length <= 7, `${quotes.length}`);
    assert.match(quotes[0] ?? '', /Machine type received/);
    assert.doesNotMatch(quotes.join('\n'), /warning/);
  });
});
