import assert from 'node:assert/strict';
import { commands } from 'vscode';
import { CommandId } from '../../src/ui/ids';
import { Bench, eventually } from './support/extension';

describe('connecting', () => {
  let bench: Bench;

  before(async () => {
    bench = await Bench.open();
  });
  afterEach(() => bench.clear());
  after(() => bench.close());

  function state(id: string): string | undefined {
    return bench.api.machines().find((machine) => machine.id === id)?.state;
  }

  it('asks for a path, offers what is there and connects', async () => {
    const server = await bench.server({ build: 'local' });
    bench.prompts.willPick(server.path);
    await commands.executeCommand(CommandId.connect);
    assert.deepEqual(
      bench.prompts.offered.at(-1)?.map(({ value }) => value),
      [server.path],
    );
    assert.equal(state(server.path), 'ready');
  });

  it('does nothing when the question is left', async () => {
    bench.prompts.willPick(undefined);
    await commands.executeCommand(CommandId.connect);
    assert.deepEqual(bench.api.machines(), []);
    assert.deepEqual(bench.prompts.messages, []);
  });

  it('says clearly that nothing is at a path, and does not keep it', async () => {
    await commands.executeCommand(CommandId.connect, '/nowhere/a.qmp');
    const { severity, text, buttons } = bench.prompts.onlyMessage;
    assert.equal(severity, 'error');
    assert.match(text, /\/nowhere\/a\.qmp/);
    assert.doesNotMatch(text, /ENOENT|Error:/);
    assert.deepEqual(buttons, ['Show Log']);
    assert.deepEqual(bench.api.machines(), []);
  });

  it('notices a lost connection and comes back by itself', async () => {
    const server = await bench.server({ build: 'local' });
    await commands.executeCommand(CommandId.connect, server.path);
    // It may be back before it is looked at, or drawn: what was in between is collected.
    const states: (string | undefined)[] = [];
    const listening = bench.access.registry.onDidChange(() => states.push(state(server.path)));
    server.dropClient();
    await eventually(() => assert.ok(states.includes('lost'), states.join()));
    await eventually(() => assert.equal(state(server.path), 'ready'), 15_000);
    listening.dispose();
    await eventually(() => assert.ok(bench.row(server.path, 'machine').tags.includes('ready')));
    assert.deepEqual(bench.prompts.messages, []);
  }).timeout(25_000);

  it('tells what became of a QEMU that quit', async () => {
    const server = await bench.server({ build: 'local' });
    await commands.executeCommand(CommandId.connect, server.path);
    await server.stop();
    const row = await eventually(() => {
      const found = bench.row(server.path, 'machine');
      assert.ok(found.tags.includes('lost'), found.tags.join());
      return found;
    });
    assert.ok((row.description ?? '').length > 4, row.description);
  });

  it('disconnects, connects again and removes', async () => {
    const server = await bench.server({ build: 'local' });
    await commands.executeCommand(CommandId.connect, server.path);
    bench.access.provider.flush();
    const handle = bench.handle(bench.row(server.path, 'machine'));
    await commands.executeCommand(CommandId.disconnect, handle);
    assert.equal(state(server.path), 'idle');
    await commands.executeCommand(CommandId.connectMachine, handle);
    assert.equal(state(server.path), 'ready');
    await commands.executeCommand(CommandId.remove, handle);
    assert.deepEqual(bench.api.machines(), []);
    await eventually(() => assert.deepEqual(bench.access.provider.getChildren(), []));
  });

  it('asks which machine is meant when nothing is given', async () => {
    const server = await bench.server({ build: 'local' });
    await commands.executeCommand(CommandId.connect, server.path);
    bench.prompts.willPick(bench.api.machines()[0]?.label ?? '');
    await commands.executeCommand(CommandId.disconnect);
    assert.equal(state(server.path), 'idle');
  });

  it('reads a machine again on demand', async () => {
    const server = await bench.server({ build: 'local' });
    await commands.executeCommand(CommandId.connect, server.path);
    server.qemu.parameters = { ...server.qemu.parameters, 'downtime-limit': 1234 };
    await commands.executeCommand(CommandId.refreshMachine, server.path);
    await eventually(() => {
      const row = bench.row(server.path, 'parameter', 'downtime-limit');
      assert.match(row.copyText ?? '', /1234|1\.234/);
    });
  });
});
