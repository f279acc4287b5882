import assert from 'node:assert/strict';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { CapabilityNotTakenError } from '../../../src/migration/settings/capabilities';
import {
  applyChanges,
  CannotUnsetError,
  effectiveChange,
  ParameterNotTakenError,
  SettingsNotAppliedError,
  settingsOf,
  type AppliedChange,
  type ChangeRequest,
  type SettingsChange,
} from '../../../src/migration/settings/change';
import { SettingsRefusedError } from '../../../src/migration/settings/findings';
import { mergedChange, withChange } from '../../../src/migration/settings/settingsState';
import { QmpClosedError, QmpCommandError, QmpTimeoutError } from '../../../src/qmp/errors';
import { isArray, isObject, type JsonObject, type JsonValue } from '../../../src/qmp/json';
import type { MachineRegistry } from '../../../src/vm/registry';
import { NotConnectedError, type MachineHandle } from '../../../src/vm/types';
import { FakeRefusal, noReply, type FakeQmpServer } from '../../support/fakeQmpServer';
import { builds, type Build } from '../../support/recordings';
import { Stage } from '../vm/support';
import { changed, factsOf, processOf } from './support';

interface Vm {
  readonly server: FakeQmpServer;
  readonly registry: MachineRegistry;
  readonly machine: MachineHandle;
}

const setParameters = 'migrate-set-parameters';
const setCapabilities = 'migrate-set-capabilities';

function change(
  parameters: JsonObject,
  capabilities: Readonly<Record<string, boolean>> = {},
): SettingsChange {
  return { parameters, capabilities };
}

/** What the QEMU has by its own account, whatever the machine was told. */
function stateOf({ server }: Vm): unknown {
  return { parameters: server.qemu.parameters, capabilities: new Map(server.qemu.capabilities) };
}

function capabilitiesIn(args: JsonObject): Record<string, boolean> {
  const list = isArray(args['capabilities']) ? args['capabilities'] : [];
  return Object.fromEntries(
    list
      .filter((entry) => isObject(entry))
      .map(({ capability, state }) => [
        typeof capability === 'string' ? capability : '',
        state === true,
      ]),
  );
}

/** A QEMU that refuses what would break the rule, and is asked with the state after the change. */
function ruled(
  { server }: Vm,
  rule: (parameters: JsonObject, capabilities: Readonly<Record<string, boolean>>) => boolean,
  desc = 'these do not go together',
): void {
  const { qemu } = server;
  server.on(setParameters, (args) => {
    const capabilities = Object.fromEntries(qemu.capabilities);
    if (!rule({ ...qemu.parameters, ...args }, capabilities)) throw new FakeRefusal(desc);
    return qemu.answer(setParameters, args);
  });
  server.on(setCapabilities, (args) => {
    const capabilities = { ...Object.fromEntries(qemu.capabilities), ...capabilitiesIn(args) };
    if (!rule(qemu.parameters, capabilities)) throw new FakeRefusal(desc);
    return qemu.answer(setCapabilities, args);
  });
}

function setCommands({ server }: Vm): readonly string[] {
  return server.commands.filter((command) => command.startsWith('migrate-set-'));
}

async function notApplied(requests: readonly ChangeRequest[]): Promise<SettingsNotAppliedError> {
  try {
    await applyChanges(requests);
  } catch (error) {
    assert.ok(error instanceof SettingsNotAppliedError, String(error));
    return error;
  }
  throw new Error('It was applied.');
}

