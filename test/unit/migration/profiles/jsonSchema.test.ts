import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import fc from 'fast-check';
import { parse } from 'jsonc-parser';
import { describe, it } from 'mocha';
import manifest from '../../../../package.json' with { type: 'json' };
import { builtinProfiles } from '../../../../src/migration/profiles/builtin';
import { profileJsonSchema } from '../../../../src/migration/profiles/jsonSchema';
import { parseProfileFile, withProfile } from '../../../../src/migration/profiles/profileFile';
import { quantityPattern } from '../../../../src/migration/profiles/quantityPattern';
import {
  allCapabilities,
  allParameters,
  parameterInfo,
  parseParameter,
  type Unit,
} from '../../../../src/migration/settings/catalogue';
import {
  editableQuantity,
  formatQuantity,
  parseQuantity,
} from '../../../../src/migration/settings/units';

const root = join(__dirname, '../../../..');
const [validation] = manifest.contributes.jsonValidation;
const written: unknown = JSON.parse(readFileSync(join(root, validation?.url ?? ''), 'utf8'));

// VS Code's own keywords are none of the standard's.
const accepts = new Ajv({ strict: false, allErrors: true }).compile(profileJsonSchema());

function isAccepted(text: string): boolean {
  return accepts(parse(text, [], { allowTrailingComma: true }));
}

interface Shown {
  readonly markdownDescription: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly markdownEnumDescriptions?: readonly string[];
  readonly deprecationMessage?: string;
  readonly doNotSuggest?: boolean;
}

interface SchemaFile {
  readonly definitions: Readonly<
    Record<'parameters' | 'capabilities', { readonly properties: Readonly<Record<string, Shown>> }>
  >;
}

const { definitions } = written as SchemaFile;
const parameters = definitions.parameters.properties;
const capabilities = definitions.capabilities.properties;

/** A file with one profile "p" of these members. */
function inProfile(members: string): string {
  return `{ "version": 1, "profiles": { "p": { ${members} } } }`;
}

