import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'mocha';
import { pairBackendTransfer, switchRequests } from '../../src/migration/pair/backendTransferPair';
import { changeToMatch, compareMachines, type Comparison } from '../../src/migration/pair/compare';
import { settingsDocument } from '../../src/migration/pair/document';
import { suggestPartner } from '../../src/migration/pair/pairs';
import { BackendTransferError } from '../../src/migration/settings/backendTransfer';
import { applyChanges } from '../../src/migration/settings/change';
import { parseProfileFile } from '../../src/migration/profiles/profileFile';
import { startPair, type Pair, type PairOptions } from '../support/pair';

const uuid = '6f5a8cb2-52c9-4c7e-8a52-8f8a3e6a4a50';

describe('a pair of real QEMUs', () => {
  let pair: Pair | undefined;

  afterEach(async () => {
    await pair?.dispose();
    pair = undefined;
  });

  async function start(options: PairOptions): Promise<Pair> {
    pair = await startPair({ source: { guest: 'none' }, target: { guest: 'none' }, ...options });
    return pair;
  }

  function comparison({ sourceMachine, targetMachine }: Pair): Comparison {
    const found = compareMachines(sourceMachine.snapshot, targetMachine.snapshot);
    assert.ok(found);
    return found;
  }

  const names = (rows: Comparison['rows']): string[] => rows.map(({ name }) => name);

  it('of one version differs in nothing but its names, and is suggested', async () => {
    const both = { guest: 'none', uuid } as const;
    const started = await start({ version: '11.1', source: both, target: both });
    const { sourceMachine, targetMachine, registry } = started;
    assert.deepEqual(names(comparison(started).differences), ['name']);
    const all = registry.machines.map(({ snapshot }) => snapshot);
    assert.equal(suggestPartner(sourceMachine.snapshot, all), targetMachine.id);
    assert.equal(suggestPartner(targetMachine.snapshot, all), sourceMachine.id);
    const state = pairBackendTransfer(sourceMachine.snapshot, targetMachine.snapshot);
    assert.equal(state?.state, 'absent');
    assert.match(state.problems.join(), /source has no backend transfer\. It has cpr-/);
    assert.throws(() => switchRequests(sourceMachine, targetMachine, true), BackendTransferError);
  });

  for (const [version, targetVersion] of [
    ['7.2', '11.1'],
    ['11.1', '7.2'],
    ['10.0', '11.1'],
  ] as const) {
    it(`${version} to ${targetVersion}: differences are found, and gone once applied`, async () => {
      const started = await start({ version, targetVersion });
      const { sourceMachine, targetMachine, source } = started;
      const before = comparison(started);
      assert.deepEqual(names(before.problems), ['machine type'], 'fresh ones differ in this alone');
      assert.ok(names(before.differences).includes('version'));

      const parameters = {
        'max-bandwidth': 2 ** 53 + 2,
        'downtime-limit': 123,
        'multifd-channels': 7,
        'multifd-compression': 'zlib',
        'cpu-throttle-tailslow': true,
        'tls-creds': 'tls0',
        'block-bitmap-mapping': [{ 'node-name': 'n', alias: 'a', bitmaps: [] }],
      };
      const capabilities = ['multifd', 'return-path', 'events'];
      await source.probe('migrate-set-parameters', parameters);
      await source.probe('migrate-set-capabilities', {
        capabilities: capabilities.map((capability) => ({ capability, state: true })),
      });
      await sourceMachine.refresh();
      const found = comparison(started);
      for (const name of [...Object.keys(parameters), ...capabilities]) {
        assert.ok(names(found.differences).includes(name), name);
      }
      assert.deepEqual(names(found.problems).sort(), [
        'machine type',
        'multifd',
        'multifd-channels',
        'multifd-compression',
      ]);

      const match = changeToMatch(sourceMachine.snapshot, targetMachine.snapshot);
      await applyChanges([{ machine: targetMachine, change: match.change }]);
      const after = comparison(started);
      // With multifd on at both sides QEMU compares the UUIDs, and these two have their own.
      assert.deepEqual(names(after.problems), ['machine type', 'uuid']);
      const left = changeToMatch(sourceMachine.snapshot, targetMachine.snapshot);
      assert.deepEqual(left.change, { parameters: {}, capabilities: {} });
      const settings = after.differences.filter(({ kind }) => kind !== 'identity');
      assert.deepEqual(names(settings).sort(), left.skipped.map(({ name }) => name).sort());
      for (const { source: from, target: to } of settings) {
        assert.ok(from.state === 'absent' || to.state === 'absent');
      }
    });

    it(`${version} and ${targetVersion}: documents meet line by line, as a profile takes them`, async () => {
      const { sourceMachine, targetMachine } = await start({ version, targetVersion });
      const sides = [
        [sourceMachine.snapshot, targetMachine.snapshot],
        [targetMachine.snapshot, sourceMachine.snapshot],
      ] as const;
      const texts = sides.map(([one, other]) => settingsDocument(one, other));
      const [left = [], right = []] = texts.map((text) => text.split('\n').slice(2));
      assert.equal(left.length, right.length);
      for (const [index, line] of left.entries()) {
        const other = right[index] ?? '';
        assert.ok(
          line === other || /not in this QEMU$/.test(line) !== /not in this QEMU$/.test(other),
          line,
        );
      }
      for (const text of texts) {
        const file = `{ "version": 1, "profiles": { "pasted": ${text} } }`;
        assert.deepEqual(parseProfileFile(file).problems, []);
      }
    });
  }
});
