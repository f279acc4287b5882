import assert from 'node:assert/strict';
import { commands } from 'vscode';
import type { JsonValue } from '../../src/qmp/json';
import { CommandId } from '../../src/ui/ids';
import { FakeRefusal, type FakeQmpServer } from '../support/fakeQmpServer';
import { Bench, eventually } from './support/extension';

const cpu = (model: string) => [
  { 'cpu-index': 0, 'qom-path': '/machine/cpu', 'qom-type': `${model}-x86_64-cpu` },
];

describe('the check before a migration', () => {
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

  async function machine(name: string, cpus: JsonValue, waits = false): Promise<FakeQmpServer> {
    const server = await bench.server({
      build: 'local',
      overrides: { 'query-name': { name }, 'query-cpus-fast': cpus },
    });
    if (waits) server.qemu.status = { status: 'inmigrate', running: false };
    await commands.executeCommand(CommandId.connect, server.path);
    return server;
  }

  async function pair(targetModel = 'qemu64', targetCpus = cpu(targetModel)) {
    const source = await machine('web-1', cpu('qemu64'));
    const target = await machine('web-1-new', targetCpus, true);
    await bench.access.pairs.set(source.path, target.path);
    await eventually(() => bench.row(target.path, 'pair'));
    return { source, target };
  }

  function rows(index = -1): readonly (readonly [string, string | undefined])[] {
    return (bench.prompts.offered.at(index) ?? []).map(({ label, icon }) => [label, icon]);
  }

  it('lists what was found by level, in words and with an icon', async () => {
    const { source } = await pair('kvm64');
    bench.prompts.willPick(undefined);
    bench.access.provider.flush();
    await bench.runOn(CommandId.preflight, bench.row(source.path, 'pair'));
    const items = bench.prompts.offered.at(-1) ?? [];
    const found = items.find(({ label }) => label.startsWith('The CPU models differ'));
    assert.equal(found?.icon, 'warning');
    assert.equal(found.description, 'warning, web-1-new');
    assert.equal(found.group, 'to think about first');
    assert.match(found.detail ?? '', /Start the target with "-cpu qemu64"/);
    const levels = items.map(({ group }) => group);
    const order = ['to think about first', 'good to know', 'look again'];
    assert.deepEqual([...new Set(levels)], order);
    assert.match(bench.prompts.picks.at(-1)?.title ?? '', /^web-1 → web-1-new: check/);
  });

  it('puts right what is chosen as one step, looks again, and undo takes it back', async () => {
    const { source, target } = await pair();
    const before = source.qemu.parameters;
    bench.prompts
      .willPick('return-path is off')
      .willPick('max-bandwidth limits')
      .willPick(undefined);
    await commands.executeCommand(CommandId.preflight, source.path);
    assert.equal(source.qemu.capabilities.get('return-path'), true);
    assert.equal(target.qemu.capabilities.get('return-path'), true);
    assert.equal(source.qemu.parameters['max-bandwidth'], 0);
    assert.equal(bench.prompts.picks.length, 3);
    assert.ok(rows(0).some(([label]) => label.startsWith('return-path is off')));
    assert.ok(!rows().some(([label]) => /return-path|max-bandwidth/.test(label)));
    await bench.access.history.undo();
    assert.deepEqual(source.qemu.parameters, before);
    await bench.access.history.undo();
    assert.equal(source.qemu.capabilities.get('return-path'), false);
    assert.equal(target.qemu.capabilities.get('return-path'), false);
  });

  it('asks for the other side of a machine without a pair; who waits is the target', async () => {
    const source = await machine('web-1', cpu('qemu64'));
    const target = await machine('web-1-new', cpu('qemu64'), true);
    bench.prompts.willPick('web-1').willPick(undefined);
    await commands.executeCommand(CommandId.preflight, target.path);
    assert.match(bench.prompts.asked.at(-1) ?? '', /^web-1 → web-1-new/);
    bench.prompts.willPick('web-1-new').willPick(undefined);
    await commands.executeCommand(CommandId.preflight, source.path);
    assert.match(bench.prompts.asked.at(-1) ?? '', /^web-1 → web-1-new/);
  });

  describe('when a guest is to move', () => {
    function migrate(source: FakeQmpServer) {
      bench.prompts
        .willPick('Pre-copy')
        .willPick('web-1-new')
        .willPick('UNIX socket')
        .willPick('Off for')
        .willPick('Keep');
      return commands.executeCommand(CommandId.migrate, source.path);
    }

    /** What it tells at its end must not come in the middle of the next test. */
    async function untilTold(): Promise<void> {
      await eventually(() => {
        const texts = bench.prompts.messages.map(({ text }) => text);
        assert.ok(
          texts.some((text) => /^(The migration of web-1 was not started|The guest )/.test(text)),
        );
      });
    }

    function runs(source: FakeQmpServer): number {
      return bench.access.runs.last(source.path) === undefined ? 0 : 1;
    }

    it('warns once of what may go wrong, and begins when told to', async () => {
      const { source, target } = await pair('kvm64');
      target.on('migrate-incoming', () => {
        throw new FakeRefusal('Not today');
      });
      await migrate(source);
      assert.match(
        bench.prompts.onlyMessage.text,
        /^Before web-1 is migrated: The CPU models differ/,
      );
      assert.deepEqual(bench.prompts.onlyMessage.buttons, ['Migrate Anyway', 'Show']);
      assert.equal(runs(source), 0, 'nothing begins without an answer');

      bench.prompts.willPress('Migrate Anyway');
      await migrate(source);
      await eventually(() => assert.equal(runs(source), 1));
      const warnings = () =>
        bench.prompts.messages.filter(({ text }) => /^Before/.test(text)).length;
      assert.equal(warnings(), 2);
    });

    it('shows the list when asked, and begins nothing', async () => {
      const { source } = await pair('kvm64');
      bench.prompts.willPress('Show');
      const asked = migrate(source);
      bench.prompts.willPick(undefined);
      await asked;
      assert.match(bench.prompts.asked.at(-1) ?? '', /check of the migration/);
      assert.equal(runs(source), 0);
    });

    it('leaves it to the run to refuse what nobody may overrule', async () => {
      const { source } = await pair('kvm64');
      source.qemu.capabilities.set('postcopy-ram', true);
      await bench.access.registry.get(source.path)?.refresh();
      await migrate(source);
      await eventually(() =>
        assert.match(
          bench.prompts.messages.at(-1)?.text ?? '',
          /^The migration of web-1 was not started/,
        ),
      );
      assert.ok(bench.prompts.messages.every(({ text }) => !/^Before/.test(text)));
    });

    it('goes on in spite of what may be overruled, for a reason that is typed', async () => {
      const { source } = await pair('kvm64', [...cpu('kvm64'), ...cpu('kvm64')]);
      await migrate(source);
      assert.match(bench.prompts.onlyMessage.text, /should not be made: .*"-smp 1"/);
      assert.deepEqual(bench.prompts.onlyMessage.buttons, ['Go On in Spite of It...', 'Show']);
      assert.equal(runs(source), 0, 'nothing begins without an answer');

      bench.prompts.willPress('Go On in Spite of It...');
      const asked = migrate(source);
      bench.prompts.willType('because', 'The lab says so');
      await asked;
      assert.equal(bench.prompts.problems.length, 1);
      await eventually(() => assert.equal(runs(source), 1));
      const { request } = bench.access.runs.last(source.path) ?? assert.fail();
      assert.deepEqual(request.force, { reason: 'The lab says so' });
      await untilTold();
    });

    it('overrules from the list as well, and only when a migration waits for it', async () => {
      const { source } = await pair('kvm64', [...cpu('kvm64'), ...cpu('kvm64')]);
      bench.prompts.willPick(undefined);
      await commands.executeCommand(CommandId.preflight, source.path);
      assert.ok(rows().every(([label]) => !/in spite/.test(label)));
      const blocks = (bench.prompts.offered.at(-1) ?? []).filter(({ icon }) => icon === 'error');
      assert.match(blocks[0]?.description ?? '', /^blocks, can be overruled, /);

      bench.prompts.willPress('Show');
      const asked = migrate(source);
      bench.prompts.willPick('Go on in spite of it').willType('The lab says so');
      await asked;
      await eventually(() => assert.equal(runs(source), 1));
      await untilTold();
    });
  });
});
