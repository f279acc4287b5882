import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'mocha';
import {
  applyProfile,
  planProfile,
  ProfileNotApplicableError,
  profileOf,
  profileOfPair,
  sideOf,
  type ProfileRow,
} from '../../../../src/migration/profiles/apply';
import { builtinProfiles } from '../../../../src/migration/profiles/builtin';
import { parseProfileFile, withProfile } from '../../../../src/migration/profiles/profileFile';
import type { Profile } from '../../../../src/migration/profiles/types';
import { SettingsNotAppliedError } from '../../../../src/migration/settings/change';
import { SettingsHistory } from '../../../../src/migration/settings/history';
import type { JsonObject } from '../../../../src/qmp/json';
import { NotConnectedError, type MachineHandle, type VmFacts } from '../../../../src/vm/types';
import { FakeRefusal, type FakeQmpServer } from '../../../support/fakeQmpServer';
import { builds, type Build } from '../../../support/recordings';
import { MemoryStore, Stage } from '../../vm/support';
import { MachineRegistry } from '../../../../src/vm/registry';
import { devicePermissions } from '../../../../src/migration/settings/backendTransfer';
import { changed, factsOf, schemaWith, snapshotOf } from '../support';

/** A profile as a file has it. */
function profile(members: string): Profile {
  const text = `{ "version": 1, "profiles": { "p": { ${members} } } }`;
  const { profiles, problems } = parseProfileFile(text);
  assert.ok(profiles[0], JSON.stringify(problems));
  return profiles[0];
}

function row(rows: readonly ProfileRow[], name: string): ProfileRow {
  const found = rows.find((each) => each.name === name);
  assert.ok(found, name);
  return found;
}

const local = factsOf('local');