describe('what a change would alter', () => {
  const facts = factsOf('local');
  const effective = (wanted: SettingsChange): SettingsChange => effectiveChange(facts, wanted);

  it('is what differs, integers compared by what they are worth', () => {
    assert.deepEqual(
      effective(
        change(
          { 'max-bandwidth': 134217728n, 'downtime-limit': 301 },
          { events: true, multifd: false },
        ),
      ),
      change({ 'downtime-limit': 301 }, { events: true }),
    );
    const huge = changed(facts, { 'max-bandwidth': 2n ** 64n - 1n });
    const oneLess = change({ 'max-bandwidth': 2n ** 64n - 2n });
    assert.deepEqual(effectiveChange(huge, oneLess), oneLess);
  });

  it('takes null for the empty text where a text may be null, and only there', () => {
    const wanted = change({
      'tls-creds': null,
      'block-bitmap-mapping': null,
      'max-bandwidth': null,
    });
    assert.deepEqual(
      effective(wanted),
      change({ 'block-bitmap-mapping': null, 'max-bandwidth': null }),
    );
    assert.deepEqual(
      effectiveChange(changed(facts, { 'tls-creds': 'tls0' }), change({ 'tls-creds': null })),
      change({ 'tls-creds': null }),
    );
  });

  it('keeps what is not set, and what this QEMU does not have', () => {
    const wanted = change({ 'block-bitmap-mapping': [], constructor: 1 }, { 'no-such': false });
    assert.deepEqual(effective(wanted), wanted);
  });
});

describe('the settings of a machine', () => {
  it('are what QEMU reports, or of that what was asked for', () => {
    const facts = changed(factsOf('local'), {}, { events: true });
    const all = settingsOf(facts);
    assert.deepEqual(all.parameters, facts.parameters);
    assert.equal(Object.keys(all.capabilities).length, facts.capabilities.length);
    const some = settingsOf(facts, {
      parameters: ['downtime-limit', 'block-bitmap-mapping'],
      capabilities: ['events', 'no-such'],
    });
    assert.deepEqual(some, {
      parameters: { 'downtime-limit': 300, 'block-bitmap-mapping': undefined },
      capabilities: { events: true },
    });
  });
});

