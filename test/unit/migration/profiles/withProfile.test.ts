import assert from 'node:assert/strict';
import { parse, type ParseError } from 'jsonc-parser';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import {
  parseProfileFile,
  ProfileFileError,
  withProfile,
  type NewProfile,
} from '../../../../src/migration/profiles/profileFile';

const fast: NewProfile = {
  name: 'fast',
  description: 'Fast link',
  settings: {
    backendTransfer: true,
    parameters: { 'max-bandwidth': 2n ** 64n - 1n, 'downtime-limit': '0.3 s' },
    capabilities: { multifd: true },
  },
};

const fastText = `"fast": {
      "description": "Fast link",
      "backendTransfer": true,
      "parameters": {
        "max-bandwidth": 18446744073709551615,
        "downtime-limit": "0.3 s"
      },
      "capabilities": {
        "multifd": true
      }
    }`;

function refusal(text: string, profile: NewProfile = fast): ProfileFileError {
  try {
    withProfile(text, profile, 'lab.qemu-migration.json');
  } catch (error) {
    assert.ok(error instanceof ProfileFileError, String(error));
    return error;
  }
  throw new Error('It was written.');
}

describe('a profile written into a file', () => {
  it('makes the file where there is none, or an empty one', () => {
    const expected = `{
  "version": 1,
  "profiles": {
    ${fastText}
  }
}
`;
    assert.equal(withProfile(undefined, fast), expected);
    assert.equal(withProfile(' \n', fast), expected);
  });

  it('has sides and optional names where they say something', () => {
    const none = { parameters: {}, capabilities: {} };
    const text = withProfile(undefined, {
      name: 'x',
      description: undefined,
      settings: none,
      source: { parameters: { 'tls-creds': null }, capabilities: {} },
      target: none,
      optional: new Set(['tls-creds']),
    });
    assert.deepEqual(parse(text), {
      version: 1,
      profiles: { x: { source: { parameters: { 'tls-creds': null } }, optional: ['tls-creds'] } },
    });
  });

  it('comes after those that are there, whose comments and layout stay', () => {
    const before = `// Ours
{
  "version": 1,   // the first
  "profiles": {
    /* slow */ "slow": { "capabilities": {"xbzrle" : true} } // for the old link
    // none so far for the new one
  }
  // the end
}
`;
    assert.equal(
      withProfile(before, fast),
      before.replace(
        '} } // for the old link\n',
        () => `} }, // for the old link\n    ${fastText}\n`,
      ),
    );
  });

  it('keeps a comma at the end where lists end so', () => {
    const before = '{\n  "version": 1,\n  "profiles": {\n    "slow": {}, // old\n  },\n}\n';
    assert.equal(
      withProfile(before, fast),
      `{\n  "version": 1,\n  "profiles": {\n    "slow": {}, // old\n    ${fastText},\n  },\n}\n`,
    );
  });

  it('is placed right after a comma that stands on a line of its own', () => {
    const before = '{\n  "version": 1,\n  "profiles": {\n    "slow": {} // old\n    ,\n  }\n}\n';
    const after = withProfile(before, fast);
    assert.ok(after.startsWith(before.slice(0, before.indexOf(',\n  }'))));
    assert.deepEqual(
      parseProfileFile(after).profiles.map(({ name }) => name),
      ['slow', 'fast'],
    );
  });

  it('takes the indentation and the line ends of the file', () => {
    const text = withProfile('{\r\n\t"version": 1,\r\n\t"profiles": {}\r\n}', {
      ...fast,
      settings: { parameters: { mode: 'normal' }, capabilities: {} },
    });
    assert.equal(
      text,
      [
        '{',
        '\t"version": 1,',
        '\t"profiles": {',
        '\t\t"fast": {',
        '\t\t\t"description": "Fast link",',
        '\t\t\t"parameters": {',
        '\t\t\t\t"mode": "normal"',
        '\t\t\t}',
        '\t\t}',
        '\t}',
        '}',
      ].join('\r\n'),
    );
  });

  it('keeps the comments of an empty list of profiles, and adds a list that is missing', () => {
    const empty = withProfile('{ "version": 1, "profiles": { // none\n } }', fast);
    assert.match(empty, /\{ \/\/ none\n\s*"fast": \{/);
    assert.deepEqual(
      parseProfileFile(empty).profiles.map(({ name }) => name),
      ['fast'],
    );
    const missing = withProfile('{\n  "version": 1 // the first\n}\n', fast);
    assert.equal(
      missing,
      `{\n  "version": 1, // the first\n  "profiles": {\n    ${fastText}\n  }\n}\n`,
    );
  });

  it('replaces the one of its name, in its place', () => {
    const before = `{
  "version": 1,
  "profiles": {
    // first
    "fast": { "backendTransfer": false }, // was slow
    "other": {}
  }
}
`;
    assert.equal(
      withProfile(before, fast),
      before.replace('"fast": { "backendTransfer": false }', () => fastText),
    );
  });

  it('replaces one that has errors, next to another that has', () => {
    const before = '{ "version": 1, "profiles": { "fast": { "x": 1 }, "bad": 1 } }';
    const after = withProfile(before, fast);
    assert.deepEqual(
      parseProfileFile(after).profiles.map(({ name }) => name),
      ['fast'],
    );
    assert.match(after, /"bad": 1 \} \}$/);
  });

  it('is not written into a file that cannot be read, or is of another version', () => {
    for (const [text, message] of [
      ['{ "version": 1, ', /value|name|brace/],
      ['{ "version": 2 }', /newer version/],
      ['[]', /must be an object/],
      ['{ "version": 1, "profiles": 1 }', /"profiles" must be an object/],
      ['{ "version": 1, "profiles": {}, "profiles": {} }', /"profiles" is here twice/],
    ] as const) {
      const error = refusal(text);
      assert.equal(error.path, 'lab.qemu-migration.json');
      assert.match(error.message, message);
      assert.ok(error.problems.length > 0);
    }
  });

  it('is not written when it would not be read', () => {
    const text = '{ "version": 1, "profiles": {} }';
    assert.match(refusal(text, { ...fast, name: ' ' }).message, /needs a name/);
    const settings = { parameters: { 'cpr-exec-command': ['x'] }, capabilities: {} };
    assert.match(refusal(text, { ...fast, settings }).message, /must not carry it/);
    const twice = '{ "version": 1, "profiles": { "fast": {}, "fast": {} } }';
    assert.match(refusal(twice).message, /two profiles "fast"/);
  });

  it('reads back as what was written, and leaves all else alone', () => {
    const file = fc.array(
      fc.constantFrom(
        '"a": {}',
        '"b": { "capabilities": { "events": true } }',
        '"c": {\n "description": "//, {"\n}',
      ),
      { maxLength: 3 },
    );
    const between = fc.constantFrom('', ' ', '\n', '\n  // x, y\n', ' /* , */ ', ' // }\n', '\r\n');
    const name = fc
      .string({ unit: 'grapheme', minLength: 1 })
      .filter((each) => each.trim() === each && !['a', 'b', 'c'].includes(each));
    fc.assert(
      fc.property(
        file.map((list) => [...new Set(list)]),
        between,
        between,
        fc.boolean(),
        name,
        (members, before, after, trailing, fresh) => {
          const comma = trailing && members.length > 0 ? `,${after}` : '';
          const list = members.join(`${after},${before}`);
          const text = `{${before}"version": 1,"profiles": {${before}${list}${after}${comma}}${after}}`;
          const written = withProfile(text, { ...fast, name: fresh });
          const errors: ParseError[] = [];
          parse(written, errors, { allowTrailingComma: true });
          assert.deepEqual(errors, [], written);
          const read = parseProfileFile(written);
          const was = parseProfileFile(text);
          assert.deepEqual(read.problems, []);
          assert.deepEqual(read.profiles.slice(0, -1), was.profiles);
          const added = read.profiles.at(-1);
          assert.equal(added?.name, fresh);
          assert.deepEqual(added.both.parameters, fast.settings.parameters);
          // All that was there is there still, in its order.
          let at = 0;
          for (const character of text.replaceAll(/\s/g, '')) {
            at = written.indexOf(character, at) + 1;
            assert.ok(at > 0, written);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