describe('a profile, planned for a machine', () => {
  it('asks for what differs, in the numbers of QEMU, and shows all of it', () => {
    const plan = planProfile(
      profile(
        `"parameters": { "max-bandwidth": "2 GiB/s", "downtime-limit": "0.3 s", "tls-creds": null },
         "capabilities": { "multifd": true, "xbzrle": false }`,
      ),
      local,
      'source',
    );
    assert.deepEqual(plan.problems, []);
    assert.deepEqual(plan.change, {
      parameters: { 'max-bandwidth': 2n ** 31n },
      capabilities: { multifd: true },
    });
    const shared = { kind: 'parameter', skipped: false } as const;
    assert.deepEqual(plan.rows, [
      { ...shared, name: 'max-bandwidth', now: '128 MiB/s', wanted: '2 GiB/s', equal: false },
      { ...shared, name: 'downtime-limit', now: '300 ms', wanted: '300 ms', equal: true },
      { ...shared, name: 'tls-creds', now: 'empty', wanted: 'empty', equal: true },
      { ...shared, kind: 'capability', name: 'multifd', now: 'off', wanted: 'on', equal: false },
      { ...shared, kind: 'capability', name: 'xbzrle', now: 'off', wanted: 'off', equal: true },
    ]);
  });

  it('sets each side to what it has for both, and what it has for that side on top', () => {
    const both = profile(
      `"parameters": { "announce-rounds": 7, "downtime-limit": 100 },
       "source": { "parameters": { "downtime-limit": 50 } },
       "target": { "parameters": { "announce-rounds": 9 }, "capabilities": { "events": true } }`,
    );
    assert.deepEqual(planProfile(both, local, 'source').change, {
      parameters: { 'announce-rounds': 7, 'downtime-limit': 50 },
      capabilities: {},
    });
    assert.deepEqual(planProfile(both, local, 'target').change, {
      parameters: { 'announce-rounds': 9, 'downtime-limit': 100 },
      capabilities: { events: true },
    });
  });

  it('takes a machine alone for a target only while it waits for a migration', () => {
    const of = (status: string): string =>
      sideOf(snapshotOf('a', { ...local, runState: { status, running: false } }));
    assert.deepEqual(['running', 'paused', 'postmigrate'].map(of), ['source', 'source', 'source']);
    assert.equal(of('inmigrate'), 'target');
    assert.equal(sideOf(snapshotOf('a', undefined)), 'source');
  });

  it('keeps integers exact', () => {
    const { change } = planProfile(
      profile('"parameters": { "max-bandwidth": 9007199254740993 }'),
      local,
      'source',
    );
    assert.deepEqual(change.parameters, { 'max-bandwidth': 9007199254740993n });
  });

  it('leaves out what this QEMU lacks only where the profile says so', () => {
    const members = '"parameters": { "compress-level": 3 }, "capabilities": { "local-tap": true }';
    const strict = planProfile(profile(members), local, 'source');
    assert.equal(strict.problems.length, 2);
    assert.match(
      strict.problems[0] ?? '',
      /^QEMU 11\.1\.0 has no parameter compress-level: it was removed in QEMU 9\.1\..*optional/,
    );
    assert.match(strict.problems[1] ?? '', /no capability local-tap: only patched builds have it/);
    const lenient = profile(`${members}, "optional": ["compress-level", "local-tap"]`);
    const plan = planProfile(lenient, local, 'source');
    assert.deepEqual(plan.problems, []);
    assert.deepEqual(plan.change, { parameters: {}, capabilities: {} });
    assert.deepEqual(row(plan.rows, 'compress-level'), {
      kind: 'parameter',
      name: 'compress-level',
      now: 'not in this QEMU',
      wanted: '3',
      equal: false,
      skipped: true,
    });
  });

  it('finds a capability off where this QEMU does not have it', () => {
    const plan = planProfile(profile('"capabilities": { "compress": false }'), local, 'source');
    assert.deepEqual(plan.problems, []);
    const { now, wanted, equal, skipped } = row(plan.rows, 'compress');
    assert.deepEqual([now, wanted, equal, skipped], ['not in this QEMU', 'off', true, true]);
  });

  it('says what QEMU would refuse, and what a name may be a slip of', () => {
    const problemsOf = (members: string, facts: VmFacts = local): readonly string[] =>
      planProfile(profile(members), facts, 'source').problems;
    assert.match(
      problemsOf('"parameters": { "max-bandwith": 1 }').join(),
      /no parameter max-bandwith. Did you mean max-bandwidth\?/,
    );
    assert.match(
      problemsOf('"capabilities": { "switchover-ack": true }').join(),
      /switchover-ack needs the capability return-path/,
    );
    assert.deepEqual(
      problemsOf('"capabilities": { "switchover-ack": true, "return-path": true }'),
      [],
    );
    const running = { ...local, migration: { status: 'active' } };
    assert.match(problemsOf('"capabilities": { "events": true }', running).join(), /under way/);
    assert.deepEqual(problemsOf('"capabilities": { "events": false }', running), []);
  });

  it('sets a parameter that nobody here has heard of, by its type in this QEMU', () => {
    const facts = { ...local, schema: schemaWith('local', 'of-tomorrow', 'int') };
    const plan = planProfile(profile('"parameters": { "of-tomorrow": "42" }'), facts, 'source');
    assert.deepEqual(plan.problems, []);
    assert.deepEqual(plan.change.parameters, { 'of-tomorrow': 42n });
    assert.deepEqual(row(plan.rows, 'of-tomorrow').now, 'not set');
    const wrong = profile('"parameters": { "of-tomorrow": "2 GiB" }');
    assert.match(planProfile(wrong, facts, 'source').problems.join(), /of-tomorrow: .*"GiB"/);
    const list = profile('"parameters": { "of-tomorrow": [] }');
    assert.match(planProfile(list, facts, 'source').problems.join(), /whole number/);
  });

  it('never carries a command that QEMU would run, wherever the profile came from', () => {
    const facts = factsOf('11.1-stock');
    const bad: Profile = {
      ...profile(''),
      both: { parameters: { 'cpr-exec-command': ['/bin/sh'] }, capabilities: {} },
    };
    const plan = planProfile(bad, facts, 'source');
    assert.match(plan.problems.join(), /must not carry it/);
    assert.deepEqual(plan.change.parameters, {});
  });
});

