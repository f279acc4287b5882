import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { buildMachineNode } from '../../../src/migration/view/machineTree';
import { withAllBelow, type ViewNode } from '../../../src/migration/view/nodes';
import type { VmFacts } from '../../../src/vm/types';
import { builds } from '../../support/recordings';
import { changed, factsOf, schemaWith, snapshotOf } from './support';

function row(facts: VmFacts, kind: ViewNode['kind'], label: string): ViewNode {
  const found = withAllBelow(buildMachineNode(snapshotOf('a', facts))).find(
    (node) => node.kind === kind && node.label === label,
  );
  assert.ok(found, label);
  return found;
}

function field({ tooltip }: ViewNode, name: string): string | undefined {
  return tooltip?.fields?.find(([known]) => known === name)?.[1];
}

const running = factsOf('11.1-stock');

describe('the row of a parameter', () => {
  it('at its default tells the value alone', () => {
    const node = row(running, 'parameter', 'max-bandwidth');
    assert.equal(node.description, '128 MiB/s');
    assert.equal(node.spoken, 'max-bandwidth, 128 MiB/s');
    assert.ok(!node.tags.includes('changed'));
    assert.ok(node.tags.includes('editable') && node.tags.includes('as-text'));
  });

  it('that was changed tells from what, also to who does not see', () => {
    const facts = changed(running, { 'max-bandwidth': 2 ** 30 });
    const node = row(facts, 'parameter', 'max-bandwidth');
    assert.equal(node.description, '1 GiB/s · default 128 MiB/s');
    assert.equal(node.spoken, 'max-bandwidth, 1 GiB/s, changed from the default 128 MiB/s');
    assert.ok(node.tags.includes('changed'));
    assert.match(field(node, 'Default') ?? '', /^128 MiB\/s, as in (a )?fresh QEMU/);
  });

  it('tells apart what rounds to the same text', () => {
    const facts = changed(running, { 'xbzrle-cache-size': 67108863n });
    const node = row(facts, 'parameter', 'xbzrle-cache-size');
    const [now, standard] = (node.description ?? '').split(' · default ');
    assert.notEqual(now, standard, node.description);
  });

  it('that is not set says so, and is not offered as a command that sets it', () => {
    const node = row(running, 'parameter', 'block-bitmap-mapping');
    assert.equal(node.description, 'not set');
    assert.deepEqual([node.copyText, node.tags.includes('as-text')], ['', false]);
    assert.ok(node.tags.includes('editable'));
    const set = row(
      changed(running, { 'block-bitmap-mapping': [] }),
      'parameter',
      'block-bitmap-mapping',
    );
    assert.equal(set.description, 'empty · default not set');
  });

  it('marks what QEMU calls unstable or deprecated, and what that means', () => {
    const unstable = row(running, 'parameter', 'x-checkpoint-delay');
    assert.match(unstable.description ?? '', / · unstable$/);
    assert.match(unstable.spoken, /, unstable$/);
    assert.match(unstable.tooltip?.warnings?.join() ?? '', /Unstable: another version/);
  });

  it('that nobody heard of stands in "Other", typed and editable', () => {
    const facts = { ...running, schema: schemaWith('11.1-stock', 'x-new-knob', 'bool') };
    const node = row(facts, 'parameter', 'x-new-knob');
    const group = withAllBelow(buildMachineNode(snapshotOf('a', facts))).find(({ children }) =>
      children.some(({ label, kind }) => label === 'x-new-knob' && kind === 'parameter'),
    );
    assert.equal(group?.label, 'Other');
    assert.equal(node.description, 'not set');
    assert.ok(node.tags.includes('boolean') && node.tags.includes('editable'));
    assert.equal(field(node, 'Type'), 'on or off');
    assert.equal(field(node, 'Default'), 'not known for this QEMU');
  });

  it('explains type, range, sides and needs, and whether the needs are met now', () => {
    const node = row(running, 'parameter', 'multifd-zlib-level');
    assert.equal(field(node, 'Range'), '0 to 9, 0 means no compression');
    assert.equal(field(node, 'Sides'), 'only the source’s value matters');
    assert.equal(
      field(node, 'Needs'),
      'multifd on (now off); multifd-compression = zlib (now none)',
    );
    const met = changed(running, { 'multifd-compression': 'zlib' }, { multifd: true });
    assert.equal(
      field(row(met, 'parameter', 'multifd-zlib-level'), 'Needs'),
      'multifd on (it is); multifd-compression = zlib (it is)',
    );
    assert.match(field(node, 'While a migration runs') ?? '', /^not then/);
    const bandwidth = row(running, 'parameter', 'max-bandwidth');
    assert.match(field(bandwidth, 'While a migration runs') ?? '', /at once/);
    assert.equal(field(bandwidth, 'Type'), 'whole number, bytes a second');
  });

  it('shortens a value of any length, and has all of it in the tooltip', () => {
    const command = Array.from({ length: 90 }, (_, index) => `-option${index}`);
    const node = row(
      changed(running, { 'cpr-exec-command': command }),
      'parameter',
      'cpr-exec-command',
    );
    assert.ok((node.description ?? '').length < 200 && node.spoken.length < 300);
    assert.match(field(node, 'Value') ?? '', /-option89/);
    assert.match(node.copyText ?? '', /-option89/);
  });
});

describe('the row of a capability', () => {
  it('that was changed tells from what', () => {
    const node = row(changed(running, {}, { multifd: true }), 'capability', 'multifd');
    assert.equal(node.description, 'on · default off');
    assert.equal(node.spoken, 'multifd, on, changed from the default off');
    assert.deepEqual([node.checked, node.tags.includes('changed')], [true, true]);
    assert.equal(row(running, 'capability', 'multifd').spoken, 'multifd, off');
  });

  it('takes its marks from the schema, and explains what it needs now', () => {
    assert.match(row(running, 'capability', 'x-colo').description ?? '', /unstable/);
    const node = row(running, 'capability', 'postcopy-preempt');
    assert.equal(field(node, 'Needs'), 'postcopy-ram (now off)');
    assert.match(field(node, 'While a migration runs') ?? '', /refuses/);
  });
});

describe('the rows above settings', () => {
  for (const build of builds) {
    it(`stay as they are, whatever is changed below them (${build})`, () => {
      const facts = factsOf(build);
      const all = facts.capabilities.map(({ name }) => [name, true] as const);
      const before = withAllBelow(buildMachineNode(snapshotOf('a', facts)));
      const after = withAllBelow(
        buildMachineNode(
          snapshotOf('a', changed(facts, { 'max-bandwidth': 1 }, Object.fromEntries(all))),
        ),
      );
      const containers = (rows: readonly ViewNode[]): unknown[] =>
        rows
          .filter(({ kind }) => /^(machine|parameters|parameter-group|capabilities)$/.test(kind))
          .map(({ children, ...rest }) => ({ ...rest, children: children.map(({ id }) => id) }));
      assert.deepEqual(containers(after), containers(before));
    });
  }
});
