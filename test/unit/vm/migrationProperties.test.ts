import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { builds } from '../../support/recordings';
import { factsOf, Stage } from './support';

describe('the options of -global migration.NAME=', () => {
  let stage: Stage;
  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.dispose());

  it('are those that QEMU lists, by their names there, with values exact to the last digit', async () => {
    const server = await stage.server();
    server.on('device-list-properties', ({ typename }) => {
      assert.equal(typename, 'migration');
      return [
        { name: 'x-max-bandwidth', type: 'size', 'default-value': (1n << 64n) - 1n },
        { name: 'multifd-channels', type: 'uint8', 'default-value': 2 },
        { name: 'x-events', type: 'bool', 'default-value': false },
        { name: 'tls-creds', type: 'str' },
      ];
    });
    const machine = await stage.registry().connect(server.path);
    assert.deepEqual(
      [...factsOf(machine).migrationProperties],
      [
        ['x-max-bandwidth', (1n << 64n) - 1n],
        ['multifd-channels', 2],
        ['x-events', false],
        ['tls-creds', undefined],
      ],
    );
  });

  for (const build of builds) {
    it(`are none, and nothing else is missing, where QEMU refuses to list them (${build})`, async () => {
      const { machine } = await stage.machine({ build });
      const facts = factsOf(machine);
      assert.equal(facts.migrationProperties.size, 0);
      assert.deepEqual(facts.failures, {});
    });
  }

  it('are none when the answer is no list', async () => {
    const { machine } = await stage.machine({ overrides: { 'device-list-properties': {} } });
    const facts = factsOf(machine);
    assert.equal(facts.migrationProperties.size, 0);
    assert.ok(Object.keys(facts.parameters).length > 0);
  });
});
