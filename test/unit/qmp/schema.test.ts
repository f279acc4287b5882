import assert from 'node:assert/strict';
import { QmpProtocolError } from '../../../src/qmp/errors';
import { memberNamed, QmpSchema, type SchemaMember } from '../../../src/qmp/schema';
import { builds, recordedReturn, type Build } from '../../support/recordings';

const schemas = new Map<Build, QmpSchema>();
function schema(build: Build): QmpSchema {
  return schemas.get(build)!;
}

describe('QMP schema', () => {
  before(() => {
    for (const build of builds) {
      schemas.set(build, QmpSchema.parse(recordedReturn(build, 'query-qmp-schema')));
    }
  });

  it('counts what a QEMU offers', () => {
    assert.deepEqual(schema('11.1-stock').counts, { entries: 1230, commands: 242, events: 57 });
    assert.deepEqual(schema('local').counts, { entries: 1135, commands: 229, events: 50 });
  });

  it('tells commands from events and from nothing', () => {
    assert.ok(schema('local').hasCommand('migrate'));
    assert.ok(!schema('local').hasCommand('MIGRATION'));
    assert.ok(schema('local').hasEvent('MIGRATION'));
    assert.ok(!schema('local').hasEvent('NO_SUCH'));
    assert.deepEqual(schema('local').arguments('no-such-command'), []);
  });

  for (const [build, name, other] of [
    ['local', 'local', 'backend-transfer'],
    ['backend-transfer', 'backend-transfer', 'local'],
  ] as const) {
    it(`finds the boolean ${name} in build ${build}`, () => {
      const found = schema(build).argument('migrate-set-parameters', name);
      assert.deepEqual(found?.type, { kind: 'builtin', json: 'boolean', name: 'bool' });
      assert.ok(found.optional);
      assert.equal(schema(build).argument('migrate-set-parameters', other), undefined);
    });
  }

  it('finds neither in a stock QEMU', () => {
    for (const name of ['local', 'backend-transfer']) {
      assert.equal(schema('11.1-stock').argument('migrate-set-parameters', name), undefined);
    }
  });

  it('follows a union by its discriminator: the tap branch of netdev_add', () => {
    const tap = variantsOf('local', 'tap');
    const permit = memberNamed(tap, 'x-permit-local-migration');
    assert.deepEqual(permit?.features, ['unstable']);
    assert.ok(permit.optional);
    assert.equal(memberNamed(variantsOf('local', 'user'), 'x-permit-local-migration'), undefined);
    assert.equal(
      memberNamed(variantsOf('11.1-stock', 'tap'), 'x-permit-local-migration'),
      undefined,
    );
    assert.deepEqual(variantsOf('local', 'no-such-kind'), []);
  });

  it('reaches the capability names behind a list of objects', () => {
    const list = schema('local').argument('migrate-set-capabilities', 'capabilities')?.type;
    assert.ok(list?.kind === 'array' && list.element.kind === 'object');
    const capability = memberNamed(list.element.members, 'capability')?.type;
    assert.ok(capability?.kind === 'enum');
    assert.ok(capability.values.some(({ name }) => name === 'postcopy-ram'));
    assert.deepEqual(capability.values.find(({ name }) => name === 'x-ignore-shared')?.features, [
      'unstable',
    ]);
  });

  it('lists the values of an enumerated argument', () => {
    const modes = schema('11.1-stock').enumValues('migrate-set-parameters', 'mode');
    assert.deepEqual(modes, ['normal', 'cpr-reboot', 'cpr-transfer', 'cpr-exec']);
    assert.deepEqual(schema('local').enumValues('migrate-set-parameters', 'max-bandwidth'), []);
  });

  it('tells required arguments from optional ones', () => {
    assert.equal(schema('local').argument('getfd', 'fdname')?.optional, false);
    assert.equal(schema('local').argument('migrate', 'uri')?.optional, true);
  });

  it('knows alternates: text or null', () => {
    const type = schema('local').argument('migrate-set-parameters', 'tls-creds')?.type;
    assert.ok(type?.kind === 'alternate');
    assert.deepEqual(
      type.members.map((member) => (member.kind === 'builtin' ? member.json : member.kind)).sort(),
      ['null', 'string'],
    );
  });

  it('knows what may run out of band, and the features of a command', () => {
    assert.ok(schema('local').allowsOob('yank'));
    assert.ok(!schema('local').allowsOob('query-status'));
    assert.deepEqual(schema('local').commandFeatures('x-accel-stats'), ['unstable']);
    assert.deepEqual(schema('local').commandFeatures('query-status'), []);
  });

  it('can be walked completely, recursive types included', () => {
    for (const build of builds) {
      const seen = new Set<unknown>();
      const walk = (members: readonly SchemaMember[]): void => {
        for (const { type } of members) {
          if (seen.has(type)) continue;
          seen.add(type);
          if (type.kind === 'object') walk(type.members);
        }
      };
      for (const command of ['blockdev-add', 'netdev_add', 'migrate']) {
        walk(schema(build).arguments(command));
      }
      assert.ok(seen.size > 5);
    }
  });

  it('takes kinds of entries, types and members that it has never heard of', () => {
    const odd = QmpSchema.parse([
      { 'meta-type': 'command', name: 'new', 'arg-type': 'a', 'ret-type': 'gone', colour: 'red' },
      { 'meta-type': 'object', name: 'a', members: [{ name: 'x', type: 'hyper' }] },
      { 'meta-type': 'hypertype', name: 'hyper' },
    ]);
    assert.deepEqual(odd.argument('new', 'x')?.type, {
      kind: 'builtin',
      json: 'value',
      name: 'hyper',
    });
    assert.throws(() => QmpSchema.parse({ not: 'a list' }), QmpProtocolError);
  });
});

function variantsOf(build: Build, value: string): readonly SchemaMember[] {
  const type = schema(build).argumentType('netdev_add');
  assert.ok(type?.kind === 'object');
  assert.equal(type.variants?.discriminator, 'type');
  return type.variants.membersFor(value);
}
