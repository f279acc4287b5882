import assert from 'node:assert/strict';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { findObstacles } from '../../../src/migration/run/checks/checks';
import {
  backendTransferOf,
  BackendTransferError,
  switchBackendTransfer,
} from '../../../src/migration/settings/backendTransfer';
import {
  CapabilityNotTakenError,
  setCapabilities,
} from '../../../src/migration/settings/capabilities';
import {
  describeParameter,
  describeParameters,
  editText,
  formatParameterValue,
  needsConsent,
  parseParameterInput,
  setParameter,
  type ParameterDescription,
} from '../../../src/migration/settings/parameters';
import { sameValue } from '../../../src/migration/settings/values';
import { buildMachineNode } from '../../../src/migration/view/machineTree';
import type { ViewNode } from '../../../src/migration/view/nodes';
import { explain } from '../../../src/migration/view/words';
import { QmpCommandError } from '../../../src/qmp/errors';
import { isArray, isObject, parseJson, type JsonValue } from '../../../src/qmp/json';
import { builds, recordedReturn, type Build } from '../../support/recordings';
import { factsOf as factsOfMachine, Stage } from '../vm/support';
import { changed, factsOf, requestOf, schemaReplyWith, schemaWith, snapshotOf } from './support';

function parameter(name: string, value?: JsonValue, build: Build = 'local'): ParameterDescription {
  const facts = factsOf(build);
  const description = describeParameter(
    value === undefined ? facts : changed(facts, { [name]: value }),
    name,
  );
  assert.ok(description, name);
  return description;
}

function typed(name: string, text: string): JsonValue {
  const result = parseParameterInput(parameter(name), text);
  assert.ok(result.ok, result.ok ? '' : result.problem);
  return result.value;
}

function refused(name: string, text: string): string {
  const result = parseParameterInput(parameter(name), text);
  assert.ok(!result.ok, `${name}: "${text}" was taken`);
  assert.match(result.problem, /[.]$/);
  return result.problem;
}

/** The names of a recorded schema's types of that kind. */
function schemaEntries(build: Build, metaType: string): string[] {
  const reply = recordedReturn(build, 'query-qmp-schema');
  return (isArray(reply) ? reply : []).flatMap((entry) =>
    isObject(entry) && entry['meta-type'] === metaType && typeof entry['name'] === 'string'
      ? [entry['name']]
      : [],
  );
}

function rowsIn(node: ViewNode): readonly ViewNode[] {
  return [node, ...node.children.flatMap(rowsIn)];
}

