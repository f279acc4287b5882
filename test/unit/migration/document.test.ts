import assert from 'node:assert/strict';
import { parse, type ParseError } from 'jsonc-parser';
import { describe, it } from 'mocha';
import { settingsDocument } from '../../../src/migration/pair/document';
import {
  parseProfileFile,
  profileFormatVersion,
} from '../../../src/migration/profiles/profileFile';
import { describeParameters } from '../../../src/migration/settings/parameters';
import { QmpTimeoutError } from '../../../src/qmp/errors';
import type { MachineSnapshot, VmFacts } from '../../../src/vm/types';
import { builds } from '../../support/recordings';
import { changed, factsOf, snapshotOf } from './support';

const running = factsOf('local');

const isHeader = (line: string): boolean => line.startsWith('// ');
const body = (text: string): string[] => text.split('\n').filter((line) => !isHeader(line));

interface Content {
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly capabilities: Readonly<Record<string, unknown>>;
}

/** As an editor reads it: comments are fine, commas too many are not. */
function read(text: string): Content {
  const errors: ParseError[] = [];
  const value = parse(text, errors, { allowTrailingComma: false }) as Content;
  assert.deepEqual(errors, [], text);
  return value;
}

/** The lines that differ; both sides have as many. */
function differing(a: MachineSnapshot, b: MachineSnapshot): [string, string][] {
  const [left, right] = [body(settingsDocument(a, b)), body(settingsDocument(b, a))];
  read(left.join('\n'));
  read(right.join('\n'));
  assert.equal(left.length, right.length);
  return left.flatMap((line, index): [string, string][] => {
    const other = right[index] ?? '';
    return line === other ? [] : [[line.trim(), other.trim()]];
  });
}

describe('the document of a machine', () => {
  for (const build of builds) {
    it(`is JSON with comments that holds every setting on a line (${build})`, () => {
      const facts = factsOf(build);
      const text = settingsDocument(snapshotOf('a', facts));
      const { parameters, capabilities } = read(text);
      assert.deepEqual(
        Object.keys(parameters).sort(),
        Object.keys(facts.parameters)
          // QEMU executes it, so that no profile may carry it.
          .filter((name) => name !== 'cpr-exec-command')
          .sort(),
      );
      assert.deepEqual(
        Object.fromEntries(facts.capabilities.map(({ name, enabled }) => [name, enabled])),
        capabilities,
      );
      for (const { name, value } of describeParameters(facts)) {
        const found = text.split('\n').filter((line) => line.includes(`"${name}":`));
        assert.equal(found.length, 1, name);
        if (value === undefined) assert.match(found[0] ?? '', /^ +\/\/ .*: not set$/);
      }
    });
  }

  it('has parameters and capabilities as a profile takes them', () => {
    const facts = changed(running, {
      'max-bandwidth': 0,
      'cpr-exec-command': ['qemu'],
      'block-bitmap-mapping': [],
      'tls-creds': null,
    });
    const content = settingsDocument(snapshotOf('a', facts));
    const { profiles, problems } = parseProfileFile(
      `{ "version": ${profileFormatVersion}, "profiles": { "pasted": ${content} } }`,
    );
    assert.deepEqual(problems, []);
    const [pasted] = profiles;
    assert.equal(pasted?.both.parameters['max-bandwidth'], '0 B/s');
    assert.equal(pasted.both.capabilities['return-path'], false);
  });

  it('begins with who it is', () => {
    const lines = settingsDocument(snapshotOf('web-1', running)).split('\n');
    assert.deepEqual(lines.slice(0, 3), [
      '// web-1: QEMU 11.1.0, machine type pc-q35-11.1',
      '// QMP socket: /run/web-1.qmp',
      '{',
    ]);
    const odd = settingsDocument(snapshotOf('a', running, { label: 'a\n"evil": 1,\u2028x' }));
    assert.equal(read(odd).parameters['mode'], 'normal');
    assert.ok(!('evil' in read(odd)));
  });

  it('says so when it is not connected, or nothing is known of it', () => {
    const lost = settingsDocument(snapshotOf('a', running, { state: { kind: 'idle' } }));
    assert.match(lost, /^\/\/ Not connected: as last known\.$/m);
    read(lost);
    const unknown = settingsDocument(snapshotOf('a', undefined), snapshotOf('b', running));
    assert.match(unknown, /nothing is known/);
    assert.deepEqual(read(unknown), {});
    const failure = new QmpTimeoutError('query-migrate-parameters', 5000);
    const broken = { ...running, parameters: {}, failures: { parameters: failure } };
    assert.match(settingsDocument(snapshotOf('a', broken)), /"mode": could not be read/);
  });

  it('has values as people write them, exact, with what they would be by default', () => {
    const facts = changed(running, {
      'max-bandwidth': 0,
      'downtime-limit': 450,
      'xbzrle-cache-size': 2n ** 53n + 1n,
      'multifd-channels': 8,
      'cpu-throttle-initial': 30,
      'cpr-exec-command': ['qemu', '-name', 'a // b'],
      'block-bitmap-mapping': [{ 'node-name': 'n', alias: 'a // b', bitmaps: [] }],
      'x-new': 7,
    });
    const text = settingsDocument(snapshotOf('a', facts));
    for (const line of [
      '"max-bandwidth": "0 B/s", // no limit; default 128 MiB/s',
      '"downtime-limit": "450 ms", // default 300 ms',
      '"xbzrle-cache-size": 9007199254740993, // default 64 MiB',
      '"multifd-channels": 8, // default 2',
      '"cpu-throttle-initial": "30 %", // default 20 %',
      '// "cpr-exec-command": ["qemu","-name","a // b"]',
      '"block-bitmap-mapping": [{"node-name":"n","alias":"a // b","bitmaps":[]}], // default not set',
      '"announce-step": "100 ms",',
      '"x-new": 7',
    ]) {
      assert.ok(text.includes(`\n    ${line}\n`), `${line}\n${text}`);
    }
  });

  it('has the lines of all machines in one order', () => {
    const keys = (facts: VmFacts): string[] => {
      const text = settingsDocument(snapshotOf('a', facts));
      return [...text.matchAll(/^ +(?:\/\/ )?"([^"]+)": /gm)].map(([, key = '']) => key);
    };
    const [one, two] = [keys(factsOf('local')), keys(factsOf('11.1-stock'))];
    // The last of each section may be moved to where JSON needs no comma.
    const both = one.filter((key) => two.includes(key) && key !== 'x-colo');
    assert.deepEqual(
      two.filter((key) => both.includes(key)),
      both,
    );
  });
});

