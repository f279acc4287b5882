import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { parseProfileFile } from '../../../../src/migration/profiles/profileFile';
import type { Profile, ProfileProblem } from '../../../../src/migration/profiles/types';

const example = `// Ours
{
  "version": 1,
  "profiles": {
    "lab-fast": {
      "description": "Fast link between lab hosts", // for now
      "backendTransfer": true,
      "parameters": { "max-bandwidth": "2 GiB/s", "downtime-limit": "0.3 s", "multifd-channels": 4 },
      "capabilities": { "multifd": true },
      "source": { "parameters": { "x-checkpoint-delay": 18446744073709551 }, "capabilities": {} },
      "target": { "capabilities": { "events": false } },
      "optional": ["multifd", "backendTransfer"],
    },
    "empty": {},
  },
}
`;

/** A file with one profile "p" of these members. */
function inProfile(members: string): string {
  return `{ "version": 1, "profiles": { "p": { ${members} }, "good": {} } }`;
}

function only(text: string): ProfileProblem {
  const { problems } = parseProfileFile(text);
  assert.equal(problems.length, 1, JSON.stringify(problems));
  return problems[0]!;
}

/** The problem of a text, as severity, the text that it points at, and its message. */
function told(text: string): [string, string, string][] {
  return parseProfileFile(text).problems.map(({ severity, offset, length, message }) => [
    severity,
    text.slice(offset, offset + length),
    message,
  ]);
}

function usable(text: string): string[] {
  return parseProfileFile(text).profiles.map(({ name }) => name);
}

describe('a profile file', () => {
  it('may have comments and commas at the ends, and gives its profiles', () => {
    const none = { parameters: {}, capabilities: {} };
    const { profiles, problems } = parseProfileFile(
      example.replace('18446744073709551', '2000000'),
    );
    assert.deepEqual(problems, []);
    const [fast, empty] = profiles;
    const expected: Profile = {
      name: 'lab-fast',
      description: 'Fast link between lab hosts',
      origin: 'file',
      backendTransfer: true,
      both: {
        parameters: {
          'max-bandwidth': '2 GiB/s',
          'downtime-limit': '0.3 s',
          'multifd-channels': 4,
        },
        capabilities: { multifd: true },
      },
      source: { parameters: { 'x-checkpoint-delay': 2000000 }, capabilities: {} },
      target: { parameters: {}, capabilities: { events: false } },
      optional: new Set(['multifd', 'backendTransfer']),
    };
    assert.deepEqual(fast, expected);
    assert.deepEqual(empty, {
      name: 'empty',
      description: undefined,
      origin: 'file',
      backendTransfer: undefined,
      both: none,
      source: none,
      target: none,
      optional: new Set(),
    });
  });

  it('keeps integers that a double cannot hold', () => {
    const { profiles } = parseProfileFile(
      inProfile('"parameters": { "max-bandwidth": 9007199254740993, "downtime-limit": 1e3 }'),
    );
    assert.deepEqual(profiles[0]?.both.parameters, {
      'max-bandwidth': 9007199254740993n,
      'downtime-limit': 1000,
    });
  });

  it('takes a name such as __proto__ for a name', () => {
    const { profiles } = parseProfileFile(
      inProfile('"parameters": { "__proto__": 1, "constructor": 2 }'),
    );
    assert.deepEqual(Object.entries(profiles[0]?.both.parameters ?? {}), [
      ['__proto__', 1],
      ['constructor', 2],
    ]);
  });

  it('tells line and column as people count them, whatever ends the lines', () => {
    for (const newline of ['\n', '\r\n', '\r']) {
      const text = ['{', '  "version": 1,', '  "profiles": []', '}'].join(newline);
      const { line, column, offset, length } = only(text);
      assert.deepEqual([line, column, text.slice(offset, offset + length)], [3, 15, '[]']);
    }
    const { line, column } = only('\uFEFF{ "version": 2 }');
    assert.deepEqual([line, column], [1, 14]);
  });

  it('with a byte order mark is read like any other', () => {
    assert.deepEqual(usable(`\uFEFF${inProfile('')}`), ['p', 'good']);
  });
});