describe('migration parameters', () => {
  for (const build of builds) {
    describe(`of build ${build}`, () => {
      const facts = factsOf(build);
      const all = describeParameters(facts);

      it('are all there: those that QEMU reports and those that can only be set', () => {
        const names = new Set([
          ...Object.keys(facts.parameters),
          ...facts.schema.arguments('migrate-set-parameters').map(({ name }) => name),
        ]);
        assert.ok(names.size >= 30 && !('block-bitmap-mapping' in facts.parameters));
        assert.deepEqual(
          all.map(({ name }) => name),
          [...names].sort(),
        );
        assert.equal(all.find(({ name }) => name === 'block-bitmap-mapping')?.value, undefined);
      });

      it('have the control that their type asks for, and are all editable', () => {
        const control = Object.fromEntries(all.map(({ name, control: kind }) => [name, kind]));
        assert.equal(control['max-bandwidth'], 'integer');
        assert.equal(control['cpu-throttle-tailslow'], 'boolean');
        assert.equal(control['multifd-compression'], 'enum');
        assert.equal(control['tls-creds'], 'string');
        assert.equal(control['cpr-exec-command'], 'list');
        assert.equal(control['block-bitmap-mapping'], 'struct');
        for (const description of all) {
          assert.ok(description.editable && description.type, description.name);
          assert.notEqual(description.typeText, '', description.name);
          assert.equal(description.nullable, description.name.startsWith('tls-'));
        }
      });

      it('are as they were when QEMU started, and so none counts as changed', () => {
        for (const { name, default: standard, changed: differs, value } of all) {
          assert.deepEqual([standard.kind, differs], ['known', false], name);
          if (standard.kind === 'known') assert.ok(sameValue(standard.value, value), name);
        }
      });

      it('are edited from a text that gives the same value again', () => {
        const editable = all.filter(({ editable: can, value }) => can && value !== undefined);
        assert.ok(editable.length >= 30);
        for (const description of editable) {
          const result = parseParameterInput(description, editText(description));
          assert.ok(result.ok, description.name);
          assert.ok(sameValue(result.value, description.value), description.name);
        }
      });

      it('are each known to the catalogue, so that none is shown without words', () => {
        assert.deepEqual(
          all.filter(({ info }) => info === undefined).map(({ name }) => name),
          [],
        );
      });
    });
  }

  it('that nobody has heard of appear in the group Other and are edited by their type', () => {
    const name = 'x-new-thing';
    const facts = {
      ...changed(factsOf('local'), { [name]: 5 }),
      schema: schemaWith('local', name, 'int'),
    };
    const description = describeParameter(facts, name);
    assert.ok(description);
    assert.deepEqual(
      [description.control, description.editable, description.info, editText(description)],
      ['integer', true, undefined, '5'],
    );
    assert.deepEqual(parseParameterInput(description, ' 12 '), { ok: true, value: 12n });
    assert.equal(parseParameterInput(description, 'many').ok, false);
    const rows = rowsIn(buildMachineNode(snapshotOf('a', facts), undefined));
    const other = rows.find(
      ({ subject, kind }) => kind === 'parameter-group' && subject === 'other',
    );
    const row = other?.children.find(({ label }) => label === name);
    assert.equal(row?.description, '5');
    assert.ok(row.tags.includes('editable') && row.click === 'edit-parameter');
    assert.match(row.tooltip?.body ?? '', /new to this extension/);
  });

  it('that QEMU reports but does not let set are shown, and not edited', () => {
    const facts = changed(factsOf('local'), { 'x-read-only': true });
    const description = describeParameter(facts, 'x-read-only');
    assert.deepEqual([description?.control, description?.editable], ['boolean', false]);
    assert.deepEqual([description?.type, description?.typeText], [undefined, 'on or off']);
    assert.ok(description && !parseParameterInput(description, 'off').ok);
    assert.match(description.notEditableReason ?? '', /does not let it be set/);
  });

  it('that do not exist are not made up, whatever their name', () => {
    for (const name of ['no-such', 'constructor', 'toString', '__proto__', '']) {
      assert.equal(describeParameter(factsOf('local'), name), undefined, name);
    }
  });

  it('of values that no QEMU has had so far do not break the tree', () => {
    const facts = changed(factsOf('local'), {
      'x-fraction': 0.5,
      'x-struct': { big: 2n ** 64n - 1n, list: [1, null] },
      'x-null': null,
      'x-list': [],
      'x-huge': 2n ** 64n - 1n,
    });
    const rows = new Map(
      rowsIn(buildMachineNode(snapshotOf('a', facts), undefined)).map((row) => [row.label, row]),
    );
    assert.equal(rows.get('x-struct')?.description, '{"big":18446744073709551615,"list":[1,null]}');
    assert.equal(rows.get('x-struct')?.copyText, '{"big":18446744073709551615,"list":[1,null]}');
    assert.equal(rows.get('x-fraction')?.copyText, '0.5');
    assert.equal(rows.get('x-null')?.description, 'empty');
    assert.equal(rows.get('x-list')?.description, 'empty');
    assert.equal(rows.get('x-huge')?.copyText, '18446744073709551615');
    for (const description of describeParameters(facts)) editText(description);
  });

  it('are shown as people read them', () => {
    const shown = (name: string, value?: JsonValue): string =>
      formatParameterValue(parameter(name, value));
    assert.equal(shown('max-bandwidth'), '128 MiB/s');
    assert.equal(shown('max-bandwidth', 0), 'no limit');
    assert.equal(shown('downtime-limit'), '300 ms');
    assert.equal(shown('downtime-limit', 1500), '1.5 s');
    assert.equal(shown('cpu-throttle-tailslow'), 'off');
    assert.equal(shown('tls-creds'), 'empty');
    // Not to be taken for a parameter that is empty or not set, nor for a text without blanks.
    for (const text of ['empty', 'not set', ' a', 'a\nb']) {
      assert.equal(shown('tls-hostname', text), JSON.stringify(text));
    }
    assert.equal(shown('block-bitmap-mapping'), 'not set');
    assert.equal(shown('cpr-exec-command', ['/bin/q', '-m']), '["/bin/q","-m"]');
  });

  describe('as a user types them', () => {
    it('take units', () => {
      assert.equal(typed('max-bandwidth', '100 MiB/s'), 104857600n);
      assert.equal(typed('max-bandwidth', ' unlimited '), 0n);
      assert.equal(typed('max-bandwidth', '800 Mbit/s'), 100_000_000n);
      assert.equal(typed('downtime-limit', '0.3 s'), 300n);
      assert.equal(typed('cpu-throttle-initial', '30 %'), 30n);
      assert.equal(typed('multifd-channels', '8'), 8n);
      assert.equal(typed('max-bandwidth', '9007199254740993'), 2n ** 53n + 1n);
    });

    it('are refused with what would be right', () => {
      assert.match(refused('multifd-channels', '0'), /between 1 and 255/);
      assert.match(refused('downtime-limit', '40 min'), /between 0 ms and 2000 s/);
      assert.match(refused('xbzrle-cache-size', '65 MiB'), /power of two, such as 128 MiB/);
      assert.match(refused('max-bandwidth', '-1'), /negative/);
      assert.match(refused('max-bandwidth', '18446744073709551616'), /more than QEMU can take/);
      assert.match(refused('multifd-compression', 'rar'), /^One of: none, zlib[.]$/);
      assert.match(refused('multifd-compression', 'zlb'), /^Did you mean zlib[?] One of: none, zl/);
      assert.match(refused('mode', 'cpr-tr'), /^Did you mean cpr-transfer[?] /);
      assert.match(refused('cpu-throttle-tailslow', 'maybe'), /on or off/);
      refused('max-bandwidth', '');
    });

    it('take the usual words for on and off', () => {
      for (const word of ['on', 'TRUE', 'yes', '1']) assert.equal(typed('direct-io', word), true);
      for (const word of ['off', 'False', 'no', '0']) assert.equal(typed('direct-io', word), false);
    });

    it('take a choice in any case of letters', () => {
      assert.equal(typed('multifd-compression', 'ZLIB'), 'zlib');
      assert.equal(typed('mode', ' Normal '), 'normal');
    });

    it('keep a text as it is, and may be emptied', () => {
      assert.equal(typed('tls-hostname', 'a b'), 'a b');
      assert.equal(typed('tls-hostname', ''), '');
      assert.equal(typed('tls-hostname', 'null'), 'null');
      refused('tls-hostname', '\ud800');
    });

    it('take a list of texts as words, quoted where need be, or as JSON', () => {
      const list = (text: string): JsonValue => typed('cpr-exec-command', text);
      assert.deepEqual(list('qemu-system-x86_64 -incoming "unix:/a b"'), [
        'qemu-system-x86_64',
        '-incoming',
        'unix:/a b',
      ]);
      assert.deepEqual(list(` -name  'it"s' "a\\"b\\\\c" d\\ e "" f"g"'h' `), [
        '-name',
        'it"s',
        'a"b\\c',
        'd e',
        '',
        'fgh',
      ]);
      assert.deepEqual(list('a \\\n b'), ['a', 'b']);
      assert.deepEqual(list('$HOME/*'), ['$HOME/*']);
      assert.deepEqual(list('["a b","c"]'), ['a b', 'c']);
      assert.deepEqual(list(''), []);
      assert.deepEqual(list('[]'), []);
      assert.match(refused('cpr-exec-command', 'a "b'), /quote \("\) is not closed/);
      assert.match(refused('cpr-exec-command', "a 'b"), /quote \('\) is not closed/);
      assert.match(refused('cpr-exec-command', 'a \\'), /has nothing to keep/);
      assert.match(refused('cpr-exec-command', '["a"'), /^This is not JSON: /);
      assert.match(refused('cpr-exec-command', '["a", 5]'), /^\[1\] must be a text, not a number/);
      assert.match(refused('cpr-exec-command', '{"a":1}'), /must be a list, not an object/);
    });

    it('take what has a structure as JSON, and say where it is wrong', () => {
      const name = 'block-bitmap-mapping';
      const mapping = [{ 'node-name': 'n', alias: 'a', bitmaps: [{ name: 'b', alias: 'c' }] }];
      assert.deepEqual(typed(name, JSON.stringify(mapping)), mapping);
      assert.deepEqual(typed(name, ''), []);
      assert.match(
        refused(name, '[{"node-name":"n","bitmaps":[]}]'),
        /^\[0\]\.alias is missing\.$/,
      );
      assert.match(refused(name, 'null'), /must be a list, not null/);
      assert.match(refused(name, 'n=a'), /^This is not JSON: /);
      // Which of the two is meant nobody knows; QEMU refuses it as well.
      const twice = '[{"node-name":"n","node-name":"m","alias":"a","bitmaps":[]}]';
      assert.match(refused(name, twice), /node-name/);
      assert.match(refused(name, '['.repeat(100_000)), /nested too deeply|not JSON/);
    });
  });

  it('of every control are edited from a text that gives the same value again', () => {
    const name = 'x-any';
    const texts = fc.string({ unit: 'grapheme' });
    const integers = fc.bigInt(0n, 2n ** 64n - 1n);
    const json = fc.jsonValue().map((value) => parseJson(JSON.stringify(value)));
    const nested = fc.record({ big: integers, half: fc.constant(0.5), any: json });
    const byType: readonly (readonly [string, fc.Arbitrary<JsonValue>])[] = [
      ['int', integers],
      ['bool', fc.boolean()],
      ['str', texts],
      ['number', fc.oneof(fc.constantFrom(0.5, -1.25), fc.integer())],
      ['[str]', fc.array(texts)],
      ['any', fc.oneof(json, nested, integers, texts)],
      ['null', fc.constant(null)],
    ];
    for (const [type, values] of byType) {
      const facts = { ...factsOf('local'), schema: schemaWith('local', name, type) };
      fc.assert(
        fc.property(values, (value) => {
          const description = describeParameter(changed(facts, { [name]: value }), name);
          assert.ok(description);
          const again = parseParameterInput(description, editText(description));
          assert.ok(again.ok && sameValue(again.value, value), editText(description));
          formatParameterValue(description);
        }),
      );
    }
  });

  it('may be typed as they are shown, a note on what 0 means included', () => {
    for (const build of builds) {
      for (const description of describeParameters(factsOf(build))) {
        const { name, control, value } = description;
        if (control === 'string' || control === 'list' || value === undefined) continue;
        const again = parseParameterInput(description, formatParameterValue(description));
        assert.ok(again.ok && sameValue(again.value, value), name);
      }
    }
  });

  it('of a type that is either this or that are JSON, unless they are texts', () => {
    const name = 'x-either';
    const description = (type: string): ParameterDescription | undefined => {
      const schema = schemaWith('local', name, type);
      return describeParameter({ ...factsOf('local'), schema }, name);
    };
    const alternates = schemaEntries('local', 'alternate');
    const found = alternates.map((alternate) => description(alternate)?.control);
    assert.ok(found.includes('string') && found.includes('struct'));
    for (const alternate of alternates) {
      const { type, control } = description(alternate) ?? {};
      assert.ok(type?.kind === 'alternate');
      const kinds = type.members.map((member) =>
        member.kind === 'builtin' ? member.json : member.kind,
      );
      const textual = kinds.every((kind) => ['string', 'enum', 'null'].includes(kind));
      assert.equal(control, textual ? 'string' : 'struct', kinds.join());
    }
  });

  it('of which we know nothing may be negative only where their values are', () => {
    const name = 'x-signed';
    const facts = { ...factsOf('local'), schema: schemaWith('local', name, 'int') };
    const typedInto = (value: JsonValue): boolean => {
      const description = describeParameter(changed(facts, { [name]: value }), name);
      assert.ok(description);
      return parseParameterInput(description, '-2').ok;
    };
    assert.deepEqual([typedInto(5), typedInto(-1)], [false, true]);
  });

  it('count as changed when their value is known not to be the default, and only then', () => {
    const isChanged = (name: string, value?: JsonValue): boolean => parameter(name, value).changed;
    assert.ok(isChanged('max-bandwidth', 5));
    assert.ok(!isChanged('max-bandwidth', 134217728n));
    assert.ok(isChanged('block-bitmap-mapping', []));
    assert.ok(!isChanged('block-bitmap-mapping'));
    assert.ok(isChanged('cpr-exec-command', ['a']));
    assert.ok(!isChanged('cpr-exec-command', []));
    const unheard = { ...factsOf('local'), schema: schemaWith('local', 'x-new', 'int') };
    const description = describeParameter(changed(unheard, { 'x-new': 7 }), 'x-new');
    assert.deepEqual([description?.default.kind, description?.changed], ['unknown', false]);
  });

  it('that make QEMU execute something are not set without asking', () => {
    const asking = describeParameters(factsOf('11.1-stock')).filter(
      ({ name }) => needsConsent(name) !== undefined,
    );
    assert.deepEqual(
      asking.map(({ name }) => name),
      ['cpr-exec-command'],
    );
    assert.match(
      needsConsent('cpr-exec-command') ?? '',
      /executes this command in place of itself/,
    );
  });
});

describe('setting', () => {
  let stage: Stage;
  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.dispose());

  for (const value of [2n ** 53n + 1n, 2n ** 64n - 1n]) {
    it(`a parameter to ${value} sends exactly that and reads it back`, async () => {
      const { server, machine } = await stage.machine();
      const sent: unknown[] = [];
      server.on('migrate-set-parameters', (args) => {
        sent.push(args['max-bandwidth']);
        server.qemu.parameters = { ...server.qemu.parameters, ...args };
        return {};
      });
      assert.equal(await setParameter(machine, 'max-bandwidth', value), value);
      assert.deepEqual(sent, [value]);
      assert.equal(factsOfMachine(machine).parameters['max-bandwidth'], value);
    });
  }

  it("a parameter that QEMU refuses rejects with QEMU's words and leaves the value", async () => {
    const { server, machine } = await stage.machine();
    await assert.rejects(setParameter(machine, 'multifd-channels', 0), (error) => {
      assert.ok(error instanceof QmpCommandError);
      assert.match(explain(error).headline, /migrate-set-parameters: .*multifd.channels/);
      return true;
    });
    assert.equal(factsOfMachine(machine).parameters['multifd-channels'], 2);
    assert.equal(server.commands.at(-1), 'migrate-set-parameters');
  });

  it('a parameter shows what QEMU made of it, not what was asked for', async () => {
    const { server, machine } = await stage.machine();
    server.on('migrate-set-parameters', () => ({}));
    assert.equal(await setParameter(machine, 'downtime-limit', 5), 300);
    assert.equal(factsOfMachine(machine).parameters['downtime-limit'], 300);
  });

  it('a capability reads it back, and says when QEMU kept the old state', async () => {
    const { server, machine } = await stage.machine();
    const isOn = (name: string): boolean | undefined =>
      factsOfMachine(machine).capabilities.find((entry) => entry.name === name)?.enabled;
    assert.deepEqual(await setCapabilities(machine, { xbzrle: true }), { xbzrle: true });
    assert.equal(isOn('xbzrle'), true);
    await assert.rejects(setCapabilities(machine, { 'no-such': true }), QmpCommandError);
    server.on('migrate-set-capabilities', () => ({}));
    await assert.rejects(setCapabilities(machine, { xbzrle: false }), CapabilityNotTakenError);
    assert.equal(isOn('xbzrle'), true);
  });

  it('several capabilities is one command, all or nothing', async () => {
    const { server, machine } = await stage.machine();
    const before = server.commands.length;
    const wanted = { events: true, 'return-path': true };
    assert.deepEqual(await setCapabilities(machine, wanted), wanted);
    assert.deepEqual(server.commands.slice(before), [
      'migrate-set-capabilities',
      'query-migrate-capabilities',
    ]);
  });

  it('backend transfer where it is a list is refused, in words, and the list is edited', async () => {
    const name = 'backend-transfer';
    const schema = schemaReplyWith('backend-transfer', name, '[str]');
    const { server, machine } = await stage.machine({
      build: 'backend-transfer',
      overrides: { 'query-qmp-schema': schema },
    });
    let entries: JsonValue = [];
    server.on('query-migrate-parameters', () => ({ ...server.qemu.parameters, [name]: entries }));
    server.on('migrate-set-parameters', (args) => {
      entries = args[name] ?? [];
      return {};
    });
    await machine.refresh(['parameters']);
    const offer = backendTransferOf(machine.snapshot);
    assert.ok(offer?.kind === 'list');
    assert.deepEqual(offer.entries, []);
    const row = (): ViewNode | undefined =>
      buildMachineNode(machine.snapshot, undefined).children.find(
        ({ kind }) => kind === 'backend-transfer',
      );
    assert.equal(row()?.description, `off · list "${name}"`);
    assert.ok(row()?.tags.includes('list') && !row()?.tags.includes('boolean'));

    assert.throws(
      () => switchBackendTransfer(machine.snapshot, true),
      (error) => {
        assert.ok(error instanceof BackendTransferError);
        assert.match(explain(error).headline, /is a list, "backend-transfer", not a switch/);
        assert.match(explain(error).nextStep ?? '', /Edit the list/);
        return true;
      },
    );
    const description = describeParameter(factsOfMachine(machine), name);
    assert.ok(description?.editable && description.control === 'list');
    assert.equal(editText(description), '[]');
    for (const bad of ['{"a":1}', '[1]', '["a"', 'a "b']) {
      assert.equal(parseParameterInput(description, bad).ok, false, bad);
    }
    const input = parseParameterInput(description, '["virtio-net-tap"]');
    assert.ok(input.ok);
    await setParameter(machine, name, input.value);
    assert.equal(row()?.description, `virtio-net-tap · list "${name}"`);
  });

  it('no run is started that would need a list edited first', () => {
    const name = 'backend-transfer';
    const listed = (entries: readonly string[], status = 'running'): ReturnType<typeof factsOf> =>
      changed(
        factsOf('backend-transfer', {
          schema: schemaWith('backend-transfer', name, '[str]'),
          runState: { status, running: status === 'running' },
        }),
        { [name]: entries },
      );
    const reasons = (backendTransfer: 'on' | 'off', entries: readonly string[]): string[] =>
      findObstacles(
        requestOf({ backendTransfer }),
        snapshotOf('a', listed(entries)),
        snapshotOf('b', listed(entries, 'inmigrate')),
      ).map(({ reason }) => reason);
    assert.match(reasons('on', []).join(' '), /list in the QEMU of a .* and it is empty/);
    assert.match(reasons('off', ['x']).join(' '), /list in the QEMU of b .* and it is not empty/);
    assert.deepEqual([reasons('on', ['x']), reasons('off', [])], [[], []]);
  });
});