describe('the documents of a pair', () => {
  const other: VmFacts = { ...running, runState: { status: 'inmigrate', running: false } };

  it('of equal machines have equal bodies, whatever QEMU’s order', () => {
    const shuffled = {
      ...other,
      parameters: Object.fromEntries(Object.entries(other.parameters).reverse()),
      capabilities: other.capabilities.toReversed(),
    };
    assert.deepEqual(differing(snapshotOf('a', running), snapshotOf('b', shuffled)), []);
  });

  it('differ exactly where the settings do', () => {
    const a = changed(running, { 'max-bandwidth': 2n ** 30n, 'x-checkpoint-delay': 1 });
    const b = changed(other, { 'block-bitmap-mapping': [] }, { 'x-colo': true, events: true });
    assert.deepEqual(differing(snapshotOf('a', a), snapshotOf('b', b)), [
      ['"max-bandwidth": "1 GiB/s", // default 128 MiB/s', '"max-bandwidth": "128 MiB/s",'],
      ['// "block-bitmap-mapping": not set', '"block-bitmap-mapping": [], // default not set'],
      ['"x-checkpoint-delay": "1 ms" // default 20 s', '"x-checkpoint-delay": "20 s"'],
      ['"events": false,', '"events": true,'],
      ['"x-colo": false,', '"x-colo": true,'],
    ]);
  });

  it('do not differ where a value is equal and only the defaults are not', () => {
    const old = { ...other, version: { major: 7, minor: 2, micro: 22, package: '' } };
    assert.deepEqual(differing(snapshotOf('a', running), snapshotOf('b', old)), []);
    const nulls = changed(other, { 'tls-creds': null, 'max-bandwidth': 134217728n });
    assert.deepEqual(differing(snapshotOf('a', running), snapshotOf('b', nulls)), []);
  });

  it('name what only the other has, so that lines meet', () => {
    const [a, b] = [snapshotOf('a', running), snapshotOf('b', factsOf('11.1-stock'))];
    assert.deepEqual(differing(a, b), [
      ['"local": false,', '// "local": not in this QEMU'],
      ['// "x-rdma-chunk-size": not in this QEMU', '"x-rdma-chunk-size": "1 MiB",'],
      ['"zero-blocks": false,', '// "zero-blocks": not in this QEMU'],
    ]);
    const unknown = snapshotOf('b', undefined);
    assert.equal(settingsDocument(a, unknown), settingsDocument(a));
  });

  it('stay valid when one side has nothing in common with the other', () => {
    const none = { ...other, parameters: {}, capabilities: [] };
    const text = settingsDocument(snapshotOf('a', running), snapshotOf('b', none));
    assert.equal(read(text).parameters['multifd-channels'], 2);
    assert.deepEqual(read(settingsDocument(snapshotOf('b', none), snapshotOf('a', running))), {
      parameters: {},
      capabilities: {},
    });
  });
});
