import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import {
  changeToMatch,
  compareMachines,
  type ComparedRow,
  type Comparison,
} from '../../../src/migration/pair/compare';
import { findObstacles } from '../../../src/migration/run/checks/checks';
import {
  allCapabilities,
  allParameters,
  parameterGroups,
} from '../../../src/migration/settings/catalogue';
import { QmpTimeoutError } from '../../../src/qmp/errors';
import type { JsonObject } from '../../../src/qmp/json';
import type { VmFacts } from '../../../src/vm/types';
import { builds, type Build } from '../../support/recordings';
import { changed, factsOf, requestOf, schemaWith, snapshotOf } from './support';

const running = factsOf('local');
const waiting = factsOf('local', { runState: { status: 'inmigrate', running: false } });

function compared(source: VmFacts, target: VmFacts): Comparison {
  const comparison = compareMachines(snapshotOf('a', source), snapshotOf('b', target));
  assert.ok(comparison);
  for (const { note, problem, equal, source: from, target: to } of comparison.rows) {
    if (note !== undefined) assert.match(note, /^[A-Z].*\.$/);
    assert.ok(!problem || note !== undefined, 'a problem says what happens');
    assert.ok(!problem || !equal);
    assert.doesNotMatch(`${note} ${from.text} ${to.text}`, /\[object|NaN/);
  }
  return comparison;
}

function row(comparison: Comparison, name: string): ComparedRow {
  const found = comparison.rows.filter((each) => each.name === name);
  assert.equal(found.length, 1, name);
  return found[0] as ComparedRow;
}

const names = (rows: readonly ComparedRow[]): string[] => rows.map(({ name }) => name);
const texts = ({ source, target }: ComparedRow): string[] => [source.text, target.text];

/** Both with their own values of the same settings. */
function settings(
  source: readonly [JsonObject, Record<string, boolean>?],
  target: readonly [JsonObject, Record<string, boolean>?],
): Comparison {
  return compared(changed(running, ...source), changed(waiting, ...target));
}

describe('the comparison of two machines', () => {
  for (const build of builds) {
    it(`has every parameter and capability once, and no difference between equals (${build})`, () => {
      const facts = factsOf(build);
      const comparison = compared(facts, factsOf(build, { runState: waiting.runState }));
      assert.deepEqual(names(comparison.differences), []);
      const shown = names(comparison.rows);
      assert.equal(new Set(shown).size, shown.length);
      const own = ['local', 'backend-transfer'];
      for (const name of Object.keys(facts.parameters)) {
        assert.equal(shown.includes(name), !own.includes(name), name);
      }
      for (const { name } of facts.capabilities) assert.ok(shown.includes(name), name);
      assert.equal(shown.includes('backend transfer'), build !== '11.1-stock');
    });
  }

  it('comes in one order: identity, backend transfer, parameters by group, capabilities', () => {
    const { rows } = compared(running, factsOf('11.1-stock'));
    const kinds = rows.map(({ kind }) => kind);
    const order = ['identity', 'backend-transfer', 'parameter', 'capability'];
    assert.deepEqual([...new Set(kinds)], order);
    assert.deepEqual(
      kinds,
      [...kinds].sort((a, b) => order.indexOf(a) - order.indexOf(b)),
    );
    const ranks = rows.flatMap(({ kind, name }) => {
      const info = allParameters.find((known) => known.name === name);
      const rank = parameterGroups.findIndex(({ id }) => id === info?.group);
      return kind === 'parameter' && info !== undefined ? [rank] : [];
    });
    assert.deepEqual(
      ranks,
      [...ranks].sort((a, b) => a - b),
    );
    assert.deepEqual(
      names(rows),
      names(compared(factsOf('11.1-stock'), running).rows),
      'from either side',
    );
  });

  it('is not there while nothing is known of one side', () => {
    const known = snapshotOf('a', running);
    assert.equal(compareMachines(known, snapshotOf('b', undefined)), undefined);
    assert.deepEqual(changeToMatch(snapshotOf('b', undefined), known), {
      change: { parameters: {}, capabilities: {} },
      skipped: [],
    });
  });

  it('reads values as people do, and tells "not set" from "not in this QEMU"', () => {
    const target = changed(factsOf('11.1-stock'), { 'max-bandwidth': 2n ** 30n });
    const comparison = compared(changed(running, { 'downtime-limit': 1500 }), target);
    assert.deepEqual(texts(row(comparison, 'max-bandwidth')), ['128 MiB/s', '1 GiB/s']);
    assert.deepEqual(texts(row(comparison, 'downtime-limit')), ['1.5 s', '300 ms']);
    assert.deepEqual(texts(row(comparison, 'x-rdma-chunk-size')), ['not in this QEMU', '1 MiB']);
    assert.equal(row(comparison, 'block-bitmap-mapping').source.state, 'not-set');
    assert.deepEqual(texts(row(comparison, 'zero-blocks')), ['off', 'not in this QEMU']);
  });

  it('knows equal numbers whether or not they fit into a double', () => {
    const comparison = settings(
      [{ 'max-bandwidth': 300n, 'xbzrle-cache-size': 2n ** 60n }],
      [{ 'max-bandwidth': 300, 'xbzrle-cache-size': 2n ** 61n }],
    );
    assert.deepEqual(names(comparison.differences), ['xbzrle-cache-size']);
  });

  it('takes null for the empty text where QEMU does', () => {
    const comparison = settings([{ 'tls-creds': null }], [{ 'tls-creds': '' }]);
    assert.deepEqual(names(comparison.differences), []);
  });

  it('calls the machine type and the memory problems, the version and the name not', () => {
    const version = { major: 7, minor: 2, micro: 22, package: '' };
    const other = { ...waiting, version, name: 'old', memoryBytes: 2 ** 30, machineType: 'pc-9' };
    const comparison = compared({ ...running, name: 'web' }, other);
    assert.deepEqual(names(comparison.problems), ['machine type', 'memory']);
    assert.deepEqual(names(comparison.differences).slice(2), ['version', 'name']);
    assert.deepEqual(texts(row(comparison, 'memory')), ['64 MiB', '1 GiB']);
    assert.match(row(comparison, 'machine type').note ?? '', /"-machine pc-q35-11\.1"/);
    assert.match(row(comparison, 'version').note ?? '', /machine type/);
  });

  it('holds nothing against a QEMU that did not tell its machine type', () => {
    const comparison = compared(running, { ...waiting, machineType: undefined });
    assert.deepEqual(names(comparison.problems), []);
    assert.deepEqual(texts(row(comparison, 'machine type')), ['pc-q35-11.1', 'not known']);
  });

  it('minds the UUID only where both sides check it', () => {
    const uuids = (on: readonly [boolean, boolean]): ComparedRow =>
      row(
        compared(
          { ...changed(running, {}, { 'validate-uuid': on[0] }), uuid: 'a' },
          { ...changed(waiting, {}, { 'validate-uuid': on[1] }), uuid: 'b' },
        ),
        'uuid',
      );
    assert.deepEqual([uuids([true, true]).problem, uuids([true, false]).problem], [true, false]);
    assert.match(uuids([true, true]).note ?? '', /refuses/);
    const multifd = row(
      compared(
        { ...changed(running, {}, { multifd: true }), uuid: 'a' },
        { ...changed(waiting, {}, { multifd: true }), uuid: undefined },
      ),
      'uuid',
    );
    assert.equal(multifd.problem, true);
    assert.match(multifd.note ?? '', /multifd.*"-uuid a"/);
  });

  it('minds multifd-channels only with multifd, and tells how it would hang', () => {
    const channels = (source: number, target: number, on: boolean): ComparedRow =>
      row(
        settings(
          [{ 'multifd-channels': source }, { multifd: on }],
          [{ 'multifd-channels': target }, { multifd: on }],
        ),
        'multifd-channels',
      );
    assert.equal(channels(2, 4, false).problem, false);
    assert.match(channels(2, 4, false).note ?? '', /multifd is off/);
    assert.equal(channels(2, 4, false).meaning, 'must-be-equal');
    assert.equal(channels(2, 4, true).problem, true);
    assert.match(channels(2, 4, true).note ?? '', /hangs.*never opens/);
    assert.match(channels(4, 2, true).note ?? '', /monitor answers no more/);
  });

  it('minds a capability that both must have by the side that has it', () => {
    const only = (name: string, side: 'source' | 'target'): ComparedRow =>
      row(settings([{}, { [name]: side === 'source' }], [{}, { [name]: side === 'target' }]), name);
    assert.match(only('multifd', 'source').note ?? '', /fails/);
    assert.match(only('multifd', 'target').note ?? '', /hangs/);
    assert.match(only('postcopy-preempt', 'target').note ?? '', /7\.2 hangs/);
    assert.match(only('switchover-ack', 'source').note ?? '', /QEMU 10 waits for ever/);
    for (const name of ['mapped-ram', 'x-ignore-shared', 'postcopy-ram']) {
      assert.match(only(name, 'source').note ?? '', /fails/);
    }
  });

  it('never makes a problem of what matters on one side, or only over rdma', () => {
    const source = Object.fromEntries(
      [...allCapabilities].flatMap(({ name, sides }) =>
        sides !== 'both-equal' || name === 'rdma-pin-all' ? [[name, true]] : [],
      ),
    );
    const comparison = settings(
      [{ 'announce-rounds': 9, 'downtime-limit': 5, 'x-rdma-chunk-size': 2 ** 21 }, source],
      [{ 'x-rdma-chunk-size': 2 ** 20 }],
    );
    assert.deepEqual(names(comparison.problems), []);
    assert.equal(row(comparison, 'return-path').meaning, 'source-only');
    assert.equal(row(comparison, 'announce-rounds').meaning, 'target-only');
    assert.match(row(comparison, 'downtime-limit').note ?? '', /source/);
    assert.match(row(comparison, 'rdma-pin-all').note ?? '', /rdma:/);
  });

  it('takes a capability that one QEMU has not for off, and says so', () => {
    const without = (facts: VmFacts): VmFacts => ({
      ...facts,
      capabilities: facts.capabilities.filter(({ name }) => name !== 'mapped-ram'),
    });
    const off = row(compared(running, without(waiting)), 'mapped-ram');
    assert.deepEqual([off.equal, off.problem], [true, false]);
    assert.match(off.note ?? '', /same/);
    const on = row(
      compared(changed(running, {}, { 'mapped-ram': true }), without(waiting)),
      'mapped-ram',
    );
    assert.deepEqual([on.equal, on.problem, on.target.state], [false, true, 'absent']);
  });

  it('minds a parameter that one QEMU has not only when the other needs it', () => {
    const parameters = Object.fromEntries(
      Object.entries(waiting.parameters).filter(([name]) => name !== 'multifd-compression'),
    );
    // A QEMU before 5.0.
    const old = { ...waiting, parameters, schema: without(waiting.schema) };
    const compression = (value: string, multifd: boolean): ComparedRow => {
      const source = changed(running, { 'multifd-compression': value }, { multifd });
      return row(compared(source, changed(old, {}, { multifd })), 'multifd-compression');
    };
    assert.equal(compression('zstd', true).problem, true);
    assert.equal(compression('none', true).problem, false);
    assert.equal(compression('zstd', false).problem, false);

    function without(schema: VmFacts['schema']): VmFacts['schema'] {
      return Object.assign(Object.create(schema) as VmFacts['schema'], {
        argument: (command: string, name: string) =>
          name === 'multifd-compression' ? undefined : schema.argument(command, name),
        arguments: (command: string) =>
          schema.arguments(command).filter(({ name }) => name !== 'multifd-compression'),
      });
    }
  });

  it('lets parameters and capabilities that nobody knows differ', () => {
    const source = {
      ...changed(running, { 'x-new': 1 }),
      capabilities: [...running.capabilities, { name: 'x-cap', enabled: true }],
    };
    const comparison = compared(source, changed(waiting, { 'x-new': 2 }));
    assert.deepEqual(names(comparison.differences), ['x-new', 'x-cap']);
    assert.deepEqual(
      comparison.differences.map(({ meaning }) => meaning),
      ['may-differ', 'may-differ'],
    );
  });

  it('says so when a side could not be read, instead of calling all of it absent', () => {
    const failure = new QmpTimeoutError('query-migrate-capabilities', 5000);
    const broken = { ...waiting, capabilities: [], failures: { capabilities: failure } };
    const events = row(compared(running, broken), 'events');
    assert.deepEqual(texts(events), ['off', 'could not be read']);
  });

  it('finds a problem wherever a run would refuse a setting', () => {
    const cases: (readonly [string, VmFacts, VmFacts])[] = [
      ...running.capabilities.flatMap(({ name }) => {
        const on = { [name]: true };
        return [
          [name, changed(running, {}, on), waiting] as const,
          [name, running, changed(waiting, {}, on)] as const,
        ];
      }),
      ...allParameters.flatMap(({ name, range, values }) => {
        const value = values?.at(-1)?.value ?? range?.min;
        if (value === undefined) return [];
        const multifd = { multifd: true };
        return [
          [name, changed(running, { [name]: value }), waiting] as const,
          [
            name,
            changed(running, { [name]: value }, multifd),
            changed(waiting, {}, multifd),
          ] as const,
        ];
      }),
    ];
    for (const [name, source, target] of cases) {
      const [a, b] = [snapshotOf('a', source), snapshotOf('b', target)];
      const refused = findObstacles(requestOf(), a, b).some(({ reason }) =>
        new RegExp(`^${name} (is on at one side|differs)`).test(reason),
      );
      assert.equal(row(compared(source, target), name).problem, refused, name);
    }
  });
});

describe('backend transfer in the comparison', () => {
  const facts = (build: Build, on: boolean): VmFacts => changed(factsOf(build), { [build]: on });
  const transfer = (source: VmFacts, target: VmFacts): ComparedRow =>
    row(compared(source, target), 'backend transfer');

  it('is one row, with the name that each side has for it', () => {
    const mixed = compared(facts('local', true), facts('backend-transfer', false));
    assert.deepEqual(texts(row(mixed, 'backend transfer')), [
      'on ("local")',
      'off ("backend-transfer")',
    ]);
    assert.ok(
      !names(mixed.rows).includes('local') && !names(mixed.rows).includes('backend-transfer'),
    );
  });

  it('must be on at both sides or at none', () => {
    assert.equal(transfer(facts('local', false), facts('backend-transfer', false)).equal, true);
    assert.equal(transfer(facts('local', true), facts('local', true)).equal, true);
    assert.equal(transfer(facts('local', true), facts('local', false)).problem, true);
    assert.equal(transfer(facts('local', false), facts('local', true)).problem, true);
    assert.equal(transfer(facts('local', true), factsOf('11.1-stock')).problem, true);
    const off = transfer(facts('local', false), factsOf('11.1-stock'));
    assert.deepEqual([off.equal, off.target.state], [true, 'absent']);
    assert.match(off.note ?? '', /same/);
  });

  it('warns of two stages of the work that are not known to understand each other', () => {
    const both = transfer(facts('local', true), facts('backend-transfer', true));
    assert.equal(both.problem, true);
    assert.match(both.note ?? '', /stages.*not known/);
  });

  it('compares lists entry by entry', () => {
    const listed = (...entries: string[]): VmFacts => ({
      ...changed(factsOf('backend-transfer'), { 'backend-transfer': entries }),
      schema: schemaWith('backend-transfer', 'backend-transfer', '[str]'),
    });
    assert.equal(transfer(listed('a'), listed('a')).equal, true);
    assert.match(transfer(listed('a'), listed('b')).note ?? '', /lists differ/);
    assert.deepEqual(texts(transfer(listed(), listed('a', 'b'))), [
      'off (list "backend-transfer")',
      'a, b (list "backend-transfer")',
    ]);
  });
});

describe('the change that makes a machine like another', () => {
  const applied = (facts: VmFacts, { change }: ReturnType<typeof changeToMatch>): VmFacts =>
    changed(facts, change.parameters, change.capabilities);

  it('has every difference that can be set, and afterwards there is none of them', () => {
    const source = changed(
      running,
      { 'max-bandwidth': 0, 'multifd-channels': 8, 'tls-creds': 'tls0', local: true },
      { 'return-path': true, multifd: true },
    );
    const [from, to] = [snapshotOf('a', source), snapshotOf('b', waiting)];
    const wanted = changeToMatch(from, to);
    assert.deepEqual(wanted, {
      change: {
        parameters: { 'max-bandwidth': 0, 'multifd-channels': 8, 'tls-creds': 'tls0', local: true },
        capabilities: { 'return-path': true, multifd: true },
      },
      skipped: [],
    });
    assert.deepEqual(names(compared(source, applied(waiting, wanted)).differences), []);
  });

  it('is for the named differences only', () => {
    const source = changed(running, { 'max-bandwidth': 0, local: true }, { multifd: true });
    const [from, to] = [snapshotOf('a', source), snapshotOf('b', waiting)];
    const named = (...wanted: string[]): unknown => changeToMatch(from, to, new Set(wanted)).change;
    assert.deepEqual(named('multifd', 'downtime-limit'), {
      parameters: {},
      capabilities: { multifd: true },
    });
    for (const name of ['backend transfer', 'local']) {
      assert.deepEqual(named(name), { parameters: { local: true }, capabilities: {} });
    }
  });

  it('gives backend transfer the name that the machine has for it', () => {
    const from = snapshotOf('a', changed(running, { local: true }));
    const to = snapshotOf('b', factsOf('backend-transfer'));
    assert.equal(changeToMatch(from, to).change.parameters['backend-transfer'], true);
    const back = changeToMatch(to, from, new Set(['backend-transfer']));
    assert.deepEqual(back.change.parameters, { local: false });
  });

  it('leaves out what cannot be set, with a reason', () => {
    const stock = factsOf('11.1-stock');
    const from = changed(
      stock,
      {
        mode: 'cpr-exec',
        'cpr-exec-command': ['/bin/true'],
        'x-rdma-chunk-size': 2 ** 21,
        'multifd-zlib-level': 10,
        'only-reported': 1,
      },
      { events: true },
    );
    const to = changed(running, {
      'block-bitmap-mapping': [],
      'cpr-exec-command': [],
      'only-reported': 2,
      local: true,
    });
    const { change, skipped } = changeToMatch(snapshotOf('a', from), snapshotOf('b', to));
    assert.deepEqual(change, { parameters: {}, capabilities: { events: true } });
    const reasons = Object.fromEntries(skipped.map(({ name, reason }) => [name, reason]));
    for (const reason of Object.values(reasons)) assert.match(reason, /^[A-Z].*\.$/);
    assert.match(reasons['x-rdma-chunk-size'] ?? '', /The QEMU of b does not have it/);
    assert.match(reasons['backend transfer'] ?? '', /The QEMU of a does not have it/);
    assert.match(reasons['block-bitmap-mapping'] ?? '', /not set on a.*cannot be unset/);
    assert.match(reasons['only-reported'] ?? '', /does not let it be set/);
    assert.match(reasons['cpr-exec-command'] ?? '', /by hand/);
    assert.match(reasons['mode'] ?? '', /sets its mode itself/);
    assert.match(reasons['multifd-zlib-level'] ?? '', /between 0 and 9/);
  });

  it('matches nothing of a machine that did not tell, and does not call it unset', () => {
    const failures = { parameters: new QmpTimeoutError('query-migrate-parameters', 1) };
    const from = changed(running, { 'downtime-limit': 5 });
    const to: VmFacts = { ...waiting, parameters: {}, failures };
    for (const [a, b] of [
      [from, to],
      [to, from],
    ] as const) {
      const { change, skipped } = changeToMatch(snapshotOf('a', a), snapshotOf('b', b));
      assert.ok(!('downtime-limit' in change.parameters));
      const found = skipped.find(({ name }) => name === 'downtime-limit');
      assert.equal(found?.reason, 'It could not be read.');
    }
  });

  it('sets mode where it was named, if that QEMU knows the value', () => {
    const only = new Set(['mode', 'cpr-exec-command']);
    const to = snapshotOf('b', factsOf('11.1-stock'));
    const named = (mode: string): ReturnType<typeof changeToMatch> => {
      const from = changed(factsOf('11.1-stock'), { mode, 'cpr-exec-command': ['x'] });
      return changeToMatch(snapshotOf('a', from), to, only);
    };
    assert.deepEqual(named('cpr-reboot').change.parameters, { mode: 'cpr-reboot' });
    assert.deepEqual(
      named('cpr-reboot').skipped.map(({ name }) => name),
      ['cpr-exec-command'],
    );
    const unknown = named('cpr-new').skipped.find(({ name }) => name === 'mode');
    assert.match(unknown?.reason ?? '', /must be one of normal, .*not "cpr-new"/);
  });

  it('does not turn a list into a switch, nor a switch into a list', () => {
    const list: VmFacts = {
      ...changed(factsOf('backend-transfer'), { 'backend-transfer': ['virtio-net-tap'] }),
      schema: schemaWith('backend-transfer', 'backend-transfer', '[str]'),
    };
    const [a, b] = [snapshotOf('a', list), snapshotOf('b', running)];
    for (const { change, skipped } of [changeToMatch(a, b), changeToMatch(b, a)]) {
      assert.ok(!('local' in change.parameters) && !('backend-transfer' in change.parameters));
      const reason = skipped.find(({ name }) => name === 'backend transfer')?.reason;
      assert.match(reason ?? '', /list in the QEMU of a, and a switch/);
    }
  });
});
