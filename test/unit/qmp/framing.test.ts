import assert from 'node:assert/strict';
import fc from 'fast-check';
import { QmpProtocolError } from '../../../src/qmp/errors';
import { Framer } from '../../../src/qmp/framing';
import { stringifyJson, type JsonObject, type JsonValue } from '../../../src/qmp/json';

function frame(chunks: readonly Buffer[], maxBytes?: number): JsonValue[] {
  const values: JsonValue[] = [];
  const framer = new Framer((value) => values.push(value), maxBytes);
  for (const chunk of chunks) framer.push(chunk);
  return values;
}

/** Cuts at the given places, which may be anywhere, and more than once the same. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b);
  return [0, ...sorted].map((start, i) => bytes.subarray(start, sorted[i] ?? bytes.length));
}

function problemOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof QmpProtocolError, String(error));
    return error.problem;
  }
  return 'none';
}

const text = fc
  .string({ unit: 'binary' })
  .filter((units) => !/\p{Noncharacter_Code_Point}/u.test(units));
const message: fc.Arbitrary<JsonObject> = fc.dictionary(
  text.filter((key) => key !== '__proto__'),
  fc.letrec<{ value: JsonValue }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      text,
      fc.integer(),
      fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
      fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(
        text.filter((key) => key !== '__proto__'),
        tie('value'),
        { maxKeys: 4 },
      ),
    ),
  })).value,
  { maxKeys: 4, noNullPrototype: true },
);

/** QEMU escapes all that is not ASCII; the client reads both. */
function escapeNonAscii(json: string): string {
  return json.replace(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** As `-mon pretty=on` prints: many lines a message. */
function prettify(json: string): string {
  let inString = false;
  return json.replace(/\\.|"|[{}[\],:]/g, (token) => {
    if (token === '"') inString = !inString;
    if (inString || token.length > 1 || token === '"') return token;
    return token === ':' ? ': ' : `${token}\r\n    `;
  });
}

describe('QMP framing', () => {
  it('finds the same messages however the stream is split and printed', () => {
    fc.assert(
      fc.property(
        fc.array(message, { minLength: 1, maxLength: 6 }),
        fc.array(fc.nat()),
        fc.boolean(),
        fc.boolean(),
        fc.constantFrom('\r\n', '\n', '', ' \t\r\n\r\n'),
        (messages, places, ascii, pretty, separator) => {
          const bytes = Buffer.from(
            messages
              .map((value) => stringifyJson(value))
              .map((json) => (ascii ? escapeNonAscii(json) : json))
              .map((json) => (pretty ? prettify(json) : json) + separator)
              .join(''),
          );
          assert.deepEqual(plain(frame(cut(bytes, places))), plain(messages));
        },
      ),
    );
  });

  it('finds the same messages when every byte comes alone', () => {
    const values = [{ naïve: '日本 😀 "\\"', list: [{}, [], '}'] }, { n: 2n ** 64n - 1n }];
    const bytes = Buffer.from(values.map((value) => `${stringifyJson(value)}\r\n`).join(''));
    assert.deepEqual(frame([...bytes].map((byte) => Buffer.from([byte]))), values);
  });

  it('hands out a message before its line end has come', () => {
    assert.deepEqual(frame([Buffer.from('{"a":1}{"b"'), Buffer.from(':{}}')]), [
      { a: 1 },
      { b: {} },
    ]);
  });

  it('hands out what came before garbage, and nothing after it', () => {
    const values: JsonValue[] = [];
    const framer = new Framer((value) => values.push(value));
    assert.throws(() => framer.push(Buffer.from('{"a":1}\r\nxyz\r\n{"b":2}\r\n')));
    framer.push(Buffer.from('{"c":3}\r\n'));
    assert.deepEqual(values, [{ a: 1 }]);
  });

  for (const [name, bytes, problem] of [
    ['text', 'SSH-2.0-OpenSSH_9.2\r\n', 'garbage'],
    ['a list', '[1]\r\n', 'garbage'],
    ['a number', '42\r\n', 'garbage'],
    ['a bare word in an object', '{hello', 'garbage'],
    ['crossed brackets', '{"a":[}]\r\n', 'bad-json'],
    ['a missing comma', '{"a":1 "b":2}\r\n', 'bad-json'],
    ['a line end in a string', '{"a":"\r\n', 'bad-json'],
    [
      'bytes that are no UTF-8',
      Buffer.from([...Buffer.from('{"a":"'), 0xff, 0x22, 0x7d]),
      'bad-utf8',
    ],
    ['UTF-8 cut short', Buffer.from([...Buffer.from('{"a":"'), 0xe6, 0x22, 0x7d]), 'bad-utf8'],
    ['bottomless nesting', `{"a":${'['.repeat(5000)}`, 'bad-json'],
  ] as const) {
    it(`refuses ${name}`, () => {
      assert.equal(
        problemOf(() => frame([Buffer.from(bytes)])),
        problem,
      );
    });
  }

  it('answers any garbage with a typed error, a wait for more, or JSON objects', () => {
    const pieces = [
      '{',
      '}',
      '[',
      ']',
      '"',
      ',',
      ':',
      '\\',
      '0',
      'e',
      '-',
      'null',
      ' ',
      '\r\n',
      'é',
    ];
    const almostJson = fc.array(fc.constantFrom(...pieces));
    const bytes = fc.oneof(
      fc.uint8Array(),
      almostJson.map((parts) => Buffer.from(parts.join(''))),
    );
    fc.assert(
      fc.property(fc.array(bytes), (chunks) => {
        const values: JsonValue[] = [];
        const framer = new Framer((value) => values.push(value));
        problemOf(() => {
          for (const chunk of chunks) framer.push(Buffer.from(chunk));
        });
        assert.ok(values.every((value) => typeof value === 'object' && value !== null));
      }),
    );
  });

  it('shows a short, printable excerpt of what was wrong', () => {
    assert.throws(
      () => frame([Buffer.from(`\u0001\u0002 hello${'x'.repeat(10_000)}`)]),
      (error: QmpProtocolError) =>
        error.excerpt.startsWith('\\u0001\\u0002 hello') && error.excerpt.length < 200,
    );
  });

  it('bounds a message, in one chunk or in many, and keeps none of it', () => {
    const limit = 1024;
    const fits = Buffer.from(`{"a":"${'x'.repeat(limit - 8)}"}\r\n`);
    const tooLong = Buffer.from(`{"a":"${'x'.repeat(limit - 7)}"}\r\n`);
    assert.equal(frame([fits], limit).length, 1);
    assert.equal(
      problemOf(() => frame([tooLong], limit)),
      'too-large',
    );
    assert.equal(
      problemOf(() => frame(cut(tooLong, [100, 200, 1000]), limit)),
      'too-large',
    );
    assert.equal(frame([Buffer.concat([fits, fits, fits])], limit).length, 3);
  });
});

/** Without the difference between kinds of empty prototypes. */
function plain(values: readonly JsonValue[]): string[] {
  return values.map((value) => stringifyJson(value));
}
