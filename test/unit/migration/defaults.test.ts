import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import {
  capabilityDefault,
  parameterDefault,
  type DefaultValue,
} from '../../../src/migration/settings/defaults';
import learnt from '../../../src/migration/settings/learntDefaults.json';
import type { JsonValue } from '../../../src/qmp/json';
import { schemaWith } from './support';

interface Described {
  readonly machine?: string | undefined;
  readonly properties?: Readonly<Record<string, JsonValue | undefined>>;
}

function asked(version: string, { machine, properties }: Described = {}) {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return {
    version: { major, minor, micro: 9, package: '' },
    machineType: machine ?? `pc-q35-${version}`,
    ...(properties && { migrationProperties: new Map(Object.entries(properties)) }),
  };
}

function valueOf(found: DefaultValue): JsonValue | undefined {
  assert.ok(found.kind === 'known');
  return found.value;
}

function sourceOf(found: DefaultValue): string {
  return found.kind === 'known' ? found.source : 'unknown';
}

const unknown: DefaultValue = { kind: 'unknown' };

describe('the default of a parameter', () => {
  it('is what was learnt of that version, and says so', () => {
    const found = parameterDefault(asked('11.1'), 'max-bandwidth');
    assert.equal(valueOf(found), 134217728);
    assert.equal(sourceOf(found), 'a fresh QEMU 11.1');
    assert.equal(valueOf(parameterDefault(asked('7.2'), 'compress-threads')), 8);
    assert.deepEqual(valueOf(parameterDefault(asked('11.1'), 'cpr-exec-command')), []);
  });

  it('is known for all that a learnt version reports or lets one set', () => {
    for (const [version, { parameters, notSet }] of Object.entries(learnt.versions)) {
      for (const name of [...Object.keys(parameters), ...notSet]) {
        const found = parameterDefault(asked(version), name);
        assert.equal(sourceOf(found), `a fresh QEMU ${version}`, `${version} ${name}`);
      }
    }
  });

  it('is "not set" for what a fresh QEMU does not report', () => {
    const found = parameterDefault(asked('10.0'), 'block-bitmap-mapping');
    assert.deepEqual(found, { kind: 'known', value: undefined, source: 'a fresh QEMU 10.0' });
  });

  it('follows the machine type, whatever its family', () => {
    const name = 'zero-page-detection';
    for (const machine of ['pc-q35-8.2', 'pc-i440fx-8.2', 'virt-8.2', 'pc-q35-4.0.1']) {
      const found = parameterDefault(asked('10.0', { machine }), name);
      assert.equal(valueOf(found), 'legacy', machine);
      assert.match(sourceOf(found), /machine type of version (8\.2|4\.0\.1)$/);
    }
    for (const machine of ['pc-q35-10.0', 'pc-q35-9.0', 'microvm', 'raspi3b', 'none']) {
      assert.equal(valueOf(parameterDefault(asked('11.1', { machine }), name)), 'multifd', machine);
    }
  });

  it('is unknown where a vendor’s machine type may change it, and only there', () => {
    for (const machine of ['pc-q35-rhel9.4.0', 'pc-i440fx-noble', 'virt-rhel9.4.0']) {
      const facts = asked('10.0', { machine });
      assert.deepEqual(parameterDefault(facts, 'zero-page-detection'), unknown, machine);
      assert.equal(valueOf(parameterDefault(facts, 'downtime-limit')), 300);
    }
    const untold = { ...asked('10.0'), machineType: undefined };
    assert.deepEqual(parameterDefault(untold, 'zero-page-detection'), unknown);
    assert.equal(valueOf(parameterDefault(untold, 'multifd-channels')), 2);
  });

  describe('of a version that was not learnt', () => {
    it('comes from its own list of properties, whichever way they are called there', () => {
      const properties = { 'x-max-bandwidth': 1n << 60n, 'multifd-channels': 4 };
      const facts = asked('12.0', { properties });
      const found = parameterDefault(facts, 'max-bandwidth');
      assert.equal(valueOf(found), 1n << 60n);
      assert.equal(sourceOf(found), "this QEMU's own list of properties");
      assert.equal(valueOf(parameterDefault(facts, 'multifd-channels')), 4);
    });

    it('comes from what all others agree on when QEMU does not tell', () => {
      const facts = asked('9.0', { properties: { 'tls-creds': undefined } });
      const creds = parameterDefault(facts, 'tls-creds');
      assert.equal(valueOf(creds), '');
      assert.equal(sourceOf(creds), 'fresh QEMUs 7.2, 10.0 and 11.1');
      const direct = parameterDefault(facts, 'direct-io');
      assert.equal(sourceOf(direct), 'fresh QEMUs 10.0 and 11.1');
      assert.equal(sourceOf(parameterDefault(facts, 'cpr-exec-command')), 'a fresh QEMU 11.1');
      assert.equal(valueOf(parameterDefault(facts, 'block-bitmap-mapping')), undefined);
    });

    it('follows the machine type as well', () => {
      const properties = { 'zero-page-detection': 'multifd' };
      const older = asked('9.2', { properties, machine: 'pc-q35-8.2' });
      assert.equal(valueOf(parameterDefault(older, 'zero-page-detection')), 'legacy');
      const same = asked('9.2', { properties });
      assert.equal(valueOf(parameterDefault(same, 'zero-page-detection')), 'multifd');
    });

    it('is unknown for an older machine type where that version changed the default', () => {
      const properties = { 'x-max-bandwidth': 1 << 30 };
      assert.equal(
        valueOf(parameterDefault(asked('12.0', { properties }), 'max-bandwidth')),
        1 << 30,
      );
      const older = asked('12.0', { properties, machine: 'pc-q35-11.1' });
      assert.deepEqual(parameterDefault(older, 'max-bandwidth'), unknown);
    });

    it('is unknown for a name that nobody has told us of', () => {
      assert.deepEqual(parameterDefault(asked('12.0'), 'warp-factor'), unknown);
      for (const name of ['constructor', '__proto__', 'x-', '']) {
        assert.deepEqual(parameterDefault(asked('12.0'), name), unknown, name);
      }
    });
  });

  it('of backend transfer is what the patched builds start with, unless it is a list', () => {
    for (const build of ['local', 'backend-transfer'] as const) {
      const found = parameterDefault(asked('10.2'), build);
      assert.equal(valueOf(found), false);
      assert.match(sourceOf(found), /patches/);
      const draft = { ...asked('10.2'), schema: schemaWith(build, build, '[str]') };
      assert.deepEqual(parameterDefault(draft, build), unknown);
    }
  });
});

describe('the default of a capability', () => {
  it('is what was learnt of that version', () => {
    for (const [version, { capabilities }] of Object.entries(learnt.versions)) {
      for (const [name, value] of Object.entries(capabilities)) {
        const found = capabilityDefault(asked(version), name);
        assert.deepEqual(
          [valueOf(found), sourceOf(found)],
          [value, `a fresh QEMU ${version}`],
          name,
        );
      }
    }
  });

  it('comes from this QEMU’s own list where nothing was learnt', () => {
    const facts = asked('12.0', { properties: { 'x-warp': true } });
    assert.equal(valueOf(capabilityDefault(facts, 'warp')), true);
  });

  it('is off for one never heard of, as all others are', () => {
    const found = capabilityDefault(asked('12.0'), 'warp');
    assert.equal(valueOf(found), false);
    assert.match(sourceOf(found), /every capability off/);
  });
});

describe('what was learnt', () => {
  it('is sorted, so that learning again changes nothing', () => {
    for (const { parameters, capabilities, notSet } of Object.values(learnt.versions)) {
      for (const names of [Object.keys(parameters), Object.keys(capabilities), notSet]) {
        assert.deepEqual(names, [...names].sort());
      }
    }
  });
});
