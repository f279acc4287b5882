import assert from 'node:assert/strict';
import { QmpConnection } from '../../../src/qmp/connection';
import { QmpCommandError } from '../../../src/qmp/errors';
import { QmpSchema } from '../../../src/qmp/schema';
import { FakeQmpServer } from '../../support/fakeQmpServer';

describe('what many machines and commands share', () => {
  it('keeps one schema for connections to QEMUs of one build, and another for another', async () => {
    const builds = ['local', 'local', '11.1-stock'] as const;
    const servers = await Promise.all(builds.map((build) => FakeQmpServer.start({ build })));
    const connections = await Promise.all(servers.map(({ path }) => QmpConnection.connect(path)));
    const [first, second, other] = await Promise.all(connections.map((one) => one.schema()));
    assert.equal(first, second);
    assert.notEqual(first, other);
    assert.ok(first?.argument('migrate-set-parameters', 'local'));
    assert.equal(other?.argument('migrate-set-parameters', 'local'), undefined);
    for (const connection of connections) connection.close();
    await Promise.all(servers.map((server) => server.stop()));
  });

  it('tells replies apart by all that is in them', () => {
    const entry = (feature: string) => [
      { 'meta-type': 'command', name: 'a', 'arg-type': '0', features: [feature] },
    ];
    assert.equal(QmpSchema.parse(entry('x')), QmpSchema.parse(entry('x')));
    assert.notEqual(QmpSchema.parse(entry('x')), QmpSchema.parse(entry('y')));
  });

  it('gives each of many failing commands the stack of its caller', async () => {
    const server = await FakeQmpServer.start({ build: 'local' });
    const connection = await QmpConnection.connect(server.path);
    async function theCaller(): Promise<void> {
      await connection.execute('no-such-command');
    }
    const results = await Promise.allSettled(Array.from({ length: 200 }, () => theCaller()));
    for (const result of results) {
      assert.ok(result.status === 'rejected' && result.reason instanceof QmpCommandError);
      assert.match(
        result.reason.stack ?? '',
        /^QmpCommandError: no-such-command: .*\n[^]*theCaller/,
      );
    }
    connection.close();
    await server.stop();
  });
});