describe('changes of settings', () => {
  let stage: Stage;
  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.dispose());

  const two = async (build: Build = 'local'): Promise<readonly [Vm, Vm]> => [
    await stage.machine({ build }),
    await stage.machine({ build }),
  ];

  for (const build of builds) {
    it(`${build}: are made on both machines, and only what differs is sent`, async () => {
      const [a, b] = await two(build);
      b.server.qemu.parameters = { ...b.server.qemu.parameters, 'downtime-limit': 500 };
      const wanted = change(
        { 'downtime-limit': 500, 'max-bandwidth': 2n ** 64n - 1n },
        { events: true, multifd: false },
      );
      const applied = await applyChanges([
        { machine: a.machine, change: wanted },
        { machine: b.machine, change: wanted },
      ]);
      const expected = (before: JsonObject, after: JsonObject, { machine }: Vm): AppliedChange => ({
        machineId: machine.id,
        label: machine.snapshot.label,
        process: undefined,
        before: { parameters: before, capabilities: { events: false } },
        after: { parameters: after, capabilities: { events: true } },
      });
      const bandwidth = { 'max-bandwidth': 134217728 };
      const huge = { 'max-bandwidth': 2n ** 64n - 1n };
      assert.deepEqual(applied, [
        expected({ 'downtime-limit': 300, ...bandwidth }, { 'downtime-limit': 500, ...huge }, a),
        expected(bandwidth, huge, b),
      ]);
      const sent = b.server.transcript.filter(({ command }) => command.startsWith('migrate-set-'));
      assert.deepEqual(
        sent.map((call) => call.arguments),
        [huge, { capabilities: [{ capability: 'events', state: true }] }],
      );
    });

    it(`${build}: of which any is refused leave both machines as they were`, async () => {
      const wanted = change({ 'downtime-limit': 500 }, { events: true });
      for (const position of [0, 1, 2, 3]) {
        const [a, b] = await two(build);
        const before = [a, b].map(stateOf);
        const refusing = position < 2 ? a : b;
        const command = position % 2 === 0 ? setParameters : setCapabilities;
        refusing.server.on(command, (args) => {
          const isBack = args['downtime-limit'] === 300 || capabilitiesIn(args)['events'] === false;
          if (!isBack) throw new FakeRefusal('not this one');
          return refusing.server.qemu.answer(command, args);
        });
        const error = await notApplied([a, b].map(({ machine }) => ({ machine, change: wanted })));
        assert.ok(error.cause instanceof QmpCommandError && error.cause.desc === 'not this one');
        assert.equal(error.machineId, refusing.machine.id);
        assert.deepEqual([error.notPutBack, error.remaining], [[], []]);
        assert.deepEqual([a, b].map(stateOf), before, `position ${position}`);
        if (refusing === a) assert.deepEqual(setCommands(b), []);
      }
    });
  }

  it('that ask for nothing new send nothing', async () => {
    const vm = await stage.machine();
    const { machine } = vm;
    assert.deepEqual(await applyChanges([]), []);
    assert.deepEqual(await applyChanges([{ machine, change: change({}) }]), []);
    const same = change({ 'downtime-limit': 300, 'tls-creds': null }, { events: false });
    assert.deepEqual(await applyChanges([{ machine, change: same }]), []);
    assert.deepEqual(setCommands(vm), []);
  });

  it('look at what QEMU has at that moment, not at what it had', async () => {
    const { server, machine } = await stage.machine();
    server.qemu.parameters = { ...server.qemu.parameters, 'downtime-limit': 7 };
    const [applied] = await applyChanges([{ machine, change: change({ 'downtime-limit': 8 }) }]);
    assert.deepEqual(applied?.before.parameters, { 'downtime-limit': 7 });
  });

  it('asked for twice on one machine are one change, the later value counts', async () => {
    const { machine } = await stage.machine();
    const applied = await applyChanges([
      { machine, change: change({ 'downtime-limit': 8, 'announce-rounds': 6 }) },
      { machine, change: change({ 'downtime-limit': 9 }, { events: true }) },
    ]);
    assert.deepEqual(
      applied.map(({ after }) => after),
      [change({ 'downtime-limit': 9, 'announce-rounds': 6 }, { events: true })],
    );
  });

  it('are sent nowhere when one machine is not connected', async () => {
    const a = await stage.machine();
    const b = await stage.machine();
    await b.registry.disconnect(b.machine.id);
    const wanted = change({ 'downtime-limit': 8 });
    await assert.rejects(
      applyChanges([a, b].map(({ machine }) => ({ machine, change: wanted }))),
      NotConnectedError,
    );
    assert.deepEqual(setCommands(a), []);
  });

  it('are sent nowhere when one of them cannot be right', async () => {
    const [a, b] = await two();
    await assert.rejects(
      applyChanges([
        { machine: a.machine, change: change({ 'downtime-limit': 8 }) },
        { machine: b.machine, change: change({ 'multifd-channels': 0 }) },
      ]),
      (error) => {
        assert.ok(error instanceof SettingsRefusedError);
        assert.equal(error.machineId, b.machine.id);
        assert.deepEqual(
          error.findings.map(({ name, level }) => [name, level]),
          [['multifd-channels', 'refuse']],
        );
        return true;
      },
    );
    assert.deepEqual([...setCommands(a), ...setCommands(b)], []);
  });

  it('are sent nowhere when QEMU does not tell what it has', async () => {
    const [a, b] = await two();
    b.server.on('query-migrate-capabilities', () => {
      throw new FakeRefusal('not now');
    });
    const wanted = change({ 'downtime-limit': 8 });
    const error = await notApplied([a, b].map(({ machine }) => ({ machine, change: wanted })));
    assert.equal(error.machineId, b.machine.id);
    assert.ok(error.cause instanceof QmpCommandError);
    assert.deepEqual(setCommands(a), []);
  });

  describe('whose parts depend on each other', () => {
    const zeroCopyWantsNone = (
      parameters: JsonObject,
      capabilities: Readonly<Record<string, boolean>>,
    ): boolean =>
      capabilities['zero-copy-send'] !== true ||
      (capabilities['multifd'] === true && parameters['multifd-compression'] === 'none');
    const withZeroCopy = change(
      { 'multifd-compression': 'none' },
      { multifd: true, 'zero-copy-send': true },
    );
    const withCompression = change(
      { 'multifd-compression': 'zlib' },
      { multifd: true, 'zero-copy-send': false },
    );

    it('are sent in the order that QEMU takes, there and back', async () => {
      const vm = await stage.machine();
      const { machine } = vm;
      ruled(vm, zeroCopyWantsNone);
      await applyChanges([{ machine, change: withCompression }]);
      const compressed = stateOf(vm);
      await applyChanges([{ machine, change: withZeroCopy }]);
      assert.notDeepEqual(stateOf(vm), compressed);
      await applyChanges([{ machine, change: withCompression }]);
      assert.deepEqual(stateOf(vm), compressed);
    });

    for (const [name, first, second] of [
      ['to zero-copy', withCompression, withZeroCopy],
      ['to compression', withZeroCopy, withCompression],
    ] as const) {
      it(`are put back ${name} too when another machine refuses`, async () => {
        const [a, b] = await two();
        ruled(a, zeroCopyWantsNone);
        await applyChanges([{ machine: a.machine, change: first }]);
        const before = stateOf(a);
        b.server.on(setParameters, () => {
          throw new FakeRefusal('no');
        });
        const error = await notApplied([
          { machine: a.machine, change: second },
          { machine: b.machine, change: change({ 'downtime-limit': 5 }) },
        ]);
        assert.deepEqual([error.label, error.notPutBack], [b.machine.snapshot.label, []]);
        assert.deepEqual(stateOf(a), before);
      });
    }

    it('are refused with the first refusal when QEMU takes neither order', async () => {
      const vm = await stage.machine();
      const before = stateOf(vm);
      const refusals = ['first', 'second', 'third'];
      vm.server.on(setCapabilities, () => {
        throw new FakeRefusal(refusals.shift() ?? 'more');
      });
      const { cause } = await notApplied([
        { machine: vm.machine, change: change({ 'downtime-limit': 5 }, { events: true }) },
      ]);
      assert.ok(cause instanceof QmpCommandError && cause.desc === 'first');
      assert.deepEqual(stateOf(vm), before);
    });
  });

  describe('that QEMU accepts and does not make', () => {
    it('are a failure, and all else is put back', async () => {
      const [a, b] = await two();
      const before = [a, b].map(stateOf);
      // QEMU 7.2 does so with a level out of range.
      b.server.on(setParameters, (args) => {
        const others = Object.entries(args).filter(([name]) => name !== 'multifd-zlib-level');
        return b.server.qemu.answer(setParameters, Object.fromEntries(others));
      });
      const wanted = change({ 'downtime-limit': 5, 'multifd-zlib-level': 9 }, { events: true });
      const error = await notApplied([a, b].map(({ machine }) => ({ machine, change: wanted })));
      const { cause } = error;
      assert.ok(cause instanceof ParameterNotTakenError);
      assert.deepEqual([cause.parameter, cause.wanted, cause.now], ['multifd-zlib-level', 9, 1]);
      assert.deepEqual(error.notPutBack, []);
      assert.deepEqual([a, b].map(stateOf), before);
    });

    it('are a failure for a capability too', async () => {
      const vm = await stage.machine();
      vm.server.on(setCapabilities, () => ({}));
      const { cause } = await notApplied([
        { machine: vm.machine, change: change({}, { events: true }) },
      ]);
      assert.ok(cause instanceof CapabilityNotTakenError && cause.capability === 'events');
    });

    it('are none when QEMU never reports the parameter, or says null in its own way', async () => {
      const vm = await stage.machine();
      const { qemu } = vm.server;
      qemu.parameters = { ...qemu.parameters, 'tls-creds': 'tls0' };
      const sent: JsonValue[] = [];
      vm.server.on(setParameters, (args) => {
        sent.push(args);
        if ('tls-creds' in args) qemu.parameters = { ...qemu.parameters, 'tls-creds': '' };
        return {};
      });
      const wanted = { 'tls-creds': null, 'block-bitmap-mapping': [] };
      const [applied] = await applyChanges([{ machine: vm.machine, change: change(wanted) }]);
      assert.deepEqual(sent, [wanted]);
      assert.deepEqual(applied?.before.parameters, {
        'tls-creds': 'tls0',
        'block-bitmap-mapping': undefined,
      });
      assert.deepEqual(applied.after.parameters, {
        'tls-creds': '',
        'block-bitmap-mapping': undefined,
      });
    });
  });

  it('of what was not set before are emptied when put back, which is told', async () => {
    const [a, b] = await two();
    b.server.on(setParameters, () => {
      throw new FakeRefusal('no');
    });
    const mapping = [{ 'node-name': 'n', alias: 'a', bitmaps: [] }];
    const error = await notApplied([
      {
        machine: a.machine,
        change: change({ 'block-bitmap-mapping': mapping, 'downtime-limit': 5 }),
      },
      { machine: b.machine, change: change({ 'block-bitmap-mapping': mapping }) },
    ]);
    assert.deepEqual(a.server.qemu.parameters['block-bitmap-mapping'], []);
    assert.equal(a.server.qemu.parameters['downtime-limit'], 300);
    assert.deepEqual(
      error.notPutBack.map(({ label, names }) => [label, names]),
      [[a.machine.snapshot.label, ['block-bitmap-mapping']]],
    );
    assert.ok(error.notPutBack[0]?.cause instanceof CannotUnsetError);
    assert.deepEqual(error.remaining, []);
  });

  describe('of what QEMU cannot unset come last', () => {
    const mapping = [{ 'node-name': 'n', alias: 'a', bitmaps: [] }];

    it('so that a refusal of capabilities does not leave it set', async () => {
      const [a] = await two();
      a.server.on(setCapabilities, () => {
        throw new FakeRefusal('no');
      });
      const before = stateOf(a);
      const error = await notApplied([
        {
          machine: a.machine,
          change: change(
            { 'block-bitmap-mapping': mapping, 'downtime-limit': 5 },
            { events: true },
          ),
        },
      ]);
      assert.deepEqual(error.notPutBack, []);
      assert.deepEqual(stateOf(a), before);
    });

    it('nor does a refusal of the other machine; the result is in the order asked for', async () => {
      const [a, b] = await two();
      const requests = [
        { machine: a.machine, change: change({ 'block-bitmap-mapping': mapping }) },
        { machine: b.machine, change: change({ 'downtime-limit': 5 }) },
      ];
      b.server.on(setParameters, () => {
        throw new FakeRefusal('no');
      });
      const before = stateOf(a);
      const error = await notApplied(requests);
      assert.deepEqual(error.notPutBack, []);
      assert.deepEqual(stateOf(a), before);
      b.server.on(setParameters, (args) => b.server.qemu.answer(setParameters, args));
      assert.deepEqual(
        (await applyChanges(requests)).map(({ machineId }) => machineId),
        [a.machine.id, b.machine.id],
      );
    });
  });

  it('names the process that listens now, whatever was known of the one before', async () => {
    const [a] = await two();
    const { machine } = a;
    const [old, now] = [processOf(100), processOf(101)];
    const restarted: MachineHandle = {
      id: machine.id,
      snapshot: { ...machine.snapshot, process: old },
      onDidChange: machine.onDidChange,
      onEvent: machine.onEvent,
      connection: () => machine.connection(),
      refresh: (parts) => machine.refresh(parts),
      identify: () => Promise.resolve(now),
      connect: () => machine.connect(),
      watch: () => machine.watch(),
    };
    const [applied] = await applyChanges([
      { machine: restarted, change: change({ 'downtime-limit': 5 }) },
    ]);
    assert.equal(applied?.process, now);
  });

  describe('during which a machine is lost', () => {
    const wanted = change({ 'downtime-limit': 5 }, { events: true });
    const onBoth = ([a, b]: readonly [Vm, Vm]): readonly ChangeRequest[] =>
      [a, b].map(({ machine }) => ({ machine, change: wanted }));

    for (const command of [setParameters, setCapabilities]) {
      for (const isDone of [true, false]) {
        it(`${command} ${isDone ? 'done' : 'not done'}: is put back once connected again`, async () => {
          const [a, b] = await two();
          const before = [a, b].map(stateOf);
          let dropped = false;
          b.server.on(command, (args) => {
            if (dropped) return b.server.qemu.answer(command, args);
            dropped = true;
            if (isDone) b.server.qemu.answer(command, args);
            b.server.dropClient();
            return noReply;
          });
          const error = await notApplied(onBoth([a, b]));
          assert.ok(error.cause instanceof QmpClosedError);
          assert.deepEqual(error.notPutBack, []);
          assert.deepEqual([a, b].map(stateOf), before);
        });
      }
    }

    it('with its QEMU: there is nothing to put back there, and the other is as before', async () => {
      const [a, b] = await two();
      const before = stateOf(a);
      b.server.on(setCapabilities, async () => {
        b.server.emitEvent('SHUTDOWN', { guest: false, reason: 'host-qmp-quit' });
        await b.server.stop();
        return {};
      });
      const error = await notApplied(onBoth([a, b]));
      assert.ok(error.cause instanceof QmpClosedError);
      assert.deepEqual(error.notPutBack, []);
      assert.deepEqual(stateOf(a), before);
    });

    it('for good: what it may have now is told, and remembered with the values before', async () => {
      const [a, b] = await two();
      const before = stateOf(a);
      b.server.on(setCapabilities, () => {
        void b.registry.disconnect(b.machine.id);
        return noReply;
      });
      const error = await notApplied(onBoth([a, b]));
      const { label, id } = b.machine.snapshot;
      assert.deepEqual(
        error.notPutBack.map((entry) => [entry.label, entry.names]),
        [[label, ['downtime-limit', 'events']]],
      );
      assert.ok(error.notPutBack[0]?.cause instanceof NotConnectedError);
      assert.deepEqual(error.remaining, [
        {
          machineId: id,
          label,
          process: undefined,
          before: change({ 'downtime-limit': 300 }, { events: false }),
          after: wanted,
        },
      ]);
      assert.deepEqual(stateOf(a), before);
    });
  });

  it('that were not answered in time are looked up, and put back when they were made', async () => {
    const [a, b] = await two();
    const before = [a, b].map(stateOf);
    const wanted = change({ 'downtime-limit': 5 }, { events: true });
    const slow = impatient(b.machine, setCapabilities);
    const error = await notApplied([
      { machine: a.machine, change: wanted },
      { machine: slow, change: wanted },
    ]);
    assert.ok(error.cause instanceof QmpTimeoutError);
    assert.deepEqual(error.notPutBack, []);
    assert.deepEqual([a, b].map(stateOf), before);
    assert.ok(b.server.commands.filter((command) => command === setCapabilities).length === 2);
  });

  it('that cannot be put back are told by name, with the reason and the values', async () => {
    const [a, b] = await two();
    b.server.on(setParameters, () => {
      throw new FakeRefusal('no');
    });
    a.server.on(setCapabilities, (args) => {
      if (capabilitiesIn(args)['events'] === false) throw new FakeRefusal('never again');
      return a.server.qemu.answer(setCapabilities, args);
    });
    const wanted = change({ 'downtime-limit': 5 }, { events: true });
    const error = await notApplied([a, b].map(({ machine }) => ({ machine, change: wanted })));
    const [left] = error.notPutBack;
    assert.deepEqual([error.notPutBack.length, left?.names], [1, ['events']]);
    assert.ok(left?.cause instanceof QmpCommandError && left.cause.desc === 'never again');
    assert.equal(a.server.qemu.parameters['downtime-limit'], 300);
    assert.deepEqual(
      error.remaining.map(({ before, after }) => [before, after]),
      [[change({}, { events: false }), change({}, { events: true })]],
    );
  });

  it('whatever is asked for and refused: all of it is made, or nothing', async () => {
    const numbers = ['downtime-limit', 'announce-rounds', 'announce-max', 'max-bandwidth'];
    const switches = ['events', 'validate-uuid', 'release-ram', 'late-block-activate'];
    const wantedArbitrary = fc.record({
      parameters: fc.dictionary(fc.constantFrom(...numbers), fc.integer({ min: 1, max: 3 })),
      capabilities: fc.dictionary(fc.constantFrom(...switches), fc.boolean()),
    });
    /** Never that capability in that state together with that value: QEMU's own sort of rule. */
    const ruleArbitrary = fc.record({
      parameter: fc.constantFrom(...numbers),
      value: fc.integer({ min: 1, max: 3 }),
      capability: fc.constantFrom(...switches),
      state: fc.boolean(),
    });
    const sideArbitrary = fc.record({
      start: wantedArbitrary,
      wanted: wantedArbitrary,
      rules: fc.array(ruleArbitrary, { maxLength: 4 }),
    });
    const vms = await two();
    await fc.assert(
      fc.asyncProperty(fc.tuple(sideArbitrary, sideArbitrary), async (sides) => {
        for (const [index, { start, rules }] of sides.entries()) {
          const vm = vms[index];
          assert.ok(vm);
          const { qemu } = vm.server;
          qemu.parameters = { ...qemu.parameters, ...start.parameters };
          for (const name of switches)
            qemu.capabilities.set(name, start.capabilities[name] ?? false);
          const holds = rules.map(
            ({ parameter, value, capability, state }) =>
              (parameters: JsonObject, capabilities: Readonly<Record<string, boolean>>) =>
                parameters[parameter] !== value || capabilities[capability] !== state,
          );
          // What is so already, QEMU has accepted once.
          const kept = holds.filter((rule) =>
            rule(qemu.parameters, Object.fromEntries(qemu.capabilities)),
          );
          ruled(vm, (parameters, capabilities) =>
            kept.every((rule) => rule(parameters, capabilities)),
          );
        }
        const before = vms.map(stateOf);
        const requests = sides.map(({ wanted }, index) => ({
          machine: vms[index]!.machine,
          change: wanted,
        }));
        try {
          await applyChanges(requests);
          for (const [index, { wanted }] of sides.entries()) {
            const { qemu } = vms[index]!.server;
            assert.deepEqual(qemu.parameters, { ...qemu.parameters, ...wanted.parameters });
            const capabilities = Object.fromEntries(qemu.capabilities);
            assert.deepEqual(capabilities, { ...capabilities, ...wanted.capabilities });
          }
        } catch (error) {
          assert.ok(error instanceof SettingsNotAppliedError, String(error));
          assert.deepEqual(error.notPutBack, []);
          assert.deepEqual(vms.map(stateOf), before);
        }
      }),
      { numRuns: 150 },
    );
  });
});

