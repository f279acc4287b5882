import assert from 'node:assert/strict';
import { commands, workspace } from 'vscode';
import { CommandId, SettingId } from '../../src/ui/ids';
import { activateExtension } from './support/extension';

describe('activation', () => {
  it('gives a versioned API for reading', async () => {
    const api = await activateExtension();
    assert.equal(api.version, 1);
    assert.ok(Array.isArray(api.machines()));
    assert.ok(api.forTests, 'the test seam is there in a test host');
  });

  it('registers every command', async () => {
    await activateExtension();
    const registered = new Set(await commands.getCommands(true));
    for (const id of Object.values(CommandId)) assert.ok(registered.has(id), id);
  });

  it('has a default for every setting', () => {
    const configuration = workspace.getConfiguration();
    assert.deepEqual(configuration.get(SettingId.sockets), []);
    assert.equal(configuration.get(SettingId.transport), 'fd');
    assert.equal(configuration.get(SettingId.helperPath), '');
    assert.equal(configuration.get(SettingId.discoveryEnabled), true);
  });
});