describe('backend transfer in a profile', () => {
  const on = profile('"backendTransfer": true');
  const off = profile('"backendTransfer": false');

  for (const [build, name] of [
    ['local', 'local'],
    ['backend-transfer', 'backend-transfer'],
  ] as const) {
    it(`is the parameter ${name} where QEMU calls it that`, () => {
      const facts = factsOf(build);
      const plan = planProfile(on, facts, 'source');
      assert.deepEqual(plan.change.parameters, { [name]: true });
      assert.deepEqual(
        plan.rows.map((each) => [each.name, each.now, each.wanted, each.equal]),
        [[name, 'off', 'on', false]],
      );
      assert.deepEqual(planProfile(off, facts, 'target').change.parameters, {});
    });
  }

  it('cannot be had from a QEMU without it, which may have modes for the same end', () => {
    const facts = factsOf('11.1-stock');
    const { problems, change } = planProfile(on, facts, 'source');
    assert.match(
      problems.join(),
      /^QEMU 11\.1\.0 has no backend transfer\. To the same end .* cpr-transfer and cpr-exec\.$/,
    );
    assert.deepEqual(change.parameters, {});
    const optional = profile('"backendTransfer": true, "optional": ["backendTransfer"]');
    const plan = planProfile(optional, facts, 'source');
    assert.deepEqual(plan.problems, []);
    assert.equal(plan.rows[0]?.skipped, true);
  });

  it('is emptied, but not guessed, where it is a list', () => {
    const facts = {
      ...changed(factsOf('11.1-stock'), { 'backend-transfer': ['virtio-net-tap'] }),
      schema: schemaWith('11.1-stock', 'backend-transfer', '[str]'),
    };
    assert.deepEqual(planProfile(off, facts, 'source').change.parameters, {
      'backend-transfer': [],
    });
    assert.match(
      planProfile(on, facts, 'source').problems.join(),
      /the list "backend-transfer".*under "parameters"/,
    );
    const listed = profile('"parameters": { "backend-transfer": ["/machine/nic"] }');
    assert.deepEqual(planProfile(listed, facts, 'source').change.parameters, {
      'backend-transfer': ['/machine/nic'],
    });
  });
});

interface Vm {
  readonly server: FakeQmpServer;
  readonly machine: MachineHandle;
}

