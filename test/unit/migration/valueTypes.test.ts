import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { checkValue, typeText } from '../../../src/migration/settings/valueTypes';
import { sameValue } from '../../../src/migration/settings/values';
import type { JsonValue } from '../../../src/qmp/json';
import type { SchemaMember, SchemaType } from '../../../src/qmp/schema';
import { schemaOf } from '../../support/fakeQemu';
import { builds } from '../../support/recordings';

type BuiltinJson = (SchemaType & { kind: 'builtin' })['json'];

function builtin(json: BuiltinJson, name: string = json): SchemaType {
  return { kind: 'builtin', json, name };
}

const text = builtin('string', 'str');
const nothing = builtin('null');
const integer = builtin('int');
const bool = builtin('boolean', 'bool');

function listOf(element: SchemaType): SchemaType {
  return { kind: 'array', element };
}

function either(...members: SchemaType[]): SchemaType {
  return { kind: 'alternate', members };
}

function choice(...names: string[]): SchemaType {
  return { kind: 'enum', values: names.map((name) => ({ name, features: [] })) };
}

function member(name: string, type: SchemaType, optional = false): SchemaMember {
  return { name, type, optional, features: [] };
}

function objectWith(...members: SchemaMember[]): SchemaType {
  return { kind: 'object', members };
}

function argument(name: string): SchemaType {
  const found = schemaOf('local').argument('migrate-set-parameters', name);
  assert.ok(found, name);
  return found.type;
}

describe('a value for a type', () => {
  const mapping = argument('block-bitmap-mapping');
  const stringOrNull = argument('tls-creds');
  const entry = { alias: 'a', 'node-name': 'n', bitmaps: [{ name: 'b', alias: 'c' }] };

  const right: readonly (readonly [string, SchemaType, JsonValue])[] = [
    ['an empty list', mapping, []],
    ['nested objects, optional members left out', mapping, [entry]],
    [
      'nested objects, optional members given',
      mapping,
      [{ ...entry, bitmaps: [{ name: 'b', alias: 'c', transform: { persistent: true } }] }],
    ],
    ['one side of an alternate', stringOrNull, 'tls0'],
    ['the other side of an alternate', stringOrNull, null],
    ['a value of an enumeration', argument('mode'), 'cpr-exec'],
    ['a list of texts', argument('cpr-exec-command'), ['/bin/qemu', '']],
    ['a bigint', integer, 2n ** 64n - 1n],
    ['a negative integer', integer, -(2n ** 63n)],
    ['a fraction where numbers are', builtin('number'), 0.5],
    ['anything where anything is', builtin('value', 'any'), { a: [null, 2n ** 70n] }],
    ['an object where any is', builtin('object'), {}],
    ['the edges of uint8', builtin('int', 'uint8'), 255],
  ];
  for (const [what, type, value] of right) {
    it(`may be ${what}`, () => {
      assert.equal(checkValue(type, value), undefined);
    });
  }

  const wrong: readonly (readonly [SchemaType, JsonValue, string])[] = [
    [mapping, {}, 'The value must be a list, not an object.'],
    [mapping, [7], '[0] must be an object, not a number.'],
    [mapping, [entry, { 'node-name': 'n', bitmaps: [] }], '[1].alias is missing.'],
    [
      mapping,
      [
        {
          ...entry,
          bitmaps: [
            { name: 'b', alias: 'c' },
            { name: 4, alias: 'c' },
          ],
        },
      ],
      '[0].bitmaps[1].name must be a text, not a number.',
    ],
    [
      mapping,
      [{ ...entry, bitmaps: [{ name: 'b', alias: 'c', transform: { persistent: 'on' } }] }],
      '[0].bitmaps[0].transform.persistent must be true or false, not a text.',
    ],
    [mapping, [{ ...entry, aliass: 'x' }], '[0].aliass is unknown; did you mean alias?'],
    [
      mapping,
      [{ ...entry, whatever: 1 }],
      '[0].whatever is unknown; known here: node-name, alias, bitmaps.',
    ],
    [
      mapping,
      [{ ...entry, constructor: 1 }],
      '[0].constructor is unknown; known here: node-name, alias, bitmaps.',
    ],
    [stringOrNull, 5, 'The value must be a text or null, not a number.'],
    [stringOrNull, ['a'], 'The value must be a text or null, not a list.'],
    [choice('none', 'zlib'), 'rar', 'The value must be one of none, zlib, not "rar".'],
    [choice('none', 'zlib'), null, 'The value must be one of none, zlib, not null.'],
    [listOf(choice('a', 'b')), ['a', 'A'], '[1] must be one of a, b, not "A".'],
    [bool, 1, 'The value must be true or false, not a number.'],
    [integer, true, 'The value must be a whole number, not true.'],
    [integer, 1.5, 'The value must be a whole number, not 1.5.'],
    [
      integer,
      2n ** 64n,
      'The value must be between -9223372036854775808 and 18446744073709551615, not 18446744073709551616.',
    ],
    [builtin('int', 'uint8'), 256, 'The value must be between 0 and 255, not 256.'],
    [builtin('int', 'uint8'), -1, 'The value must be between 0 and 255, not -1.'],
    [builtin('int', 'int16'), -32769, 'The value must be between -32768 and 32767, not -32769.'],
    [builtin('int', 'size'), -1n, 'The value must be between 0 and 18446744073709551615, not -1.'],
    [text, '\ud800', 'The value cannot be sent to QEMU: Text with half a surrogate pair.'],
    [builtin('value', 'any'), [Number.NaN], 'The value cannot be sent to QEMU: JSON has no NaN.'],
  ];
  for (const [type, value, problem] of wrong) {
    it(`is refused: ${problem}`, () => {
      assert.equal(checkValue(type, value), problem);
    });
  }

  it('is checked against the branch that its discriminator names', () => {
    const netdev = schemaOf('local').argumentType('netdev_add');
    assert.ok(netdev);
    assert.equal(checkValue(netdev, { type: 'tap', id: 'n', ifname: 'tap0' }), undefined);
    assert.match(
      checkValue(netdev, { type: 'user', id: 'n', ifname: 'tap0' }) ?? '',
      /^ifname is unknown; /,
    );
    assert.match(checkValue(netdev, { type: 'rocket', id: 'n' }) ?? '', /^type must be one of /);
    assert.equal(checkValue(netdev, { type: 'tap' }), 'id is missing.');
  });

  it('may be of a type that holds itself, to a depth that no person writes', () => {
    const tree: SchemaType = {
      kind: 'object',
      get members() {
        return [member('child', either(tree, nothing), true)];
      },
    };
    const deep = (levels: number): JsonValue => (levels === 0 ? {} : { child: deep(levels - 1) });
    assert.equal(checkValue(tree, deep(20)), undefined);
    assert.match(checkValue(tree, deep(900)) ?? '', /nested too deeply\.$/);
    const circle: SchemaType = {
      kind: 'alternate',
      get members() {
        return [circle, circle, text];
      },
    };
    assert.equal(checkValue(circle, 'a'), undefined);
    assert.equal(checkValue(circle, 1), 'The value must be a text, not a number.');
    assert.equal(typeText(circle), 'text');
    assert.equal(typeText(tree), 'object optionally child');
  });

  it('is right or wrong in one whole sentence, whatever it is, and never throws', () => {
    const types = builds.flatMap((build) =>
      schemaOf(build)
        .arguments('migrate-set-parameters')
        .map(({ type }) => type),
    );
    fc.assert(
      fc.property(fc.constantFrom(...types), fc.jsonValue(), (type, value) => {
        const problem = checkValue(type, value as JsonValue);
        assert.match(problem ?? 'Fine.', /^[^\n]+[.?]$/);
      }),
    );
  });
});

