import assert from 'node:assert/strict';
import { commands } from 'vscode';
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
    server = await bench.server({ build: 'local' });
    await commands.executeCommand(CommandId.connect, server.path);
    await eventually(() => bench.row(server.path, 'capabilities'));
  });
  after(() => bench.close());

  function run(
    id: CommandId,
    kind: 'parameter' | 'capability' | 'backend-transfer',
    name?: string,
  ) {
    return commands.executeCommand(id, bench.handle(bench.row(server.path, kind, name)));
  }

  function description(kind: 'parameter' | 'backend-transfer', name?: string): string {
    return bench.row(server.path, kind, name).description ?? '';
  }

  it('toggles backend transfer there and back', async () => {
    await run(CommandId.toggleBackendTransfer, 'backend-transfer');
    assert.equal(server.qemu.parameters['local'], true);
    await eventually(() => assert.match(description('backend-transfer'), /\bon\b/));
    await run(CommandId.toggleBackendTransfer, 'backend-transfer');
    assert.equal(server.qemu.parameters['local'], false);
    await eventually(() => assert.match(description('backend-transfer'), /\boff\b/));
    assert.deepEqual(bench.prompts.messages, []);
  });

  it('turns a capability on and shows it', async () => {
    await run(CommandId.toggleCapability, 'capability', 'auto-converge');
    assert.equal(server.qemu.capabilities.get('auto-converge'), true);
    await eventually(() =>
      assert.equal(bench.row(server.path, 'capability', 'auto-converge').checked, true),
    );
  });

  it('flips a refused capability back and says why in one message', async () => {
    server.on('migrate-set-capabilities', () => {
      throw new FakeRefusal('Capability auto-converge is not for you');
    });
    await run(CommandId.toggleCapability, 'capability', 'auto-converge');
    assert.equal(server.qemu.capabilities.get('auto-converge'), false);
    assert.equal(bench.row(server.path, 'capability', 'auto-converge').checked, false);
    assert.equal(bench.prompts.onlyMessage.severity, 'error');
    assert.match(bench.prompts.onlyMessage.text, /is not for you/);
    assert.deepEqual(bench.prompts.onlyMessage.buttons, ['Show Log']);
  });

  it('sets several capabilities at once', async () => {
    bench.prompts.willPickMany('auto-converge', 'events');
    await commands.executeCommand(CommandId.chooseCapabilities, server.path);
    const on = [...server.qemu.capabilities].flatMap(([name, state]) => (state ? [name] : []));
    assert.deepEqual(on.sort(), ['auto-converge', 'events']);
  });

  it('sets a number, checks it as it is typed, and offers the way back', async () => {
    assert.equal(server.qemu.parameters['downtime-limit'], 300);
    bench.prompts.willType('soon', '500 ms');
    await run(CommandId.setParameter, 'parameter', 'downtime-limit');
    assert.equal(bench.prompts.problems.length, 1);
    assert.equal(server.qemu.parameters['downtime-limit'], 500);
    await eventually(() => assert.match(description('parameter', 'downtime-limit'), /500 ms/));
    bench.prompts.willType('500 ms');
    await run(CommandId.setParameter, 'parameter', 'downtime-limit');
    const [, second] = bench.prompts.inputs;
    assert.ok(
      second?.suggestions?.some(({ text }) => text.includes('300')),
      JSON.stringify(second?.suggestions),
    );
  });

  it('keeps the box open with QEMU’s words when QEMU refuses', async () => {
    const before = server.qemu.parameters['max-bandwidth'];
    server.on('migrate-set-parameters', () => {
      throw new FakeRefusal('max-bandwidth is out of my range');
    });
    bench.prompts.willType('1 GiB/s');
    await run(CommandId.setParameter, 'parameter', 'max-bandwidth');
    assert.match(bench.prompts.problems.join(), /out of my range/);
    assert.equal(server.qemu.parameters['max-bandwidth'], before);
    assert.deepEqual(bench.prompts.messages, []);
  });

  it('offers the values of an enumeration, the current one first', async () => {
    bench.prompts.willPick('zlib');
    await run(CommandId.setParameter, 'parameter', 'multifd-compression');
    assert.equal(bench.prompts.offered.at(-1)?.[0]?.value, 'none');
    assert.deepEqual(bench.prompts.messages, []);
    assert.equal(server.qemu.parameters['multifd-compression'], 'zlib');
  });

  it('offers on and off for a boolean, and asks for the parameter when none is given', async () => {
    bench.prompts.willPick('cpu-throttle-tailslow').willPick('on');
    await commands.executeCommand(CommandId.setParameter, server.path);
    assert.equal(server.qemu.parameters['cpu-throttle-tailslow'], true);
  });

  it('copies the value of a row', async () => {
    const { env } = await import('vscode');
    await run(CommandId.copyValue, 'parameter', 'downtime-limit');
    assert.equal(
      await env.clipboard.readText(),
      bench.row(server.path, 'parameter', 'downtime-limit').copyText,
    );
  });
});
