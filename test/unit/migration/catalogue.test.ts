import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { LearntDefaults } from '../../../src/migration/settings/defaults';
import {
  allCapabilities,
  allParameters,
  capabilityInfo,
  checkRange,
  type ParameterInfo,
  parameterGroups,
  parameterInfo,
  parseParameter,
} from '../../../src/migration/settings/catalogue';

/** What fresh QEMUs reported, and could be set to; see `npm run learn-defaults`. */
const learnt = JSON.parse(
  readFileSync('src/migration/settings/learntDefaults.json', 'utf8'),
) as LearntDefaults;

function learntOf(version: string): LearntDefaults['versions'][string] {
  const found = learnt.versions[version];
  assert.ok(found, `the defaults of QEMU ${version} were not learnt`);
  return found;
}

interface Aged {
  readonly name: string;
  readonly since: string;
  readonly until?: string;
}

function age(version: string): number {
  const [major = '', minor = ''] = version.split('.');
  return Number(major) * 1000 + Number(minor);
}

/** What the catalogue says a release has. */
function namesIn(version: string, all: readonly Aged[]): string[] {
  return all
    .filter(
      ({ since, until }) =>
        age(since) <= age(version) && (until === undefined || age(version) < age(until)),
    )
    .map(({ name }) => name)
    .sort();
}

function known(name: string): ParameterInfo {
  const info = parameterInfo(name);
  assert.ok(info, name);
  return info;
}

/** What a QEMU has in a parameter must be something that we would let a user set. */
function checkValueFits(name: string, value: unknown): void {
  const info = known(name);
  const fits: Readonly<Record<ParameterInfo['type'], () => boolean>> = {
    bool: () => typeof value === 'boolean',
    int: () => checkRange(BigInt(value as number), info) === undefined,
    size: () => checkRange(BigInt(value as number), info) === undefined,
    enum: () => info.values?.some((one) => one.value === value) === true,
    string: () => typeof value === 'string',
    'string-or-null': () => typeof value === 'string',
    list: () => Array.isArray(value),
    struct: () => typeof value === 'object',
  };
  assert.ok(fits[info.type](), `${name}: ${JSON.stringify(value)}`);
}

interface SchemaMember {
  readonly name: string;
  readonly type: string;
  readonly features?: readonly string[];
}

interface SchemaEntry {
  readonly name: string;
  readonly 'meta-type': string;
  readonly 'json-type'?: string;
  readonly 'arg-type'?: string;
  readonly 'element-type'?: string;
  readonly members?: readonly SchemaMember[];
}

interface RecordedLine {
  readonly dir: 'in' | 'out';
  readonly msg?: { readonly execute?: string; readonly return?: unknown };
}

/** What a recorded QEMU answered to the first call of each command. */
function recordedAnswers(build: string): Map<string, unknown> {
  const path = `test/recordings/${build}/introspection/source.jsonl`;
  const answers = new Map<string, unknown>();
  let command = '';
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line === '') continue;
    const { dir, msg } = JSON.parse(line) as RecordedLine;
    if (dir === 'out') command = msg?.execute ?? '';
    else if (msg?.return !== undefined && !answers.has(command)) answers.set(command, msg.return);
  }
  return answers;
}

/** The names that a recorded QEMU lets one set, without those that only patched builds have. */
function releasedNames(names: readonly string[]): string[] {
  return names.filter((name) => {
    const since = (parameterInfo(name) ?? capabilityInfo(name))?.since;
    return since !== 'patched' && since !== '11.2';
  });
}

const jsonTypes: Readonly<Record<ParameterInfo['type'], string>> = {
  bool: 'builtin boolean',
  int: 'builtin int',
  size: 'builtin int',
  string: 'builtin string',
  'string-or-null': 'alternate',
  enum: 'enum',
  list: 'array',
  struct: 'object',
};