describe('a type in words', () => {
  const cases: readonly (readonly [SchemaType, string])[] = [
    [argument('max-bandwidth'), 'whole number'],
    [argument('direct-io'), 'on or off'],
    [argument('tls-creds'), 'text or null'],
    [argument('cpr-exec-command'), 'list of texts'],
    [argument('block-bitmap-mapping'), 'list of objects with node-name, alias, bitmaps'],
    [argument('zero-page-detection'), 'one of none, legacy, multifd'],
    [listOf(choice('a', 'b')), 'list of values out of a, b'],
    [listOf(listOf(integer)), 'list of lists of whole numbers'],
    [listOf(either(text, bool)), 'list of texts or true or false'],
    [objectWith(member('a', text), member('b', text, true)), 'object with a, optionally b'],
    [objectWith(), 'object'],
    [builtin('value', 'any'), 'any value'],
  ];
  for (const [type, words] of cases) {
    it(`is "${words}"`, () => {
      assert.equal(typeText(type), words);
    });
  }
});

describe('two values', () => {
  const same: readonly (readonly [JsonValue | undefined, JsonValue | undefined])[] = [
    [1, 1n],
    [2 ** 53, 2n ** 53n],
    [0.5, 0.5],
    [undefined, undefined],
    [null, null],
    ['', ''],
    [[], []],
    [
      { a: 1, b: [2n] },
      { b: [2], a: 1n },
    ],
  ];
  const different: readonly (readonly [JsonValue | undefined, JsonValue | undefined])[] = [
    [2 ** 53, 2n ** 53n + 1n],
    [0, 0.5],
    [0, false],
    [0, ''],
    [null, undefined],
    [null, ''],
    [[], {}],
    [['a'], ['a', 'b']],
    [{ a: 1 }, { b: 1 }],
    [{ a: 1 }, { a: 1, b: 2 }],
    [{}, { constructor: 1 }],
    ['1', 1],
  ];
  it('are one by what they say, however their numbers are kept', () => {
    for (const [a, b] of same) assert.ok(sameValue(a, b) && sameValue(b, a), inspect(a));
  });
  it('differ else', () => {
    for (const [a, b] of different) assert.ok(!sameValue(a, b) && !sameValue(b, a), inspect(a));
  });
});