describe('a profile, applied', () => {
  let stage: Stage;
  let registry: MachineRegistry;
  let history: SettingsHistory;

  beforeEach(() => {
    stage = new Stage();
    registry = new MachineRegistry({
      store: new MemoryStore(),
      devicePermissions,
      procRoot: '/nowhere',
    });
    stage.onEnd(() => registry.dispose());
    history = new SettingsHistory(registry);
    stage.onEnd(() => history.dispose());
  });
  afterEach(() => stage.dispose());

  async function vm(build: Build): Promise<Vm> {
    const server = await stage.server({ build });
    return { server, machine: await registry.connect(server.path) };
  }

  const sent = ({ server }: Vm): readonly string[] =>
    server.commands.filter((command) => command.startsWith('migrate-set-'));
  const parametersOf = ({ server }: Vm): JsonObject => server.qemu.parameters;

  it('sets both sides as one step, each under its own names, and one undo brings all back', async () => {
    const [a, b] = [await vm('local'), await vm('backend-transfer')];
    const before = [a, b].map(parametersOf);
    const wanted = profile(
      `"backendTransfer": true, "capabilities": { "return-path": true },
       "source": { "parameters": { "max-bandwidth": 0 } }`,
    );
    const step = await applyProfile(history, wanted, [
      { machine: a.machine, side: 'source' },
      { machine: b.machine, side: 'target' },
    ]);
    assert.equal(
      step?.title,
      `profile p on ${a.machine.snapshot.label} and ${b.machine.snapshot.label}`,
    );
    assert.deepEqual([parametersOf(a)['local'], parametersOf(a)['max-bandwidth']], [true, 0]);
    assert.equal(parametersOf(b)['backend-transfer'], true);
    assert.equal(parametersOf(b)['max-bandwidth'], before[1]?.['max-bandwidth']);
    assert.equal(b.server.qemu.capabilities.get('return-path'), true);
    assert.equal(history.last, step);
    await history.undo();
    assert.deepEqual([a, b].map(parametersOf), before);
    assert.equal(a.server.qemu.capabilities.get('return-path'), false);
  });

  it('that one side cannot take is sent to none', async () => {
    const [a, b] = [await vm('local'), await vm('11.1-stock')];
    const attempt = applyProfile(history, profile('"backendTransfer": true'), [
      { machine: a.machine, side: 'source' },
      { machine: b.machine, side: 'target' },
    ]);
    await assert.rejects(attempt, (error) => {
      assert.ok(error instanceof ProfileNotApplicableError);
      assert.equal(error.profile, 'p');
      assert.equal(error.label, b.machine.snapshot.label);
      assert.match(error.problems.join(), /^QEMU 11\.1\.\d+ has no backend transfer/);
      return true;
    });
    assert.deepEqual([...sent(a), ...sent(b)], []);
    assert.equal(history.last, undefined);
  });

  it('that neither side can take names both', async () => {
    const [a, b] = [await vm('local'), await vm('11.1-stock')];
    const attempt = applyProfile(history, profile('"capabilities": { "compress": true }'), [
      { machine: a.machine, side: 'source' },
      { machine: b.machine, side: 'target' },
    ]);
    await assert.rejects(attempt, (error) => {
      assert.ok(error instanceof ProfileNotApplicableError);
      const labels = [a, b].map(({ machine }) => machine.snapshot.label);
      assert.equal(error.label, labels.join(' and '));
      assert.deepEqual(
        error.problems.map((problem) => problem.split(':')[0]),
        labels,
      );
      return true;
    });
  });

  it('and refused by QEMU on the second side is taken back on the first', async () => {
    const [a, b] = [await vm('local'), await vm('local')];
    const before = [a, b].map(parametersOf);
    b.server.on('migrate-set-parameters', () => {
      throw new FakeRefusal('not today');
    });
    const attempt = applyProfile(history, profile('"parameters": { "downtime-limit": "1 s" }'), [
      { machine: a.machine, side: 'source' },
      { machine: b.machine, side: 'target' },
    ]);
    await assert.rejects(attempt, SettingsNotAppliedError);
    assert.deepEqual([a, b].map(parametersOf), before);
  });

  it('goes by what QEMU has at that moment, and is no step when it has all of it', async () => {
    const a = await vm('local');
    const side = [{ machine: a.machine, side: 'source' }] as const;
    const wanted = profile('"parameters": { "downtime-limit": "1 s" }');
    a.server.qemu.parameters = { ...a.server.qemu.parameters, 'downtime-limit': 1000 };
    assert.equal(await applyProfile(history, wanted, side), undefined);
    assert.deepEqual(sent(a), []);
    a.server.qemu.migration = { status: 'active' };
    const late = profile('"capabilities": { "events": true }');
    await assert.rejects(applyProfile(history, late, side), ProfileNotApplicableError);
  });

  it('to a machine that is not connected changes nothing on the other', async () => {
    const [a, b] = [await vm('local'), await vm('local')];
    await registry.disconnect(b.machine.id);
    const attempt = applyProfile(history, profile('"parameters": { "downtime-limit": "1 s" }'), [
      { machine: a.machine, side: 'source' },
      { machine: b.machine, side: 'target' },
    ]);
    await assert.rejects(attempt, NotConnectedError);
    assert.deepEqual(sent(a), []);
  });
});

