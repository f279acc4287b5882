import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import {
  describeCapabilities,
  describeCapability,
} from '../../../src/migration/settings/capabilities';
import { isObject, type JsonValue } from '../../../src/qmp/json';
import { QmpSchema } from '../../../src/qmp/schema';
import { builds, recordedReturn, type Build } from '../../support/recordings';
import { changed, factsOf } from './support';

/** The recorded schema, with one more value among the capabilities. */
function schemaWithCapability(build: Build, name: string, features: readonly string[]): QmpSchema {
  const reply = recordedReturn(build, 'query-qmp-schema');
  const entries = (Array.isArray(reply) ? reply : []).map((entry: JsonValue) => {
    if (!isObject(entry) || entry['meta-type'] !== 'enum') return entry;
    const members = Array.isArray(entry['members']) ? (entry['members'] as JsonValue[]) : [];
    const isIt = members.some((member) => isObject(member) && member['name'] === 'xbzrle');
    return isIt ? { ...entry, members: [...members, { name, features }] } : entry;
  });
  return QmpSchema.parse(entries);
}

describe('migration capabilities', () => {
  for (const build of builds) {
    it(`of build ${build} are all there, as QEMU reports them, and none changed`, () => {
      const facts = factsOf(build);
      const all = describeCapabilities(facts);
      assert.deepEqual(
        all.map(({ name, enabled }) => ({ name, enabled })),
        [...facts.capabilities].sort((a, b) => (a.name < b.name ? -1 : 1)),
      );
      assert.ok(all.length > 20);
      for (const { name, info, changed: differs, default: standard } of all) {
        assert.ok(info, name);
        assert.deepEqual([standard.kind, differs], ['known', false], name);
      }
      const marked = (mark: 'unstable' | 'deprecated'): string[] =>
        all.filter((capability) => capability[mark]).map(({ name }) => name);
      assert.deepEqual(marked('unstable'), ['x-colo', 'x-ignore-shared']);
      assert.deepEqual(marked('deprecated'), build === '11.1-stock' ? [] : ['zero-blocks']);
    });
  }

  it('count as changed when they are on', () => {
    const facts = changed(factsOf('local'), {}, { xbzrle: true });
    const names = describeCapabilities(facts)
      .filter((capability) => capability.changed)
      .map(({ name }) => name);
    assert.deepEqual(names, ['xbzrle']);
  });

  it('that nobody has heard of appear, with the marks of the schema', () => {
    const facts = {
      ...factsOf('local'),
      schema: schemaWithCapability('local', 'x-new', ['unstable', 'deprecated']),
    };
    // In the schema alone: it can be set, but QEMU does not tell its state.
    assert.ok(describeCapabilities(facts).some(({ name }) => name === 'x-new'));
    const unreported = describeCapability(facts, 'x-new');
    assert.deepEqual(
      [unreported?.info, unreported?.enabled, unreported?.changed],
      [undefined, undefined, false],
    );
    assert.ok(unreported?.unstable && unreported.deprecated);
    const capabilities = [...facts.capabilities, { name: 'x-new', enabled: true }];
    assert.equal(describeCapability({ ...facts, capabilities }, 'x-new')?.enabled, true);
  });

  it('that only QEMU reports appear too', () => {
    const facts = factsOf('local');
    const capabilities = [{ name: 'x-old', enabled: true }];
    const description = describeCapability({ ...facts, capabilities }, 'x-old');
    assert.deepEqual([description?.enabled, description?.unstable], [true, false]);
    assert.equal(describeCapability({ ...facts, capabilities }, 'xbzrle')?.enabled, undefined);
  });

  it('that do not exist are not made up, whatever their name', () => {
    for (const name of ['no-such', 'constructor', '__proto__', '']) {
      assert.equal(describeCapability(factsOf('local'), name), undefined, name);
    }
  });
});
