import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseJson, stringifyJson } from '../../../src/qmp/json';

describe('QMP JSON', () => {
  it('carries every integer exactly, both ways', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }), (integer) => {
        const parsed = parseJson(`{"n":${integer}}`);
        const isSafe = integer >= -(2n ** 53n) + 1n && integer <= 2n ** 53n - 1n;
        assert.deepEqual(parsed, { n: isSafe ? Number(integer) : integer });
        assert.equal(stringifyJson(parsed), `{"n":${integer}}`);
      }),
    );
  });

  it('knows the borders', () => {
    assert.deepEqual(parseJson('[9007199254740991,9007199254740992,-9007199254740992]'), [
      9007199254740991,
      9007199254740992n,
      -9007199254740992n,
    ]);
    assert.equal(parseJson('18446744073709551615'), 18446744073709551615n);
  });

  it('leaves fractions, exponents and digits within strings alone', () => {
    assert.deepEqual(
      parseJson(
        '{"a":0.12345678901234567890,"b":1.5e300,"c":"12345678901234567890","d":12345678901234567890}',
      ),
      { a: 0.1234567890123456789, b: 1.5e300, c: '12345678901234567890', d: 12345678901234567890n },
    );
  });

  it('prints an integral double as the integer that it is, never with an exponent', () => {
    assert.equal(
      stringifyJson({ a: 2 ** 64, b: 1e21 }),
      '{"a":18446744073709551616,"b":1000000000000000000000}',
    );
    assert.equal(stringifyJson({ a: 0.5, b: 1e300 / 1e300 }), '{"a":0.5,"b":1}');
  });

  it('prints big integers deep inside, and text as JSON.stringify does', () => {
    const value = {
      list: [1n, { deep: -(2n ** 63n), text: 'é "\n\u0000😀' }],
      no: null,
      yes: true,
    };
    assert.equal(
      stringifyJson(value),
      '{"list":[1,{"deep":-9223372036854775808,"text":"é \\"\\n\\u0000😀"}],"no":null,"yes":true}',
    );
  });

  it('refuses what QEMU could not parse', () => {
    for (const value of [NaN, Infinity, '\ud800', { '\udfff': 1 }, [2n, ['\ud800']]]) {
      assert.throws(() => stringifyJson(value), TypeError);
    }
    for (const code of [0xfdd0, 0xfdef, 0xfffe, 0xffff, 0x1fffe, 0x10ffff]) {
      assert.throws(() => stringifyJson([`a${String.fromCodePoint(code)}`]), /U\+.*no character/);
    }
    assert.equal(stringifyJson('\ufdcf\ufdf0\ufffd'), '"\ufdcf\ufdf0\ufffd"');
    let deep: object = {};
    for (let i = 0; i < 5000; i++) deep = { deep };
    assert.throws(() => stringifyJson(deep as never), TypeError);
  });
});