describe('a file that cannot be read as a whole gives no profile', () => {
  const cases: readonly (readonly [text: string, at: string, message: RegExp])[] = [
    ['', '', /file is empty.*"version": 1/],
    [' \n', ' ', /file is empty/],
    ['[]', '[]', /file must be an object/],
    ['{}', '{', /no "version".*Add "version": 1/],
    ['{ "version": "1" }', '"1"', /"version" must be 1/],
    ['{ "version": 0 }', '0', /"version" must be 1/],
    ['{ "version": 2, "profiles": 7 }', '2', /newer version of this extension.*Update/],
    ['{ "version": 1, "profiles": [] }', '[]', /"profiles" must be an object/],
    ['{ "version": 1, "profiles": { "a": {}', '', /closing brace/],
    ['{ "version": 1 "profiles": {} }', '"profiles"', /comma is expected/],
    ['{ "version": 1, "profiles": { "a" {} } }', '{', /colon is expected/],
    ["{ 'version': 1 }", "'version'", /not JSON.*double quotes/],
    ['{ "version": 1, "profiles": { "a } }', '"a } }', /double quote is missing/],
    ['{ "version": 1, "profiles": } }', '}', /value is expected/],
    ['{ "version": 1 } 2', '2', /should end here/],
    ['{ "version": 1 /* }', '/* }', /comment has no end/],
    ['{ "version": 1, "a": "\\q" }', '"\\q"', /escape is unknown/],
  ];
  for (const [text, at, message] of cases) {
    it(JSON.stringify(text), () => {
      const found = told(text);
      const [severity, place, words] = found.find((each) => message.test(each[2])) ?? [];
      assert.equal(severity, 'error', JSON.stringify(found));
      assert.equal(place, at);
      assert.match(words ?? '', message);
      assert.deepEqual(usable(text), []);
    });
  }

  it('too large or nested too deeply', () => {
    assert.match(only(' '.repeat(2 ** 20 + 1)).message, /too large/);
    assert.match(only('{"a":'.repeat(100_000)).message, /nested too deeply/);
    const deep = '['.repeat(100) + ']'.repeat(100);
    const { profiles, problems } = parseProfileFile(inProfile(`"parameters": { "x": ${deep} }`));
    assert.match(problems[0]?.message ?? '', /nested too deeply/);
    assert.deepEqual(
      profiles.map(({ name }) => name),
      ['good'],
    );
  });
});

describe('a profile that is wrong is not used, and the others are', () => {
  const cases: readonly (readonly [members: string, at: string, message: RegExp])[] = [
    ['"parameter": {}', '"parameter"', /Did you mean "parameters"\?/],
    ['"colour": {}', '"colour"', /not known here. Known are: description, backendTransfer/],
    ['"source": { "optional": [] }', '"optional"', /Known are: parameters, capabilities/],
    ['"parameters": []', '[]', /"parameters" must be an object/],
    ['"target": true', 'true', /"target" must be an object/],
    ['"capabilities": { "multifd": "on" }', '"on"', /"multifd" must be true or false/],
    ['"capabilities": { "events": 1 }', '1', /"events" must be true or false/],
    ['"description": 1', '1', /"description" must be a text/],
    ['"backendTransfer": "yes"', '"yes"', /"backendTransfer" must be true or false/],
    ['"optional": "multifd"', '"multifd"', /"optional" must be a list/],
    ['"parameters": { "downtime-limit": "3 apples" }', '"3 apples"', /downtime-limit.*"apples"/],
    ['"parameters": { "downtime-limit": 2000001 }', '2000001', /between 0 ms and 2000 s/],
    ['"parameters": { "downtime-limit": "1 h" }', '"1 h"', /between 0 ms and 2000 s/],
    ['"parameters": { "downtime-limit": 0.3 }', '0.3', /whole number.*such as "300 ms"/],
    ['"parameters": { "downtime-limit": true }', 'true', /whole number/],
    ['"parameters": { "max-bandwidth": -1 }', '-1', /cannot be negative/],
    [
      '"parameters": { "max-bandwidth": 18446744073709551616 }',
      '18446744073709551616',
      /more than/,
    ],
    ['"parameters": { "max-bandwidth": "100 Mb/s" }', '"100 Mb/s"', /bits or bytes/],
    ['"parameters": { "xbzrle-cache-size": "60 MiB" }', '"60 MiB"', /power of two/],
    ['"parameters": { "mode": "cpr-tranfer" }', '"cpr-tranfer"', /Did you mean "cpr-transfer"\?/],
    ['"parameters": { "direct-io": 1 }', '1', /"direct-io" must be true or false/],
    ['"parameters": { "tls-creds": 1 }', '1', /"tls-creds" must be a text in quotes, or null/],
    ['"parameters": { "block-bitmap-mapping": {} }', '{}', /must be a list/],
    ['"parameters": { "cpr-exec-command": [] }', '"cpr-exec-command"', /must not carry it/],
    [
      '"source": { "parameters": { "cpr-exec-command": ["x"] } }',
      '"cpr-exec-command"',
      /QEMU runs/,
    ],
    ['"parameters": { "local": 1 }', '1', /"local" must be true or false/],
    ['"backendTransfer": true, "parameters": { "local": true }', '"local"', /sets "local" already/],
    [
      '"backendTransfer": false, "target": { "parameters": { "backend-transfer": ["a"] } }',
      '"backend-transfer"',
      /sets "backend-transfer" already/,
    ],
    ['"description": "a", "description": "b"', '"description"', /"description" is here twice/],
    [
      '"parameters": { "block-bitmap-mapping": [{ "alias": 1, "alias": 2 }] }',
      '"alias"',
      /"alias" is here twice/,
    ],
  ];
  for (const [members, at, message] of cases) {
    it(members, () => {
      const text = inProfile(members);
      const [[severity, place, words] = [], ...more] = told(text);
      assert.deepEqual(more, []);
      assert.deepEqual([severity, place], ['error', at]);
      assert.match(words ?? '', message);
      assert.deepEqual(usable(text), ['good']);
      assert.equal(parseProfileFile(text).problems[0]?.profile, 'p');
    });
  }

  it('that is no object', () => {
    const text = '{ "version": 1, "profiles": { "p": 1, "good": {} } }';
    assert.match(only(text).message, /profile "p" must be an object/);
    assert.deepEqual(usable(text), ['good']);
  });

  it('that has no name, or blanks around it', () => {
    const text = '{ "version": 1, "profiles": { "": {}, " a": {}, "good": {} } }';
    assert.deepEqual(
      told(text).map(([severity, at]) => [severity, at]),
      [
        ['error', '""'],
        ['error', '" a"'],
      ],
    );
    assert.deepEqual(usable(text), ['good']);
  });

  it('that is there twice', () => {
    const text = '{ "version": 1, "profiles": { "p": {}, "good": {}, "p": {} } }';
    const { message, offset, profile } = only(text);
    assert.match(message, /two profiles "p"/);
    assert.equal(profile, 'p');
    assert.equal(offset, text.lastIndexOf('"p"'));
    assert.deepEqual(usable(text), ['good']);
  });
});

