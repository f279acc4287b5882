import assert from 'node:assert/strict';
import { commands } from 'vscode';
import { CommandId } from '../../src/ui/ids';
import type { FakeQmpServer } from '../support/fakeQmpServer';
import { Bench, eventually } from './support/extension';

describe('finding settings', () => {
  let bench: Bench;
  let server: FakeQmpServer;

  before(async () => {
    bench = await Bench.open();
  });
  beforeEach(async () => {
    await bench.clear();
    server = await bench.connected({ build: 'local' });
  });
  after(() => bench.close());

  function shown(of = server): string[] {
    return bench
      .rows(of.path)
      .flatMap(({ kind, subject }) =>
        (kind === 'parameter' || kind === 'capability') && subject !== undefined ? [subject] : [],
      );
  }

  it('filters while one types, and Enter keeps it', async () => {
    const seen: string[] = [];
    const listening = bench.access.provider.onDidChangeFilter(({ text }) => seen.push(text));
    bench.prompts.willType('zlib');
    await commands.executeCommand(CommandId.filterSettings);
    listening.dispose();
    assert.deepEqual(seen, ['zlib']);
    assert.equal(bench.prompts.inputs[0]?.stays, true);
    await eventually(() => assert.deepEqual(shown(), ['multifd-zlib-level']));
    await commands.executeCommand(CommandId.clearFilter);
    await eventually(() => assert.ok(shown().length > 40));
  });

  it('begins with the text that is searched for, and leaving brings it back', async () => {
    bench.prompts.willType('zlib');
    await commands.executeCommand(CommandId.filterSettings);
    bench.prompts.willTypeAndLeave('zlib-', 'z', '');
    await commands.executeCommand(CommandId.filterSettings);
    assert.equal(bench.prompts.inputs.at(-1)?.value, 'zlib');
    assert.equal(bench.access.provider.filter.text, 'zlib');
    await eventually(() => assert.deepEqual(shown(), ['multifd-zlib-level']));
  });

  it('shows changed settings only, together with a text, and all again', async () => {
    bench.prompts.willType('500 ms');
    await bench.runOn(
      CommandId.setParameter,
      bench.row(server.path, 'parameter', 'downtime-limit'),
    );
    await bench.runOn(
      CommandId.toggleCapability,
      bench.row(server.path, 'capability', 'auto-converge'),
    );
    await commands.executeCommand(CommandId.showChangedOnly);
    await eventually(() =>
      assert.deepEqual(shown().toSorted(), ['auto-converge', 'downtime-limit']),
    );
    bench.prompts.willType('downtime');
    await commands.executeCommand(CommandId.filterSettings);
    await eventually(() => assert.deepEqual(shown(), ['downtime-limit']));
    await commands.executeCommand(CommandId.showAllSettings);
    assert.deepEqual(bench.access.provider.filter, { text: 'downtime', changedOnly: false });
    await commands.executeCommand(CommandId.clearFilter);
    await eventually(() => assert.ok(shown().length > 40));
  });

  it('acts on filtered rows as on others, and copies what is shown below one', async () => {
    const { env } = await import('vscode');
    bench.prompts.willType('announce');
    await commands.executeCommand(CommandId.filterSettings);
    await eventually(() => assert.equal(shown().length, 4));
    await bench.runOn(CommandId.copyAsHmp, bench.row(server.path, 'parameters'));
    assert.equal((await env.clipboard.readText()).split('\n').length, 4);
    bench.prompts.willType('7');
    await bench.runOn(
      CommandId.setParameter,
      bench.row(server.path, 'parameter', 'announce-rounds'),
    );
    assert.equal(server.qemu.parameters['announce-rounds'], 7);
  });
});
