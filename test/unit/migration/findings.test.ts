import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { allCapabilities, allParameters } from '../../../src/migration/settings/catalogue';
import { isEmptyChange } from '../../../src/migration/settings/change';
import {
  checkChange,
  SettingsRefusedError,
  type SettingFinding,
} from '../../../src/migration/settings/findings';
import { stringifyJson, type JsonObject, type JsonValue } from '../../../src/qmp/json';
import type { VmFacts } from '../../../src/vm/types';
import { builds } from '../../support/recordings';
import { changed, factsOf, schemaWith } from './support';

type Capabilities = Readonly<Record<string, boolean>>;

function check(
  parameters: JsonObject,
  capabilities: Capabilities = {},
  facts: VmFacts = factsOf('local'),
): readonly SettingFinding[] {
  const findings = checkChange(facts, { parameters, capabilities });
  for (const { name, text } of findings) {
    assert.ok(text.includes(name), `${name}: ${text}`);
    assert.match(text, /^\S.*[.?]$/s);
    assert.doesNotMatch(text, /undefined|\[object|NaN/);
  }
  return findings;
}

function only(findings: readonly SettingFinding[], level: SettingFinding['level']): SettingFinding {
  assert.equal(findings.length, 1, findings.map(({ text }) => text).join(' '));
  const [finding] = findings;
  assert.ok(finding?.level === level, finding?.text);
  return finding;
}

/** That the fix, made part of the change, leaves nothing to say. */
function isFixed(
  { fix }: SettingFinding,
  parameters: JsonObject,
  capabilities: Capabilities = {},
  facts: VmFacts = factsOf('local'),
): void {
  assert.ok(fix !== undefined && !isEmptyChange(fix));
  const both = {
    parameters: { ...parameters, ...fix.parameters },
    capabilities: { ...capabilities, ...fix.capabilities },
  };
  assert.deepEqual(checkChange(facts, both), []);
}

describe('the check of a change', () => {
  for (const build of builds) {
    it(`${build}: has nothing to say of what is so already, nor of the defaults`, () => {
      const facts = factsOf(build);
      const capabilities = Object.fromEntries(
        facts.capabilities.map(({ name, enabled }) => [name, enabled]),
      );
      assert.deepEqual(check(facts.parameters, capabilities, facts), []);
      const everything = changed(
        facts,
        { 'multifd-channels': 8, 'multifd-zlib-level': 9, 'cpu-throttle-initial': 50 },
        Object.fromEntries(facts.capabilities.map(({ name }) => [name, name !== 'mapped-ram'])),
      );
      assert.deepEqual(
        check(facts.parameters, capabilities, everything).filter(({ level }) => level !== 'warn'),
        [],
      );
    });

    it(`${build}: refuses no legal value of any parameter on its own`, () => {
      const facts = factsOf(build);
      for (const { name, range, values } of allParameters) {
        const offered = facts.schema.enumValues('migrate-set-parameters', name);
        if (facts.schema.argument('migrate-set-parameters', name) === undefined) continue;
        // Below `cpu-throttle-initial`, or above `max-cpu-throttle`, is another matter.
        if (name === 'max-cpu-throttle') continue;
        const legal: JsonValue[] = [
          ...(range ? [range.min, range.max] : []),
          ...(values ?? []).map(({ value }) => value).filter((value) => offered.includes(value)),
        ];
        for (const value of legal) {
          const refusals = check({ [name]: value }, {}, facts).filter(
            ({ level }) => level === 'refuse',
          );
          assert.deepEqual(refusals, [], `${name} ${stringifyJson(value)}`);
        }
      }
    });
  }

  it('refuses what this QEMU does not have, with what is known of it', () => {
    assert.match(only(check({ 'max-bandwith': 1 }), 'refuse').text, /no migration parameter/);
    assert.match(only(check({ 'compress-level': 1 }), 'refuse').text, /gone since 9\.1/);
    assert.match(only(check({}, { 'no-such': true }), 'refuse').text, /no migration capability/);
    assert.match(only(check({}, { compress: false }), 'refuse').text, /gone since 9\.1/);
    assert.match(only(check({ 'backend-transfer': true }), 'refuse').text, /builds with patches/);
    const old = factsOf('11.1-stock');
    assert.match(only(check({ local: true }, {}, old), 'refuse').text, /came with QEMU 11\.2/);
    for (const name of ['constructor', '__proto__', '']) {
      assert.equal(check({ [name]: 1 }).length, 1, name);
    }
  });

  it('refuses what QEMU reports and does not let be set', () => {
    const facts = changed(factsOf('local'), { 'x-read-only': 1 });
    assert.match(only(check({ 'x-read-only': 2 }, {}, facts), 'refuse').text, /does not let it be/);
  });

  it('refuses another type, by the schema', () => {
    for (const [name, value] of [
      ['max-bandwidth', '1G'],
      ['max-bandwidth', 0.5],
      ['max-bandwidth', -1],
      ['max-bandwidth', 2n ** 64n],
      ['max-bandwidth', null],
      ['multifd-channels', 256],
      ['cpu-throttle-tailslow', 1],
      ['tls-creds', 3],
      ['multifd-compression', 'rar'],
      ['multifd-compression', true],
      ['cpr-exec-command', 'qemu'],
      ['cpr-exec-command', [1]],
      ['block-bitmap-mapping', null],
      ['block-bitmap-mapping', [{ alias: 'a' }]],
    ] as const) {
      only(check({ [name]: value }), 'refuse');
    }
    assert.match(only(check({ 'multifd-compression': 'rar' }), 'refuse').text, /none, zlib/);
    assert.deepEqual(check({ 'tls-creds': null, 'tls-hostname': 'a' }), []);
    const odd = { events: 'on' } as unknown as Capabilities;
    assert.match(only(check({}, odd), 'refuse').text, /true or false/);
  });

  it('refuses what is out of the range that QEMU takes', () => {
    assert.match(only(check({ 'downtime-limit': 2_000_001 }), 'refuse').text, /between 0 ms and/);
    assert.match(only(check({ 'multifd-channels': 0 }), 'refuse').text, /between 1 and 255/);
    assert.match(only(check({ 'xbzrle-cache-size': 5000 }), 'refuse').text, /power of two/);
    // QEMU 7.2 takes it without a word and ignores it.
    only(check({ 'multifd-zlib-level': 10 }), 'refuse');
  });

  it('knows only the type of what it has never heard of', () => {
    const facts = {
      ...changed(factsOf('local'), { 'x-new': 5 }),
      schema: schemaWith('local', 'x-new', 'int'),
      migration: { status: 'active' },
    };
    assert.deepEqual(check({ 'x-new': 12 }, {}, facts), []);
    only(check({ 'x-new': 'many' }, {}, facts), 'refuse');
  });

  describe('of the two ends of throttling', () => {
    it('refuses a first step above the last, and offers to move the other', () => {
      const low = { 'cpu-throttle-initial': 50 };
      const high = { 'max-cpu-throttle': 10 };
      assert.equal(only(refusals(check(high)), 'refuse').name, 'max-cpu-throttle');
      const capped = changed(
        factsOf('local'),
        { 'max-cpu-throttle': 40 },
        { 'auto-converge': true },
      );
      const finding = only(check(low, {}, capped), 'refuse');
      assert.deepEqual(finding.fix?.parameters, { 'max-cpu-throttle': 50 });
      isFixed(finding, low, {}, capped);
      const free = changed(factsOf('local'), {}, { 'auto-converge': true });
      isFixed(only(check(high, {}, free), 'refuse'), high, {}, free);
      assert.deepEqual(refusals(check({ 'cpu-throttle-initial': 60, 'max-cpu-throttle': 60 })), []);
      assert.deepEqual(refusals(check({ 'downtime-limit': 1 }, {}, capped)), []);
    });
  });

  describe('of what a setting needs', () => {
    it('warns of a parameter without effect, and offers what it needs', () => {
      const finding = only(check({ 'multifd-channels': 4 }), 'warn');
      assert.match(finding.text, /no effect unless multifd is on/);
      assert.deepEqual(finding.fix, { parameters: {}, capabilities: { multifd: true } });
      assert.deepEqual(check({ 'multifd-channels': 4 }, { multifd: true }), []);
      const on = changed(factsOf('local'), {}, { multifd: true });
      assert.deepEqual(check({ 'multifd-channels': 4 }, {}, on), []);
      only(check({ 'multifd-channels': 4 }, { multifd: false }, on), 'warn');
    });

    it('asks for another parameter too', () => {
      const level = { 'multifd-zlib-level': 5 };
      const finding = only(check(level), 'warn');
      assert.match(finding.text, /multifd is on and multifd-compression is zlib/);
      isFixed(finding, level);
      const on = changed(factsOf('local'), {}, { multifd: true });
      assert.match(only(check(level, {}, on), 'warn').text, /unless multifd-compression is zlib/);
    });

    it('says so when this QEMU does not offer it', () => {
      const finding = only(
        check({ 'multifd-qatzip-level': 5 }).filter(({ level }) => level === 'warn'),
        'warn',
      );
      assert.match(finding.text, /this QEMU does not offer/);
      assert.equal(finding.fix, undefined);
    });

    it('does not warn of going back to the default', () => {
      const facts = changed(factsOf('local'), { 'multifd-channels': 4 });
      assert.deepEqual(check({ 'multifd-channels': 2 }, {}, facts), []);
    });

    for (const [name, need] of [
      ['postcopy-preempt', 'postcopy-ram'],
      ['switchover-ack', 'return-path'],
      ['zero-copy-send', 'multifd'],
    ] as const) {
      it(`refuses ${name} without ${need}, on the way there and back`, () => {
        const finding = only(check({}, { [name]: true }), 'refuse');
        assert.deepEqual(finding.fix?.capabilities, { [need]: true });
        isFixed(finding, {}, { [name]: true });
        const on = changed(factsOf('local'), {}, { [name]: true, [need]: true });
        const off = only(check({}, { [need]: false }, on), 'refuse');
        assert.deepEqual(off.fix?.capabilities, { [name]: false });
        isFixed(off, {}, { [need]: false }, on);
        assert.deepEqual(check({}, { [name]: false }, on), []);
        // One of the two is to go off, and the other to come on: it is told once.
        const out = changed(factsOf('local'), {}, { [need]: true });
        only(check({}, { [name]: true, [need]: false }, out), 'refuse');
      });
    }
  });

  it('warns of what some versions refuse together, once, and offers to turn the other off', () => {
    const finding = only(check({}, { xbzrle: true, multifd: true }), 'warn');
    assert.match(finding.text, /do not go together/);
    const on = changed(factsOf('local'), {}, { multifd: true });
    const other = only(check({}, { xbzrle: true }, on), 'warn');
    assert.deepEqual(other.fix?.capabilities, { multifd: false });
    isFixed(other, {}, { xbzrle: true }, on);
    assert.deepEqual(check({}, { xbzrle: true, multifd: false }, on), []);
  });

  describe('of memory that has to be sent as it is', () => {
    for (const [name, extra] of [
      ['zero-copy-send', { multifd: true }],
      ['mapped-ram', {}],
    ] as const) {
      for (const parameters of [{ 'multifd-compression': 'zlib' }, { 'tls-creds': 'tls0' }]) {
        const label = Object.keys(parameters).join();

        it(`refuses ${name} with ${label}, whichever comes second`, () => {
          const capabilities = { ...extra, [name]: true };
          const before = changed(factsOf('local'), parameters);
          const finding = only(check({}, capabilities, before), 'refuse');
          assert.equal(finding.name, name);
          isFixed(finding, {}, capabilities, before);
          const on = changed(factsOf('local'), {}, { multifd: true, [name]: true });
          const second = only(check(parameters, {}, on), 'refuse');
          assert.equal(second.name, label);
          isFixed(second, parameters, {}, on);
          assert.equal(refusals(check(parameters, capabilities)).length, 1);
          assert.deepEqual(refusals(check(parameters, { [name]: false }, on)), []);
        });
      }
    }

    it('warns that mapped-ram keeps QEMU from any change, once it is in that state', () => {
      const facts = changed(
        factsOf('local'),
        { 'multifd-compression': 'zlib' },
        { multifd: true, 'mapped-ram': true },
      );
      for (const parameters of [{ 'downtime-limit': 1 }, { 'multifd-compression': 'none' }]) {
        const finding = only(check(parameters, {}, facts), 'warn');
        assert.match(finding.text, /mapped-ram off first/);
        isFixed(finding, parameters, {}, facts);
      }
      assert.deepEqual(check({}, { events: true }, facts), []);
    });
  });

  describe('while a migration runs', () => {
    const running = factsOf('local', { migration: { status: 'active' } });
    const over = factsOf('local', { migration: { status: 'completed' } });
    const listening = factsOf('local', {
      migration: { status: 'setup' },
      runState: { status: 'inmigrate', running: false },
    });

    it('lets through what takes effect, and refuses the rest', () => {
      for (const name of ['max-bandwidth', 'downtime-limit']) {
        assert.deepEqual(check({ [name]: 5 }, {}, running), []);
      }
      assert.match(only(check({ mode: 'cpr-reboot' }, {}, running), 'refuse').text, /no effect on/);
      assert.match(only(check({}, { events: true }, running), 'refuse').text, /changes no capab/);
      assert.deepEqual(check({ mode: 'cpr-reboot' }, { events: true }, over), []);
    });

    it('has nothing to say of what is so already', () => {
      assert.deepEqual(check({ 'multifd-channels': 2 }, { events: false }, running), []);
    });

    it('warns on a side that listens of what it may have looked at already', () => {
      const on = changed(listening, {}, { multifd: true });
      assert.match(
        only(check({ 'multifd-channels': 4 }, {}, on), 'warn').text,
        /may come too late/,
      );
      only(check({}, { multifd: true }, listening), 'warn');
      assert.deepEqual(check({ mode: 'cpr-reboot' }, { events: true }, listening), []);
    });
  });

  it('gives an error that has the refusals, and their words', () => {
    const findings = check({ 'multifd-channels': 0, 'no-such': 1 });
    const error = new SettingsRefusedError({ id: '/run/a', label: 'a' }, findings);
    assert.equal(error.message, findings.map(({ text }) => text).join(' '));
  });
});

describe('the catalogue of needs and conflicts', () => {
  it('names only what it knows, and conflicts are mutual', () => {
    const known = new Map(allCapabilities.map((info) => [info.name, info]));
    for (const { name, needs, conflicts } of allCapabilities) {
      for (const other of [...(needs ?? []), ...(conflicts ?? [])]) assert.ok(known.has(other));
      for (const other of conflicts ?? []) {
        assert.ok(known.get(other)?.conflicts?.includes(name), `${name}, ${other}`);
      }
    }
  });
});

function refusals(findings: readonly SettingFinding[]): readonly SettingFinding[] {
  return findings.filter(({ level }) => level === 'refuse');
}