describe('catalogue and the recorded builds', () => {
  // The two patched builds are made of 10.2.
  for (const [build, version] of [
    ['11.1-stock', '11.1'],
    ['backend-transfer', '10.2'],
    ['local', '10.2'],
  ] as const) {
    const answers = recordedAnswers(build);
    const schema = new Map(
      (answers.get('query-qmp-schema') as SchemaEntry[]).map((entry) => [entry.name, entry]),
    );
    const membersOf = (command: string): readonly SchemaMember[] =>
      schema.get(schema.get(command)?.['arg-type'] ?? '')?.members ?? [];

    it(`knows the parameters of ${build}, their types and whether they are unstable`, () => {
      const members = membersOf('migrate-set-parameters');
      assert.ok(members.length > 25);
      for (const { name, type, features = [] } of members) {
        const info = known(name);
        const entry = schema.get(type);
        assert.ok(entry, name);
        const json = entry['meta-type'] === 'builtin' ? ` ${entry['json-type'] ?? ''}` : '';
        assert.equal(`${entry['meta-type']}${json}`, jsonTypes[info.type], name);
        assert.equal(features.includes('unstable'), info.unstable === true, name);
        assert.equal(info.values !== undefined, entry['meta-type'] === 'enum', name);
        if (info.values === undefined) continue;
        for (const value of entry.members ?? []) {
          assert.ok(
            info.values.some((one) => one.value === value.name),
            `${name} ${value.name}`,
          );
        }
      }
      assert.deepEqual(
        releasedNames(members.map(({ name }) => name)).sort(),
        namesIn(version, allParameters),
      );
    });

    it(`knows the capabilities of ${build} and whether they are unstable`, () => {
      const list = schema.get(membersOf('migrate-set-capabilities')[0]?.type ?? '');
      const status = schema.get(list?.['element-type'] ?? '')?.members ?? [];
      const type = status.find(({ name }) => name === 'capability')?.type ?? '';
      const values = schema.get(type)?.members ?? [];
      assert.ok(values.length > 20);
      for (const { name, features = [] } of values) {
        const info = capabilityInfo(name);
        assert.ok(info, name);
        assert.equal(features.includes('unstable'), info.unstable === true, name);
      }
      assert.deepEqual(
        releasedNames(values.map(({ name }) => name)).sort(),
        namesIn(version, allCapabilities),
      );
    });
  }
});

describe('catalogue', () => {
  for (const version of ['7.2', '10.0', '11.1']) {
    it(`has exactly the parameters of ${version}, and they fit what it reported`, () => {
      const { parameters, notSet } = learntOf(version);
      assert.deepEqual(
        [...Object.keys(parameters), ...notSet].sort(),
        namesIn(version, allParameters),
      );
      for (const [name, value] of Object.entries(parameters)) checkValueFits(name, value);
    });

    it(`has exactly the capabilities of ${version}`, () => {
      assert.deepEqual(
        Object.keys(learntOf(version).capabilities).sort(),
        namesIn(version, allCapabilities),
      );
    });
  }

  it('has every version that was learnt, whole, and what machine types and patches change', () => {
    const versions = Object.values(learnt.versions);
    for (const settings of [
      ...versions,
      ...versions.flatMap(({ machines }) => Object.values(machines)),
      learnt.patched,
    ]) {
      for (const [name, value] of Object.entries(settings.parameters ?? {})) {
        checkValueFits(name, value);
      }
      for (const name of Object.keys(settings.capabilities ?? {})) {
        assert.ok(capabilityInfo(name), name);
      }
    }
  });

  it('has both spellings of backend transfer, to be set on both sides', () => {
    for (const name of ['local', 'backend-transfer']) {
      assert.equal(known(name).type, 'bool');
      assert.equal(known(name).sides, 'both-equal');
    }
    assert.equal(known('local').unstable, undefined);
    assert.equal(known('backend-transfer').unstable, true);
  });

  it('knows nothing of other names', () => {
    assert.equal(parameterInfo('nope'), undefined);
    assert.equal(parameterInfo('constructor'), undefined);
    assert.equal(capabilityInfo('max-bandwidth'), undefined);
  });

  it('has each name once', () => {
    for (const all of [allParameters, allCapabilities]) {
      assert.equal(new Set(all.map(({ name }) => name)).size, all.length);
    }
  });

  it('explains everything, in one line and in one to four sentences', () => {
    for (const { name, summary, details } of [...allParameters, ...allCapabilities]) {
      assert.match(summary, /^\S.{10,90}[^.\s]$/, name);
      const plain = details.replaceAll('e.g.', '').replace(/`[^`]*`/g, 'code');
      const sentences = plain.split(/[.!?](?:\*\*)?(?:\s|$)/).filter((part) => part !== '');
      assert.ok(sentences.length >= 1 && sentences.length <= 4, `${name}: ${sentences.length}`);
      assert.match(details, /\.(\*\*)?$/, name);
      assert.equal(details.split('`').length % 2, 1, `${name}: unbalanced backtick`);
      assert.equal(details.split('**').length % 2, 1, `${name}: unbalanced emphasis`);
    }
  });

  it('uses each group, and only groups that exist', () => {
    const used = new Set(allParameters.map(({ group }) => group));
    assert.deepEqual([...used].sort(), parameterGroups.map(({ id }) => id).sort());
    for (const { title, summary } of parameterGroups) assert.ok(title !== '' && summary !== '');
  });

  it('refers only to names and values that exist', () => {
    for (const { name, needs = [] } of allParameters) {
      for (const { capability, parameter } of needs) {
        if (capability !== undefined) assert.ok(capabilityInfo(capability), name);
        if (parameter === undefined) continue;
        const values = known(parameter.name).values?.map(({ value }) => value);
        assert.ok(
          values?.some((value) => value === parameter.value),
          name,
        );
      }
    }
    for (const { name, needs = [], conflicts = [] } of allCapabilities) {
      for (const need of needs) assert.ok(capabilityInfo(need), `${name} needs ${need}`);
      for (const conflict of conflicts) {
        const other = capabilityInfo(conflict);
        assert.ok(other?.conflicts?.includes(name), `${name} and ${conflict}`);
        assert.ok(!needs.includes(conflict), name);
      }
    }
  });

  it('gives numbers a range and a unit that fit, and enumerations their values', () => {
    for (const info of allParameters) {
      const numeric = info.type === 'int' || info.type === 'size';
      assert.equal(info.range !== undefined, numeric, info.name);
      assert.equal(info.unit !== 'none', numeric, info.name);
      assert.equal(info.values !== undefined, info.type === 'enum', info.name);
    }
  });

  it('marks as unstable what begins with x-', () => {
    for (const { name, unstable } of [...allParameters, ...allCapabilities]) {
      if (name.startsWith('x-')) assert.equal(unstable, true, name);
    }
  });

  it('lets change while running only what then has an effect', () => {
    const live = allParameters.filter((info) => info.takesEffectWhileRunning === true);
    assert.deepEqual(
      live.map(({ name }) => name),
      [
        'max-bandwidth',
        'downtime-limit',
        'avail-switchover-bandwidth',
        'max-postcopy-bandwidth',
        'xbzrle-cache-size',
        'throttle-trigger-threshold',
        'cpu-throttle-initial',
        'cpu-throttle-increment',
        'cpu-throttle-tailslow',
        'max-cpu-throttle',
      ],
    );
  });
});