describe('changes', () => {
  it('are one, in which the later value counts, whatever a setting is called', () => {
    const named = (value: JsonValue): JsonObject =>
      Object.fromEntries(['__proto__', 'constructor', 'a'].map((name) => [name, value]));
    const merged = mergedChange([change(named(1), { b: true }), change(named(2), { c: false })]);
    assert.deepEqual(Object.entries(merged.parameters), Object.entries(named(2)));
    assert.deepEqual(merged.capabilities, { b: true, c: false });
  });

  it('shown as made leave all else as it was', () => {
    const facts = factsOf('local');
    const capabilities = [...facts.capabilities, { name: 'constructor', enabled: false }];
    const made = withChange({ ...facts, capabilities }, change({ mode: 'x' }, { events: true }));
    assert.deepEqual(made.parameters, { ...facts.parameters, mode: 'x' });
    const differing = made.capabilities.filter(
      ({ enabled }, index) => enabled !== capabilities[index]?.enabled,
    );
    assert.deepEqual(differing, [{ name: 'events', enabled: true }]);
  });
});

/** The machine, but whoever sends that command first gives up before the answer. */
function impatient(machine: MachineHandle, command: string): MachineHandle {
  let hasGivenUp = false;
  return new Proxy(machine, {
    get(target, key) {
      if (key !== 'connection') {
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      }
      return () =>
        new Proxy(target.connection(), {
          get(connection, name) {
            const value: unknown = Reflect.get(connection, name, connection);
            if (typeof value !== 'function') return value;
            if (name !== 'execute') return value.bind(connection) as unknown;
            return async (sent: string, args: JsonObject) => {
              const answer = await connection.execute(sent, args);
              if (sent !== command || hasGivenUp) return answer;
              hasGivenUp = true;
              throw new QmpTimeoutError(command, 30_000);
            };
          },
        });
    },
  });
}
