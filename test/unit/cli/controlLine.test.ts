import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { controlHelp } from '../../../src/cli/commands/controlHelp';
import {
  controlWords,
  lineOfRemedy,
  parseControlLine,
} from '../../../src/cli/commands/controlLine';
import { isForeground, Lines } from '../../../src/cli/lines';
import { remediesFor } from '../../../src/migration/run/pace/remedies';
import { changed, factsOf, runOf, snapshotOf } from '../migration/support';

const moving = { migration: { status: 'active' } };
const source = factsOf('11.1-stock', moving);

describe('cli controls', () => {
  for (const [id, word] of Object.entries(controlWords)) {
    if (id === 'set-parameters') continue;
    it(`takes "${word}"`, () => {
      const line = parseControlLine(` ${word.toUpperCase()} \t`, source);
      assert.ok(line.kind === 'request');
      assert.equal(line.request.id, id);
    });
  }

  it('sets what acts at once, in the units of people, also with a blank before the unit', () => {
    for (const typed of ['2GiB/s', '2 GiB/s']) {
      const line = parseControlLine(`set max-bandwidth=${typed} downtime-limit=0.6s`, source);
      assert.ok(line.kind === 'request');
      assert.ok(line.request.id === 'set-parameters');
      const { parameters } = line.request;
      assert.deepEqual(
        Object.entries(parameters).map(([name, value]) => [name, Number(value)]),
        [
          ['max-bandwidth', 2 ** 31],
          ['downtime-limit', 600],
        ],
      );
    }
  });

  const senseless: readonly [string, RegExp][] = [
    ['set', /what to set/],
    ['set max-bandwidth', /NAME=VALUE/],
    ['set max-bandwidth=fast', /max-bandwidth: /],
    ['set max-bandwith=1', /no migration parameter/],
    // Nothing of it would act on the run, and the next one would meet it.
    ['set multifd-channels=4', /no effect/],
    ['set cpr-exec-command=/bin/sh', /nothing to change/],
    ['stop the world', /no control|alone/],
    ['cancel now', /alone/],
  ];
  for (const [typed, says] of senseless) {
    it(`says what is wrong with "${typed}"`, () => {
      const line = parseControlLine(typed, source);
      assert.ok(line.kind === 'problem', JSON.stringify(line));
      assert.match(line.text, says);
    });
  }

  it('does nothing for an empty line', () => {
    assert.equal(parseControlLine('   ', source).kind, 'nothing');
  });

  it('offers for each remedy a line that it understands itself, to the same values', () => {
    const facts = changed(source, {}, { 'auto-converge': true, 'postcopy-ram': true });
    const remedies = remediesFor({
      sample: {
        ...{ atMs: 0, pass: 5, remainingBytes: 2 ** 28, expectedDowntimeMs: 1916 },
        ...{ bytesPerSecond: 2 ** 27, dirtyBytesPerSecond: 2 ** 28 },
      },
      settings: {
        ...{ downtimeLimitMs: 300, maxBandwidthBytesPerSecond: 2 ** 27 },
        ...{ switchoverBytesPerSecond: 0, autoConverge: true, maxThrottlePercent: 99 },
        ...{ throttlePercent: undefined, postcopy: true },
      },
      neededMs: 1916,
    });
    assert.equal(remedies.length, 4);
    for (const remedy of remedies) {
      const line = parseControlLine(lineOfRemedy(remedy), facts);
      assert.ok(line.kind === 'request', lineOfRemedy(remedy));
      const { request } = line;
      const parameters = request.id === 'set-parameters' ? request.parameters : {};
      assert.deepEqual(
        Object.fromEntries(Object.entries(parameters).map(([name, of]) => [name, Number(of)])),
        remedy.parameters,
      );
    }
  });

  it('explains every control, and what cannot be used now', () => {
    const record = runOf({ phase: 'transfer' });
    const told = controlHelp(record, (id) => snapshotOf(id, source)).join('\n');
    for (const word of Object.values(controlWords)) {
      assert.match(told, new RegExp(`^${word}\\b`, 'm'));
    }
    assert.match(told, /^release: .*\n(?: {4}.*\n)* {4}Not now\./m);
  });
});

describe('cli lines of stdin', () => {
  it('hears line by line, and takes the end of the input for nothing', async () => {
    const input = new PassThrough();
    const heard: string[] = [];
    const lines = new Lines({ isTTY: false, open: () => input }, (line) => heard.push(line));
    input.write('help\r\nca');
    input.write('ncel\n');
    input.end();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(heard, ['help', 'cancel']);
    lines.dispose();
  });

  it('knows whether the terminal is another program group’s', () => {
    // A name may hold blanks and parentheses.
    const stat = (group: number, foreground: number): string =>
      `7 (a ) b) S 1 ${group} 7 34816 ${foreground} 4194304`;
    assert.equal(isForeground(stat(7, 7)), true);
    assert.equal(isForeground(stat(7, 9)), false);
    assert.equal(isForeground(stat(7, -1)), true);
    assert.equal(isForeground(''), true);
  });
});