describe('checkRange', () => {
  it('accepts both ends and names them when exceeded', () => {
    const limit = known('downtime-limit');
    assert.equal(checkRange(0n, limit), undefined);
    assert.equal(checkRange(2_000_000n, limit), undefined);
    assert.equal(
      checkRange(2_000_001n, limit),
      'downtime-limit must be between 0 ms and 2000 s, not 2000.001 s.',
    );
    assert.equal(
      checkRange(0n, known('multifd-channels')),
      'multifd-channels must be between 1 and 255, not 0.',
    );
    assert.match(checkRange(0n, known('announce-step')) ?? '', /between 1 ms and 10 s/);
  });

  it('says only the end that was missed when the other is as far as numbers go', () => {
    assert.equal(
      checkRange(0n, known('vcpu-dirty-limit')),
      'vcpu-dirty-limit must be at least 1 MiB/s, not 0 MiB/s.',
    );
  });

  it('asks for a power of two and proposes one', () => {
    const cache = known('xbzrle-cache-size');
    assert.equal(checkRange(64n << 20n, cache), undefined);
    assert.equal(
      checkRange(100n << 20n, cache),
      'xbzrle-cache-size must be a power of two, such as 128 MiB, not 100 MiB.',
    );
    assert.match(checkRange(2048n, cache) ?? '', /at least 4 KiB/);
  });
});

describe('parseParameter', () => {
  it('reads and checks in one', () => {
    assert.deepEqual(parseParameter('1 GiB/s', known('max-bandwidth')), {
      ok: true,
      value: 1n << 30n,
    });
    assert.equal(parseParameter('1 h', known('downtime-limit')).ok, false);
    assert.equal(parseParameter('-1', known('max-bandwidth')).ok, false);
  });

  it('takes "unlimited" where 0 means just that', () => {
    for (const text of ['unlimited', 'No limit']) {
      assert.deepEqual(parseParameter(text, known('max-bandwidth')), { ok: true, value: 0n });
    }
    assert.equal(parseParameter('1 MiB/s (no limit)', known('max-bandwidth')).ok, false);
    assert.equal(parseParameter('unlimited', known('avail-switchover-bandwidth')).ok, false);
    assert.equal(parseParameter('unlimited', known('downtime-limit')).ok, false);
  });
});