describe('settings saved as a profile', () => {
  it('are those that were changed, as a person would write them', () => {
    const facts = changed(
      local,
      { 'max-bandwidth': 0, 'downtime-limit': 1500, 'multifd-channels': 4, 'tls-creds': 'tls0' },
      { multifd: true },
    );
    assert.deepEqual(profileOf(facts, 'changed'), {
      parameters: {
        'downtime-limit': '1.5 s',
        'max-bandwidth': 0,
        'multifd-channels': 4,
        'tls-creds': 'tls0',
      },
      capabilities: { multifd: true },
    });
    assert.deepEqual(profileOf(local, 'changed'), { parameters: {}, capabilities: {} });
  });

  it('keep a number that has no short form exact', () => {
    const odd = 2n ** 64n - 1n;
    const facts = changed(local, { 'max-bandwidth': odd });
    assert.deepEqual(profileOf(facts, 'changed').parameters, { 'max-bandwidth': odd });
  });

  it('call backend transfer by no name of one QEMU', () => {
    for (const [build, name] of [
      ['local', 'local'],
      ['backend-transfer', 'backend-transfer'],
    ] as const) {
      const saved = profileOf(changed(factsOf(build), { [name]: true }), 'changed');
      assert.deepEqual(saved, { backendTransfer: true, parameters: {}, capabilities: {} });
    }
  });

  it('never have the command that QEMU runs, nor the disks of one guest', () => {
    const facts = changed(factsOf('11.1-stock'), {
      'cpr-exec-command': ['/bin/sh'],
      'block-bitmap-mapping': [{ 'node-name': 'a', alias: 'b', bitmaps: [] }],
      mode: 'cpr-exec',
    });
    assert.deepEqual(profileOf(facts, 'changed').parameters, { mode: 'cpr-exec' });
  });

  for (const build of builds) {
    it(`all of them, make a file that asks nothing of the same machine (${build})`, () => {
      const facts = changed(
        factsOf(build),
        { 'max-bandwidth': 2n ** 53n + 1n, 'downtime-limit': 50 },
        { 'return-path': true },
      );
      const text = withProfile(undefined, {
        name: 'now',
        description: undefined,
        settings: profileOf(facts, 'all'),
      });
      const { profiles, problems } = parseProfileFile(text);
      assert.deepEqual(problems, []);
      const plan = planProfile(profiles[0]!, facts, 'source');
      assert.deepEqual(plan.problems, []);
      assert.deepEqual(plan.change, { parameters: {}, capabilities: {} });
      const kept = new Set(plan.rows.map(({ name }) => name));
      const missing = Object.keys(facts.parameters).filter((name) => !kept.has(name));
      assert.deepEqual(missing, 'cpr-exec-command' in facts.parameters ? ['cpr-exec-command'] : []);
      const other = planProfile(profiles[0]!, factsOf(build), 'target');
      assert.deepEqual(other.change, {
        parameters: { 'max-bandwidth': 2n ** 53n + 1n, 'downtime-limit': 50n },
        capabilities: { 'return-path': true },
      });
    });
  }

  it('of a pair keep apart what the sides do not have alike', () => {
    const source = changed(local, { 'max-bandwidth': 0, 'downtime-limit': 50 }, { events: true });
    const target = changed(local, { 'downtime-limit': 50, 'announce-rounds': 9 });
    assert.deepEqual(profileOfPair(source, target, 'changed'), {
      settings: { parameters: { 'downtime-limit': '50 ms' }, capabilities: {} },
      source: { parameters: { 'max-bandwidth': 0 }, capabilities: { events: true } },
      target: { parameters: { 'announce-rounds': 9 }, capabilities: {} },
    });
  });

  it('of a pair with backend transfer on one side only say on which', () => {
    const on = changed(local, { local: true });
    const other = changed(factsOf('backend-transfer'), { 'backend-transfer': true });
    const none = { parameters: {}, capabilities: {} };
    assert.deepEqual(profileOfPair(on, other, 'changed'), {
      settings: { backendTransfer: true, ...none },
      source: none,
      target: none,
    });
    assert.deepEqual(profileOfPair(on, local, 'changed'), {
      settings: none,
      source: { parameters: { local: true }, capabilities: {} },
      target: none,
    });
  });
});

describe('the built-in profiles', () => {
  it('tell in one to three sentences what they do', () => {
    const names = builtinProfiles.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    for (const { name, description = '' } of builtinProfiles) {
      const sentences = description.match(/[.](?= [A-Z]|$)/g) ?? [];
      assert.ok(sentences.length >= 1 && sentences.length <= 3, name);
    }
  });

  it('are profiles that a file may have, without a warning', () => {
    for (const {
      name,
      description,
      backendTransfer,
      both,
      source,
      target,
      optional,
    } of builtinProfiles) {
      const settings = { ...both, backendTransfer };
      const text = withProfile(undefined, {
        name,
        description,
        settings,
        source,
        target,
        optional,
      });
      const { profiles, problems } = parseProfileFile(text);
      assert.deepEqual(problems, []);
      assert.deepEqual(profiles, [
        { ...builtinProfiles.find((each) => each.name === name), origin: 'file' },
      ]);
    }
  });

  for (const build of builds) {
    it(`fit both sides, one after the other, but for backend transfer where there is none (${build})`, () => {
      for (const side of ['source', 'target'] as const) {
        for (const first of builtinProfiles) {
          for (const second of builtinProfiles) {
            let facts = factsOf(build);
            for (const each of [first, second]) {
              const { problems, change } = planProfile(each, facts, side);
              const lacksTransfer = build === '11.1-stock' && each.backendTransfer === true;
              assert.equal(problems.length, lacksTransfer ? 1 : 0, problems.join());
              facts = changed(facts, change.parameters, change.capabilities);
            }
          }
        }
      }
    });
  }
});