describe('a profile is used, with a warning', () => {
  const cases: readonly (readonly [members: string, at: string, message: RegExp])[] = [
    ['"parameters": { "max-bandwith": 1 }', '"max-bandwith"', /Did you mean "max-bandwidth"\?/],
    ['"parameters": { "of-tomorrow": [1] }', '"of-tomorrow"', /It is used where a QEMU has it/],
    ['"capabilities": { "multi-fd": true }', '"multi-fd"', /Did you mean "multifd"\?/],
    ['"parameters": { "multifd": true }', '"multifd"', /It belongs under "capabilities"/],
    ['"capabilities": { "mode": true }', '"mode"', /It belongs under "parameters"/],
    [
      '"capabilities": { "multifd": true }, "optional": ["multfd"]',
      '"multfd"',
      /not set by this profile.*Did you mean "multifd"\?/,
    ],
    ['"optional": ["backendTransfer"]', '"backendTransfer"', /not set by this profile/],
  ];
  for (const [members, at, message] of cases) {
    it(members, () => {
      const text = inProfile(members);
      const [[severity, place, words] = [], ...more] = told(text);
      assert.deepEqual(more, []);
      assert.deepEqual([severity, place], ['warning', at]);
      assert.match(words ?? '', message);
      assert.deepEqual(usable(text), ['p', 'good']);
    });
  }

  it('when the file has more in it than is known here', () => {
    const text = '{ "version": 1, "profile": {}, "profiles": { "p": {} } }';
    assert.deepEqual(told(text), [
      ['warning', '"profile"', '"profile" is not known here. Did you mean "profiles"?'],
    ]);
    assert.deepEqual(usable(text), ['p']);
    assert.deepEqual(told('{ "$schema": "x", "version": 1 }'), []);
  });
});

describe('any text at all', () => {
  const holds = (text: string): void => {
    const { problems, profiles } = parseProfileFile(text);
    let before = 0;
    for (const { offset, length, line, column, message } of problems) {
      assert.ok(offset >= before && length >= 0 && offset + length <= text.length, text);
      assert.ok(line >= 1 && column >= 1 && column <= text.length + 1, text);
      assert.match(message, /[.?}]$/);
      before = offset;
    }
    const failed = new Set(
      problems.filter((each) => each.severity === 'error').map((p) => p.profile),
    );
    for (const { name } of profiles) assert.ok(!failed.has(name), text);
  };

  it('is read without throwing, and what is wrong lies within it', () => {
    const token = fc.oneof(
      fc.constantFrom(
        ...['{', '}', '[', ']', ':', ',', '"', '//', '/*', '*/', '\n', '\r', '\\', '-', '1e999'],
        ...[
          '"version"',
          '1',
          '"profiles"',
          '"parameters"',
          '"source"',
          '"optional"',
          'true',
          'null',
        ],
        ...['"max-bandwidth"', '"2 GiB/s"', '"multifd"', '"backendTransfer"', '\uFEFF', '\ud800'],
      ),
      fc.string({ unit: 'binary', maxLength: 3 }),
    );
    fc.assert(
      fc.property(fc.array(token), (tokens) => holds(tokens.join(''))),
      { numRuns: 2000 },
    );
    fc.assert(fc.property(fc.json(), holds));
  });

  it('that was a good file before a part of it was lost or changed', () => {
    const cut = fc.record({
      from: fc.nat(example.length),
      length: fc.nat(20),
      instead: fc.constantFrom('', '"', '{', '}', ',', '1', 'x', '\n'),
    });
    fc.assert(
      fc.property(cut, ({ from, length, instead }) =>
        holds(example.slice(0, from) + instead + example.slice(from + length)),
      ),
      { numRuns: 2000 },
    );
  });
});