describe('the schema of profile files', () => {
  it('is the one that the catalogue makes ("npm run schema" writes it)', () => {
    assert.deepEqual(written, JSON.parse(JSON.stringify(profileJsonSchema())));
  });

  it('is asked for by the files that open as JSON with comments', () => {
    const [language] = manifest.contributes.languages;
    assert.equal(language?.id, 'jsonc');
    assert.deepEqual(
      language.filenamePatterns.map((pattern) => pattern.replace('**/', '')),
      validation?.fileMatch.map((pattern) => pattern.replace(/^\//, '')),
    );
  });

  it('explains every parameter and capability that is known', () => {
    assert.deepEqual(Object.keys(parameters).sort(), allParameters.map(({ name }) => name).sort());
    assert.deepEqual(
      Object.keys(capabilities).sort(),
      allCapabilities.map(({ name }) => name).sort(),
    );
    for (const { name, summary, since, until } of [...allParameters, ...allCapabilities]) {
      const shown = parameters[name] ?? capabilities[name];
      assert.ok(shown !== undefined && shown.markdownDescription.includes(summary), name);
      if (name === 'cpr-exec-command') continue;
      assert.ok(shown.markdownDescription.includes(since === 'patched' ? 'patched' : since), name);
      assert.equal(shown.deprecationMessage !== undefined, until !== undefined, name);
      assert.equal(shown.doNotSuggest, until === undefined ? undefined : true, name);
    }
    const limit = parameters['downtime-limit'];
    for (const fact of ['0 ms to 2000 s', 'milliseconds', '`"300 ms"`', 'Since QEMU 2.8']) {
      assert.ok(limit?.markdownDescription.includes(fact), fact);
    }
    assert.ok(parameters['multifd-channels']?.markdownDescription.includes('Needs `multifd`'));
    assert.ok(parameters['mode']?.markdownEnumDescriptions?.[2]?.includes('Since QEMU 10.0'));
  });

  it('completes a value that is valid', () => {
    for (const [name, { default: value, enum: choices }] of Object.entries(parameters)) {
      for (const each of choices ?? (value === undefined ? [] : [value])) {
        const text = inProfile(`"parameters": { "${name}": ${JSON.stringify(each)} }`);
        assert.ok(isAccepted(text), text);
        assert.deepEqual(
          parseProfileFile(text).problems.filter(({ severity }) => severity === 'error'),
          [],
        );
      }
    }
  });

  it('accepts the built-in profiles', () => {
    let text: string | undefined;
    for (const { name, description, backendTransfer, ...rest } of builtinProfiles) {
      const settings = { ...rest.both, backendTransfer };
      text = withProfile(text, { name, description, ...rest, settings });
    }
    assert.ok(isAccepted(text ?? ''), JSON.stringify(accepts.errors));
    assert.ok(isAccepted('{ "version": 1, // with comments\n }'));
  });

  const good = [
    '"description": "a", "backendTransfer": false, "optional": ["multifd", "backendTransfer"]',
    '"parameters": { "max-bandwidth": "2 GiB/s", "downtime-limit": "0.3 s", "multifd-channels": 4 }',
    '"parameters": { "of-tomorrow": [{}] }, "capabilities": { "of-tomorrow": true }',
    '"source": { "capabilities": { "multifd": true } }, "target": {}',
    '"parameters": { "backend-transfer": ["virtio-net-tap"], "tls-creds": null }',
    '"parameters": { "max-bandwidth": "no limit", "xbzrle-cache-size": "64M" }',
  ];
  for (const members of good) {
    it(`accepts ${members}, as the reader does`, () => {
      const text = inProfile(members);
      assert.ok(isAccepted(text), JSON.stringify(accepts.errors));
      assert.equal(parseProfileFile(text).profiles.length, 1);
    });
  }

  const bad = [
    '"colour": 1',
    '"description": 1',
    '"backendTransfer": "yes"',
    '"optional": "multifd"',
    '"optional": [1]',
    '"parameters": []',
    '"source": { "optional": [] }',
    '"capabilities": { "multifd": "on" }',
    '"capabilities": { "of-tomorrow": 1 }',
    '"parameters": { "downtime-limit": "3 apples" }',
    '"parameters": { "downtime-limit": 2000001 }',
    '"parameters": { "downtime-limit": 0.3 }',
    '"parameters": { "max-bandwidth": -1 }',
    '"parameters": { "multifd-channels": "4 MiB" }',
    '"parameters": { "multifd-channels": 0 }',
    '"parameters": { "mode": "fast" }',
    '"parameters": { "direct-io": 1 }',
    '"parameters": { "cpr-exec-command": ["/bin/sh"] }',
    '"parameters": { "block-bitmap-mapping": {} }',
  ];
  for (const members of bad) {
    it(`refuses ${members}, as the reader does`, () => {
      const text = inProfile(members);
      assert.ok(!isAccepted(text));
      assert.deepEqual(parseProfileFile(text).profiles, []);
    });
  }

  it('refuses a file of another version, and a profile without a name', () => {
    for (const text of ['{}', '{ "version": 2 }', '{ "version": 1, "profiles": { " ": {} } }']) {
      assert.ok(!isAccepted(text), text);
    }
  });
});

describe('a number with a unit in the schema', () => {
  const units: readonly Unit[] = ['bytes', 'bytes/s', 'ms', 'percent', 'MB/s', 'count', 'level'];
  const patterns = new Map(units.map((unit) => [unit, new RegExp(quantityPattern(unit, false))]));
  const matches = (unit: Unit, text: string): boolean => patterns.get(unit)?.test(text) === true;

  it('is whatever can be read, so that nothing is marked that works', () => {
    const number = fc.constantFrom('1', '64', '1.5', '.5', '0x10', '0', '1000');
    const suffix = fc.constantFrom(
      ...[
        '',
        'B',
        'b',
        'byte',
        'Bytes',
        'K',
        'k',
        'KiB',
        'kib',
        'kB',
        'MB',
        'GiB',
        'Gi',
        't',
        'EiB',
      ],
      ...[
        '/s',
        'ps',
        'B/s',
        'MiB/s',
        'MB / sec',
        'GiB/Second',
        'Mbit/s',
        'Gibit/s',
        'kbps',
        'bits/s',
      ],
      ...['us', 'µs', 'μs', 'ms', 'MSEC', 's', 'Sec', 'seconds', 'min', 'minutes', 'h', 'hours'],
      ...['%', 'percent', 'x', 'MM', 'apples', '-', 'MiB/h', 'Mb/s', 'G/s'],
    );
    const blank = fc.constantFrom('', ' ', '  ');
    fc.assert(
      fc.property(
        fc.constantFrom(...units),
        blank,
        number,
        blank,
        suffix,
        blank,
        (unit, ...parts) => {
          const text = parts.join('');
          if (parseQuantity(text, unit).ok) assert.ok(matches(unit, text), `${unit}: "${text}"`);
        },
      ),
      { numRuns: 5000 },
    );
  });

  it('is every form that values are shown in', () => {
    const value = fc.oneof(fc.bigInt(0n, 2000n), fc.bigInt(0n, 2n ** 64n - 1n));
    fc.assert(
      fc.property(fc.constantFrom(...units), value, (unit, number) => {
        assert.ok(matches(unit, editableQuantity(number, unit)));
        const shown = formatQuantity(number, unit);
        if (!shown.startsWith('≈')) assert.ok(matches(unit, shown), shown);
      }),
    );
  });

  it('is not another unit, nor no number at all', () => {
    for (const [unit, texts] of [
      ['bytes', ['1 s', '64 MiB/s', '10 %', 'much', '', '-1', '1,5 GiB', '1 apples', '8 Mbit']],
      ['bytes/s', ['1 s', '10 %', 'fast', '1 GiB/h', '-1 GiB/s', '1 GiBs']],
      ['ms', ['1 GiB', '10 %', 'soon', '1 day', '1.s', '3 m']],
      ['percent', ['1 s', '10 %%', '1 MiB']],
      ['MB/s', ['1 kB/s', '1 s']],
      ['count', ['4 MiB', '1 s', '4 %', 'four']],
    ] as const) {
      for (const text of texts) assert.ok(!matches(unit, text), `${unit}: "${text}"`);
    }
  });

  it('may be the words for no limit where 0 means that', () => {
    for (const word of ['unlimited', 'No Limit', 'none']) {
      assert.ok(parseParameter(word, parameterInfo('max-bandwidth')!).ok);
      assert.ok(isAccepted(inProfile(`"parameters": { "max-bandwidth": "${word}" }`)), word);
      assert.ok(!isAccepted(inProfile(`"parameters": { "downtime-limit": "${word}" }`)), word);
    }
  });
});
