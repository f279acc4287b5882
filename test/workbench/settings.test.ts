import assert from 'node:assert/strict';
import { commands, env } from 'vscode';
import { CommandId } from '../../src/ui/ids';
import { FakeRefusal, type FakeQmpServer } from '../support/fakeQmpServer';
import { Bench, eventually } from './support/extension';

describe('changing what a QEMU has', () => {
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

  function run(
    id: CommandId,
    kind: 'parameter' | 'capability' | 'backend-transfer',
    name?: string,
  ): Promise<void> {
    return bench.runOn(id, bench.row(server.path, kind, name));
  }

  function description(kind: 'parameter' | 'backend-transfer', name?: string): string {
    return bench.row(server.path, kind, name).description ?? '';
  }

  function checkbox(name: string): boolean | undefined {
    return bench.row(server.path, 'capability', name).checked;
  }

  it('toggles backend transfer there and back', async () => {
    await run(CommandId.toggleBackendTransfer, 'backend-transfer');
    assert.equal(server.qemu.parameters['local'], true);
    await eventually(() => assert.match(description('backend-transfer'), /\bon\b/));
    await run(CommandId.toggleBackendTransferHere, 'backend-transfer');
    assert.equal(server.qemu.parameters['local'], false);
    await eventually(() => assert.match(description('backend-transfer'), /\boff\b/));
    assert.deepEqual(bench.prompts.messages, []);
    assert.match(bench.access.history.last?.title ?? '', /^backend transfer of /);
  });

  it('says where there is no backend transfer to toggle', async () => {
    const stock = await bench.connected({ build: '11.1-stock' });
    await commands.executeCommand(CommandId.toggleBackendTransfer, stock.path);
    assert.match(bench.prompts.onlyMessage.text, /has no backend transfer/);
  });

  it('turns a capability on and shows it', async () => {
    await run(CommandId.toggleCapability, 'capability', 'auto-converge');
    assert.equal(server.qemu.capabilities.get('auto-converge'), true);
    await eventually(() => assert.equal(checkbox('auto-converge'), true));
  });

  it('flips a refused capability back and says why in one message', async () => {
    server.on('migrate-set-capabilities', () => {
      throw new FakeRefusal('Capability auto-converge is not for you');
    });
    await run(CommandId.toggleCapability, 'capability', 'auto-converge');
    assert.equal(server.qemu.capabilities.get('auto-converge'), false);
    assert.equal(checkbox('auto-converge'), false);
    assert.equal(bench.prompts.onlyMessage.severity, 'error');
    assert.match(bench.prompts.onlyMessage.text, /is not for you/);
    assert.deepEqual(bench.prompts.onlyMessage.buttons, ['Show Log']);
    assert.equal(bench.access.history.last, undefined);
  });

  it('sends no capability that lacks another, and turns both on with one button', async () => {
    await run(CommandId.toggleCapability, 'capability', 'postcopy-preempt');
    assert.equal(server.qemu.capabilities.get('postcopy-preempt'), false);
    assert.equal(checkbox('postcopy-preempt'), false);
    const { severity, text, buttons } = bench.prompts.onlyMessage;
    assert.equal(severity, 'warning');
    assert.match(text, /needs the capability postcopy-ram/);
    assert.deepEqual(buttons, ['Turn On Both']);

    bench.prompts.willPress('Turn On Both');
    await run(CommandId.toggleCapability, 'capability', 'postcopy-preempt');
    await eventually(() => assert.equal(checkbox('postcopy-preempt'), true));
    assert.equal(checkbox('postcopy-ram'), true);
    await commands.executeCommand(CommandId.undoSettings);
    assert.equal(server.qemu.capabilities.get('postcopy-preempt'), false);
    assert.equal(server.qemu.capabilities.get('postcopy-ram'), false);
  });

  it('turns a capability on that does not go with another, says so, and offers the way out', async () => {
    await run(CommandId.toggleCapability, 'capability', 'xbzrle');
    bench.prompts.willPress('Also turn off xbzrle');
    await run(CommandId.toggleCapability, 'capability', 'multifd');
    assert.equal(server.qemu.capabilities.get('multifd'), true);
    assert.match(bench.prompts.onlyMessage.text, /do not go together/);
    await eventually(() => assert.equal(server.qemu.capabilities.get('xbzrle'), false));
    await eventually(() => assert.match(bench.access.history.last?.title ?? '', /^xbzrle of /));
  });

  it('changes no capability while a migration runs, and says when it can be', async () => {
    server.setMigration({ status: 'active' });
    await commands.executeCommand(CommandId.refreshMachine, server.path);
    await run(CommandId.toggleCapability, 'capability', 'events');
    assert.equal(server.qemu.capabilities.get('events'), false);
    assert.match(bench.prompts.onlyMessage.text, /while a migration is under way/);
    assert.deepEqual(bench.prompts.onlyMessage.buttons, []);
  });

  it('sets several capabilities at once, as one step', async () => {
    bench.prompts.willPickMany('auto-converge', 'events');
    await commands.executeCommand(CommandId.chooseCapabilities, server.path);
    const on = (): string[] =>
      [...server.qemu.capabilities].flatMap(([name, state]) => (state ? [name] : []));
    assert.deepEqual(on().sort(), ['auto-converge', 'events']);
    await commands.executeCommand(CommandId.undoSettings);
    assert.deepEqual(on(), []);
  });

  it('copies the value of a row', async () => {
    await run(CommandId.copyValue, 'parameter', 'downtime-limit');
    assert.equal(
      await env.clipboard.readText(),
      bench.row(server.path, 'parameter', 'downtime-limit').copyText,
    );
  });
});
