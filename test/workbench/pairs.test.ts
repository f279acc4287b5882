import assert from 'node:assert/strict';
import { commands, type Memento } from 'vscode';
import { Pairs } from '../../src/migration/pair/pairs';
import { CommandId, StateKey } from '../../src/ui/ids';
import { MementoPairStore } from '../../src/ui/pairStore';
import { back } from '../../src/ui/prompts';
import { MigrationQuestions } from '../../src/ui/commands/migrationQuestions';
import { FakeRefusal, type FakeQmpServer } from '../support/fakeQmpServer';
import type { Build } from '../support/recordings';
import { Bench, eventually, nobody } from './support/extension';
import { ScriptedPrompts } from './support/scriptedPrompts';

const noLog = {
  warn: (text: string) => {
    throw new Error(text);
  },
};

describe('pairs', () => {
  let bench: Bench;

  before(async () => {
    bench = await Bench.open();
  });
  afterEach(async () => {
    const { pairs, history } = bench.access;
    for (const { source } of pairs.all) await pairs.remove(source);
    while (history.last !== undefined) await history.undo({ evenIfChanged: true }).catch(() => 0);
    await bench.clear();
  });
  after(() => bench.close());

  async function machine(
    name: string,
    { build = 'local', waits = false }: { build?: Build; waits?: boolean } = {},
  ): Promise<FakeQmpServer> {
    const server = await bench.server({ build, overrides: { 'query-name': { name } } });
    if (waits) server.qemu.status = { status: 'inmigrate', running: false };
    await commands.executeCommand(CommandId.connect, server.path);
    return server;
  }

  async function pair(builds: { source?: Build; target?: Build } = {}) {
    const source = await machine('web-1', { build: builds.source ?? 'local' });
    const target = await machine('web-1-new', { build: builds.target ?? 'local', waits: true });
    await bench.access.pairs.set(source.path, target.path);
    await eventually(() => bench.row(target.path, 'pair'));
    return { source, target };
  }

  function run(
    id: CommandId,
    server: FakeQmpServer,
    kind: 'parameter' | 'capability' | 'backend-transfer' | 'difference' | 'machine' | 'pair',
    name?: string,
  ) {
    bench.access.provider.flush();
    return commands.executeCommand(id, bench.handle(bench.row(server.path, kind, name)));
  }

  function labels(index = -1): readonly string[] {
    return (bench.prompts.offered.at(index) ?? []).map(({ label }) => label);
  }

  describe('pairing', () => {
    it('makes the machine that waits for a migration the target', async () => {
      const source = await machine('web-1');
      const target = await machine('web-1-new', { waits: true });
      bench.prompts.willPick('web-1');
      await run(CommandId.pair, target, 'machine');
      assert.deepEqual(bench.access.pairs.all, [{ source: source.path, target: target.path }]);
      assert.match(bench.prompts.onlyMessage.text, /web-1 is the source and web-1-new the target/);
      await eventually(() => bench.row(source.path, 'pair'));
    });

    it('offers the machine that fits best first', async () => {
      await machine('db-7', { waits: true });
      const target = await machine('web-1', { waits: true });
      const source = await machine('web-1');
      bench.prompts.willPick(undefined);
      await run(CommandId.pair, source, 'machine');
      const [first] = bench.prompts.offered.at(-1) ?? [];
      assert.equal(first?.value, target.path);
      assert.match(first.description ?? '', /same machine/);
      assert.deepEqual(bench.access.pairs.all, []);
    });

    it('asks for the way where neither side waits, and goes back', async () => {
      const a = await machine('web-1');
      const b = await machine('web-2');
      bench.prompts.willPick('web-2').willPick(back).willPick('web-2').willPick('web-2 → web-1');
      await run(CommandId.pair, a, 'machine');
      assert.deepEqual(bench.access.pairs.all, [{ source: b.path, target: a.path }]);
      const steps = bench.prompts.picks.map(({ step }) => [step?.number, step?.total, step?.back]);
      assert.deepEqual(steps, [
        [1, 1, false],
        [2, 2, true],
        [1, 2, false],
        [2, 2, true],
      ]);
      assert.match(bench.prompts.picks[1]?.placeholder ?? '', /Neither waits/);
    });

    it('pairs two machines that are selected without a question', async () => {
      const target = await machine('web-1-new', { waits: true });
      const source = await machine('web-1');
      const rows = [{ machineId: target.path }, { machineId: source.path }];
      await commands.executeCommand(CommandId.pair, rows[0], rows);
      assert.deepEqual(bench.access.pairs.all, [{ source: source.path, target: target.path }]);
      assert.deepEqual(bench.prompts.asked, []);
    });

    it('asks for both machines from the palette', async () => {
      const source = await machine('web-1');
      const target = await machine('web-1-new', { waits: true });
      bench.prompts.willPick('web-1-new').willPick('web-1');
      await commands.executeCommand(CommandId.pair);
      assert.deepEqual(bench.access.pairs.all, [{ source: source.path, target: target.path }]);
    });

    it('says why a machine cannot be taken, and that there is no other', async () => {
      const alone = await machine('web-1');
      await run(CommandId.pair, alone, 'machine');
      assert.match(bench.prompts.onlyMessage.text, /no machine beside web-1/);
      const away = await machine('web-2');
      await commands.executeCommand(CommandId.disconnect, away.path);
      await run(CommandId.pair, alone, 'machine');
      assert.match(bench.prompts.messages.at(-1)?.text ?? '', /web-2: Not connected/);
      assert.deepEqual(bench.access.pairs.all, []);
    });

    it('says of whom a machine is the partner already, and ends that pair', async () => {
      const { target } = await pair();
      const other = await machine('web-9');
      bench.prompts.willPick('web-1-new');
      await run(CommandId.pair, other, 'machine');
      const offered = bench.prompts.offered.at(-1)?.find(({ value }) => value === target.path);
      assert.match(offered?.description ?? '', /paired with web-1/);
      assert.deepEqual(bench.access.pairs.all, [{ source: other.path, target: target.path }]);
    });

    it('is undone from either side, also while the other machine is not in the list', async () => {
      const { source, target } = await pair();
      await commands.executeCommand(CommandId.remove, target.path);
      await commands.executeCommand(CommandId.compare, source.path);
      assert.equal(bench.prompts.asked.length, 0);
      await commands.executeCommand(CommandId.unpair, source.path);
      assert.deepEqual(bench.access.pairs.all, []);
    });

    it('has words for commands about a pair where there is none', async () => {
      const alone = await machine('web-1');
      await commands.executeCommand(CommandId.applySourceToTarget, alone.path);
      assert.match(bench.prompts.onlyMessage.text, /web-1 is not in a pair/);
      assert.deepEqual(bench.prompts.onlyMessage.buttons, ['Pair with...']);
      await commands.executeCommand(CommandId.unpair);
      assert.match(bench.prompts.messages.at(-1)?.text ?? '', /No two machines/);
    });
  });

  describe('remembering', () => {
    it('outlives the window', async () => {
      const { source, target } = await pair();
      const store = new MementoPairStore(bench.access.globalState, noLog);
      await eventually(() =>
        assert.deepEqual(store.load(), [{ source: source.path, target: target.path }]),
      );
      const later = new Pairs(new MementoPairStore(bench.access.globalState, noLog));
      assert.equal(later.of(target.path)?.role, 'target');
      await commands.executeCommand(CommandId.unpair, target.path);
      await eventually(() => assert.deepEqual(store.load(), []));
      later.dispose();
    });

    for (const [what, stored] of [
      ['damaged', { version: 1, pairs: [{ source: 7 }] }],
      ['newer', { version: 2, pairs: 'something else' }],
    ] as const) {
      it(`sets a ${what} list aside instead of losing it`, () => {
        const values = new Map<string, unknown>([[StateKey.pairs, stored]]);
        const memento: Memento = {
          keys: () => [...values.keys()],
          get: (key: string) => values.get(key) as never,
          update: (key: string, value: unknown) => {
            values.set(key, value);
            return Promise.resolve();
          },
        };
        const warnings: string[] = [];
        const store = new MementoPairStore(memento, { warn: (text) => warnings.push(text) });
        assert.deepEqual(store.load(), []);
        assert.deepEqual(values.get(StateKey.damagedPairs), stored);
        assert.equal(warnings.length, 1);
      });
    }

    it('says once that the pairs cannot be saved, and goes on', async () => {
      const source = await machine('web-1');
      const target = await machine('web-1-new', { waits: true });
      const { globalState, pairs } = bench.access;
      Reflect.set(globalState, 'update', () => Promise.reject(new Error('ENOSPC')));
      try {
        await pairs.set(source.path, target.path);
        await pairs.remove(source.path);
        await pairs.set(source.path, target.path);
      } finally {
        Reflect.deleteProperty(globalState, 'update');
      }
      // What else waited to be saved may have failed as well.
      const texts = bench.prompts.messages.map(({ text }) => text);
      assert.equal(texts.filter((text) => text.startsWith('The pairs')).length, 1);
      assert.equal(pairs.of(target.path)?.pair.source, source.path);
    });
  });

  describe('both sides at once', () => {
    it('switches backend transfer under the name that each side has for it', async () => {
      const { source, target } = await pair({ source: 'local', target: 'backend-transfer' });
      await run(CommandId.toggleBackendTransfer, source, 'pair');
      assert.equal(source.qemu.parameters['local'], true);
      assert.equal(target.qemu.parameters['backend-transfer'], true);
      const { severity, text } = bench.prompts.onlyMessage;
      assert.equal(severity, 'warning');
      assert.match(text, /^Backend transfer is on for web-1 and web-1-new, but .*different stages/);
      await commands.executeCommand(CommandId.undoSettings);
      assert.equal(source.qemu.parameters['local'], false);
      assert.equal(target.qemu.parameters['backend-transfer'], false);
      assert.equal(bench.access.history.last, undefined);
    });

    it('turns it on on both sides where they differ, and says what is missing', async () => {
      const { source, target } = await pair();
      target.qemu.parameters = { ...target.qemu.parameters, local: true };
      await bench.access.registry.get(target.path)?.refresh(['parameters']);
      await run(CommandId.toggleBackendTransfer, target, 'backend-transfer');
      assert.equal(source.qemu.parameters['local'], true);
      assert.equal(target.qemu.parameters['local'], true);
      const { severity, text } = bench.prompts.onlyMessage;
      assert.equal(severity, 'warning');
      assert.match(text, /but cannot work yet\. .*x-permit-local-migration=on/);
      await run(CommandId.toggleBackendTransfer, target, 'backend-transfer');
      assert.equal(source.qemu.parameters['local'], false);
      assert.equal(bench.prompts.messages.length, 1, 'off needs nothing');
    });

    it('leaves both sides as they were when one refuses', async () => {
      const { source, target } = await pair();
      target.on('migrate-set-parameters', () => {
        throw new FakeRefusal('not on this host');
      });
      await run(CommandId.toggleBackendTransfer, source, 'pair');
      assert.equal(source.qemu.parameters['local'], false);
      assert.equal(target.qemu.parameters['local'], false);
      assert.equal(bench.access.history.last, undefined);
      assert.match(bench.prompts.onlyMessage.text, /web-1-new.*not on this host/s);
    });

    it('says which side has no backend transfer', async () => {
      const { source } = await pair({ target: '11.1-stock' });
      await run(CommandId.toggleBackendTransfer, source, 'pair');
      assert.equal(source.qemu.parameters['local'], false);
      assert.match(bench.prompts.onlyMessage.text, /web-1-new has no backend transfer/);
    });

    it('never leaves a pair half switched', async () => {
      const { source, target } = await pair();
      await commands.executeCommand(CommandId.disconnect, target.path);
      await run(CommandId.toggleBackendTransfer, source, 'backend-transfer');
      assert.match(bench.prompts.onlyMessage.text, /web-1-new is not connected/);
      await commands.executeCommand(CommandId.remove, target.path);
      await run(CommandId.toggleBackendTransfer, source, 'backend-transfer');
      assert.match(bench.prompts.messages.at(-1)?.text ?? '', /is not in the list/);
      assert.deepEqual(bench.prompts.messages.at(-1)?.buttons, ['Connect']);
      assert.equal(source.qemu.parameters['local'], false);
    });

    it('switches one side only when asked to', async () => {
      const { source, target } = await pair();
      await run(CommandId.toggleBackendTransferHere, target, 'backend-transfer');
      assert.equal(source.qemu.parameters['local'], false);
      assert.equal(target.qemu.parameters['local'], true);
    });

    it('sets the other side to the value of a row', async () => {
      const { source, target } = await pair();
      source.qemu.parameters = { ...source.qemu.parameters, 'downtime-limit': 777 };
      await bench.access.registry.get(source.path)?.refresh(['parameters']);
      await run(CommandId.applyToOther, source, 'parameter', 'downtime-limit');
      assert.equal(target.qemu.parameters['downtime-limit'], 777);
      assert.equal(bench.access.history.last?.title, 'downtime-limit of web-1-new');
      await commands.executeCommand(CommandId.undoSettings);
      assert.equal(target.qemu.parameters['downtime-limit'], 300);
    });

    it('sets a capability on both sides, and says when there is nothing to do', async () => {
      const { source, target } = await pair();
      await run(CommandId.toggleCapability, target, 'capability', 'auto-converge');
      await run(CommandId.applyToBoth, target, 'capability', 'auto-converge');
      assert.equal(source.qemu.capabilities.get('auto-converge'), true);
      assert.equal(bench.access.history.last?.title, 'auto-converge of web-1-new and web-1');
      await run(CommandId.applyToBoth, target, 'capability', 'auto-converge');
      assert.match(bench.prompts.statuses.at(-1) ?? '', /same auto-converge already/);
    });

    it('leaves alone what only happens to be selected with the settings', async () => {
      const { source, target } = await pair();
      await run(CommandId.toggleBackendTransferHere, source, 'backend-transfer');
      source.qemu.parameters = { ...source.qemu.parameters, 'downtime-limit': 777 };
      await bench.access.registry.get(source.path)?.refresh(['parameters']);
      bench.access.provider.flush();
      const setting = bench.handle(bench.row(source.path, 'parameter', 'downtime-limit'));
      const others = (['parameters', 'pair', 'machine'] as const).map((kind) =>
        bench.handle(bench.row(source.path, kind)),
      );
      await commands.executeCommand(CommandId.applyToOther, setting, [setting, ...others]);
      assert.equal(target.qemu.parameters['downtime-limit'], 777);
      assert.equal(target.qemu.parameters['local'], false);
    });

    it('maps backend transfer to the other side’s name', async () => {
      const { source, target } = await pair({ target: 'backend-transfer' });
      await run(CommandId.toggleBackendTransferHere, source, 'backend-transfer');
      await run(CommandId.applyToOther, source, 'difference', 'backend transfer');
      assert.equal(target.qemu.parameters['backend-transfer'], true);
    });
  });

  describe('applying the source’s settings', () => {
    async function different() {
      const { source, target } = await pair();
      source.qemu.parameters = {
        ...source.qemu.parameters,
        'multifd-channels': 7,
        'max-bandwidth': 1 << 30,
      };
      source.qemu.capabilities.set('multifd', true);
      await bench.access.registry.get(source.path)?.refresh();
      return { source, target };
    }

    it('offers every difference with both values, without those of one side only', async () => {
      const { source, target } = await different();
      bench.prompts.willPickWhatIsTicked();
      await run(CommandId.applySourceToTarget, source, 'machine');
      assert.deepEqual([...labels()].sort(), ['max-bandwidth', 'multifd', 'multifd-channels']);
      const item = bench.prompts.offered.at(-1)?.find(({ label }) => label === 'multifd-channels');
      assert.match(item?.description ?? '', /^2.* → 7/);
      assert.ok(!bench.prompts.ticked.at(-1)?.includes('max-bandwidth'), 'only of the source');
      assert.equal(target.qemu.capabilities.get('multifd'), true);
      assert.equal(target.qemu.parameters['multifd-channels'], 7);
      assert.notEqual(target.qemu.parameters['max-bandwidth'], 1 << 30);
    });

    it('is one step to undo', async () => {
      const { target } = await different();
      bench.prompts
        .willPick('web-1 → web-1-new')
        .willPickMany('multifd', 'multifd-channels', 'max-bandwidth');
      await commands.executeCommand(CommandId.applySourceToTarget);
      assert.equal(target.qemu.parameters['max-bandwidth'], 1 << 30);
      await commands.executeCommand(CommandId.undoSettings);
      assert.equal(target.qemu.capabilities.get('multifd'), false);
      assert.equal(target.qemu.parameters['multifd-channels'], 2);
      assert.equal(target.qemu.parameters['max-bandwidth'], 134_217_728);
    });

    it('lists what cannot be applied with the reason', async () => {
      const source = await machine('web-1');
      const target = await machine('web-1-new', { build: '11.1-stock', waits: true });
      await bench.access.pairs.set(source.path, target.path);
      await run(CommandId.toggleBackendTransferHere, source, 'backend-transfer');
      bench.prompts.willLeaveTicking();
      await run(CommandId.applySourceToTarget, source, 'machine');
      const item = bench.prompts.offered.at(-1)?.find(({ label }) => label === 'backend transfer');
      assert.match(item?.refusal ?? '', /web-1-new does not have it/);
      assert.equal(bench.prompts.offered.at(-1)?.at(-1)?.refusal !== undefined, true);
    });

    it('puts nothing on the target when it refuses', async () => {
      const { source, target } = await different();
      target.on('migrate-set-capabilities', () => {
        throw new FakeRefusal('no multifd here');
      });
      bench.prompts.willPickWhatIsTicked();
      await run(CommandId.applySourceToTarget, source, 'machine');
      assert.equal(target.qemu.parameters['multifd-channels'], 2);
      assert.equal(target.qemu.capabilities.get('multifd'), false);
      assert.match(bench.prompts.onlyMessage.text, /no multifd here/);
    });
  });

  describe('and migrations', () => {
    it('offers the paired machine first as the target', async () => {
      const first = await machine('web-0', { waits: true });
      const { source, target } = await pair();
      const prompts = new ScriptedPrompts().willPick('Pre-copy').willPick(undefined);
      const questions = new MigrationQuestions(
        bench.access.registry,
        prompts,
        nobody,
        bench.access.pairs,
      );
      await questions.ask(source.path, 'fd');
      const offered = prompts.offered.at(-1) ?? [];
      assert.deepEqual(
        offered.slice(0, 2).map(({ value }) => value),
        [target.path, first.path],
      );
      assert.match(offered[0]?.description ?? '', /paired/);
    });

    it('remembers the pair that a migration was asked for', async () => {
      const source = await machine('web-1');
      const target = await machine('web-1-new', { waits: true });
      bench.prompts
        .willPick('Pre-copy')
        .willPick('web-1-new')
        .willPick('UNIX socket')
        .willPick('Off for both sides')
        .willPick('Keep');
      await commands.executeCommand(CommandId.migrate, source.path);
      assert.deepEqual(bench.access.pairs.all, [{ source: source.path, target: target.path }]);
      const run = bench.access.runs.active(source.path);
      run?.cancel();
      await run?.outcome;
    });
  });
});
