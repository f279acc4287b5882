import assert from 'node:assert/strict';
import { distinctLabels } from '../../../src/vm/labels';
import { Stage } from './support';

describe('labels of machines', () => {
  const labels = (...machines: (readonly [id: string, name: string])[]): string[] => [
    ...distinctLabels(machines.map(([id, name]) => ({ id, name }))).values(),
  ];

  it('are the names where these differ', () => {
    assert.deepEqual(labels(['/run/a.qmp', 'web'], ['/run/b.qmp', 'db']), ['web', 'db']);
  });

  it('have the end of the path where the names are the same, as long as it has to be', () => {
    assert.deepEqual(labels(['/run/a.qmp', 'web'], ['/run/b.qmp', 'web'], ['/run/c', 'db']), [
      'web (a.qmp)',
      'web (b.qmp)',
      'db',
    ]);
    assert.deepEqual(labels(['/run/vm1/qmp.sock', 'qmp.sock'], ['/run/vm2/qmp.sock', 'qmp.sock']), [
      'qmp.sock (vm1/qmp.sock)',
      'qmp.sock (vm2/qmp.sock)',
    ]);
    assert.deepEqual(labels(['/qmp', 'web'], ['/run/qmp', 'web']), ['web (/qmp)', 'web (run/qmp)']);
  });

  it('follow machines that come, are named, and go', async () => {
    const stage = new Stage();
    try {
      const registry = stage.registry();
      const name = { overrides: { 'query-name': { name: 'web-1' } } };
      const [a, b] = [await stage.server(name), await stage.server(name)];
      const source = await registry.connect(a.path);
      assert.equal(source.snapshot.label, 'web-1');
      const target = await registry.connect(b.path);
      const both = [source.snapshot.label, target.snapshot.label];
      assert.equal(new Set(both).size, 2, both.join());
      for (const label of both) assert.match(label, /^web-1 \(.+\)$/);
      await registry.remove(b.path);
      assert.equal(source.snapshot.label, 'web-1');
    } finally {
      await stage.dispose();
    }
  });
});
