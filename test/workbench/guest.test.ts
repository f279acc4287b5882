import assert from 'node:assert/strict';
import { commands } from 'vscode';
import { CommandId } from '../../src/ui/ids';
import type { FakeQmpServer } from '../support/fakeQmpServer';
import { Bench, eventually } from './support/extension';

describe('a guest that a person continues or ends', () => {
  let bench: Bench;

  before(async () => {
    bench = await Bench.open();
  });
  afterEach(() => bench.clear());
  after(() => bench.close());

  async function machine(
    status: string,
    migration = {},
    uuid?: { readonly UUID: string },
  ): Promise<FakeQmpServer> {
    const server = await bench.server({
      build: '11.1-stock',
      ...(uuid !== undefined && { overrides: { 'query-uuid': uuid } }),
    });
    server.qemu.status = { status, running: status === 'running' };
    server.setMigration(migration);
    await commands.executeCommand(CommandId.connect, server.path);
    await eventually(() => bench.row(server.path, 'status'));
    return server;
  }

  it('is continued where it stands still for nobody else', async () => {
    const server = await machine('paused');
    server.on('cont', () => {
      server.qemu.status = { status: 'running', running: true };
      return {};
    });
    assert.ok(bench.row(server.path, 'machine').tags.includes('halted'));
    await commands.executeCommand(CommandId.continueGuest, server.path);
    assert.ok(server.commands.includes('cont'));
    assert.match(bench.prompts.statuses.at(-1) ?? '', /runs again/);
  });

  it('is not continued where it was given away: the reason and the next step are told', async () => {
    const server = await machine('postmigrate', { status: 'completed' });
    const row = bench.row(server.path, 'machine');
    assert.ok(row.tags.includes('left-over') && !row.tags.includes('halted'));
    await commands.executeCommand(CommandId.continueGuest, server.path);
    assert.ok(!server.commands.includes('cont'));
    const { severity, text } = bench.prompts.onlyMessage;
    assert.equal(severity, 'warning');
    assert.match(text, /\. \S/, 'a reason and a next step');
  });

  it('is not ended while it runs there, and nothing is asked', async () => {
    const server = await machine('running');
    await commands.executeCommand(CommandId.quitMachine, server.path);
    assert.equal(bench.prompts.onlyMessage.severity, 'warning');
    assert.deepEqual(bench.prompts.confirmations, []);
    assert.ok(!server.commands.includes('quit'));
  });

  it('is ended only once a person has agreed, where it is proven to live elsewhere', async () => {
    const uuid = { UUID: '0d63dc46-0000-4000-8000-000000000001' };
    const left = await machine('postmigrate', { status: 'completed' }, uuid);
    await machine('running', { status: 'completed' }, uuid);
    bench.prompts.willConfirm(false);
    await commands.executeCommand(CommandId.quitMachine, left.path);
    assert.deepEqual(bench.prompts.messages, []);
    assert.match(bench.prompts.confirmations[0]?.detail ?? '', /has the guest/);
    assert.ok(!left.commands.includes('quit'));
  });
});
