import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { copyAs, type CopiedText, type CopyForm } from '../../../src/migration/settings/copyAs';
import type { JsonValue } from '../../../src/qmp/json';
import { QmpSchema } from '../../../src/qmp/schema';
import type { VmFacts } from '../../../src/vm/types';
import { builds } from '../../support/recordings';
import { factsOf, schemaReplyWith, snapshotOf } from './support';

type Values = Readonly<Record<string, JsonValue | undefined>>;
type States = Readonly<Record<string, boolean>>;

const listed = ['x-max-bandwidth', 'multifd-channels', 'tls-creds', 'tls-hostname', 'x-events'];
const stock = factsOf('11.1-stock', {
  migrationProperties: new Map(listed.map((name) => [name, undefined])),
});
/** As before HMP read the rest of a line as it is. */
const older: VmFacts = { ...stock, schema: schemaWithout('cpr-exec-command') };

function schemaWithout(argument: string): QmpSchema {
  const entries = schemaReplyWith('11.1-stock', argument, 'removed').map((entry) => {
    const members = entry['members'];
    if (!Array.isArray(members)) return entry;
    const others = members.filter(
      (member: JsonValue) => (member as { type?: JsonValue }).type !== 'removed',
    );
    return { ...entry, members: others as JsonValue[] };
  });
  return QmpSchema.parse(entries);
}

function copied(
  form: CopyForm,
  parameters: Values,
  capabilities: States = {},
  facts: VmFacts | undefined = stock,
): CopiedText {
  const snapshot = snapshotOf('vm', facts, { socketPath: '/run/my vm.qmp' });
  return copyAs(form, { parameters, capabilities }, snapshot);
}

/** The text, when nothing was left out. */
function textOf(
  form: CopyForm,
  parameters: Values,
  capabilities: States = {},
  facts = stock,
): string {
  const { text, leftOut } = copied(form, parameters, capabilities, facts);
  assert.deepEqual(leftOut, []);
  return text;
}

/** Why the only parameter was left out. */
function reasonOf(form: CopyForm, parameters: Values, facts = stock): string {
  const { text, leftOut } = copied(form, parameters, {}, facts);
  assert.equal(text, '');
  const [first, ...others] = leftOut;
  assert.ok(first !== undefined && others.length === 0);
  assert.match(first.reason, /^[^]+\.$/, 'a sentence');
  return first.reason;
}

describe('settings copied', () => {
  it('are nothing when nothing is selected, or nothing of it is set', () => {
    for (const form of ['qmp', 'hmp', 'global', 'cli'] as const) {
      assert.deepEqual(copied(form, {}), { text: '', leftOut: [] });
      assert.deepEqual(copied(form, { 'block-bitmap-mapping': undefined }), {
        text: '',
        leftOut: [],
      });
    }
  });

  it('leave out what this QEMU reports, but does not let be set', () => {
    for (const form of ['qmp', 'hmp', 'global', 'cli'] as const) {
      assert.match(reasonOf(form, { 'read-only': 1 }), /does not let it be set/);
    }
  });

  describe('as QMP', () => {
    it('are one command for the parameters and one for the capabilities, in their order', () => {
      const text = textOf(
        'qmp',
        { 'tls-creds': 'a "b"', 'max-bandwidth': (1n << 64n) - 1n, mode: 'normal' },
        { 'return-path': true, events: false },
      );
      assert.equal(
        text,
        '{"execute":"migrate-set-parameters","arguments":' +
          '{"tls-creds":"a \\"b\\"","max-bandwidth":18446744073709551615,"mode":"normal"}}\n' +
          '{"execute":"migrate-set-capabilities","arguments":{"capabilities":' +
          '[{"capability":"return-path","state":true},{"capability":"events","state":false}]}}',
      );
    });

    it('are one line when only one command is needed', () => {
      const bitmaps = [{ 'node-name': 'n', alias: 'a', bitmaps: [] }];
      assert.equal(
        textOf('qmp', { 'block-bitmap-mapping': bitmaps }),
        '{"execute":"migrate-set-parameters","arguments":{"block-bitmap-mapping":' +
          '[{"node-name":"n","alias":"a","bitmaps":[]}]}}',
      );
      assert.equal(textOf('qmp', {}, { events: true }).split('\n').length, 1);
    });
  });

  describe('as HMP', () => {
    it('are a line each, with sizes that no default unit can change', () => {
      const text = textOf(
        'hmp',
        {
          'max-bandwidth': 134217728,
          'xbzrle-cache-size': 1n << 30n,
          'downtime-limit': 450,
          'vcpu-dirty-limit': 7,
          'multifd-channels': 4,
          'cpu-throttle-tailslow': true,
          'multifd-compression': 'zstd',
          'tls-creds': 'tls0',
        },
        { events: false },
      );
      assert.deepEqual(text.split('\n'), [
        'migrate_set_parameter max-bandwidth 134217728B',
        'migrate_set_parameter xbzrle-cache-size 1073741824B',
        'migrate_set_parameter downtime-limit 450',
        'migrate_set_parameter vcpu-dirty-limit 7',
        'migrate_set_parameter multifd-channels 4',
        'migrate_set_parameter cpu-throttle-tailslow on',
        'migrate_set_parameter multifd-compression zstd',
        'migrate_set_parameter tls-creds tls0',
        'migrate_set_capability events off',
      ]);
    });

    it('set capabilities in an order in which each has what it needs', () => {
      const text = textOf(
        'hmp',
        {},
        {
          'postcopy-preempt': true,
          events: true,
          'switchover-ack': false,
          'postcopy-ram': true,
          'return-path': false,
        },
      );
      assert.deepEqual(
        text.split('\n').map((line) => line.replace('migrate_set_capability ', '')),
        [
          'switchover-ack off',
          'return-path off',
          'events on',
          'postcopy-ram on',
          'postcopy-preempt on',
        ],
      );
    });

    it('write a text as the HMP of this QEMU reads it', () => {
      const line = (value: string, facts: VmFacts): string =>
        textOf('hmp', { 'tls-creds': value }, {}, facts).replace(/^\S+ \S+ /, '');
      assert.equal(line('a b', stock), 'a b');
      assert.equal(line('a b', older), '"a b"');
      assert.equal(line('say "x" \\ y', older), '"say \\"x\\" \\\\ y"');
      assert.equal(line('"x"', stock), '"x"');
      assert.equal(line('', older), '""');
      for (const facts of [stock, older]) assert.equal(line(`a,b'c"d\\e;#`, facts), `a,b'c"d\\e;#`);
    });

    it('write a command as words', () => {
      const text = textOf('hmp', {
        'cpr-exec-command': ['/bin/qemu', '-name', "it's mine", '', '-m=1'],
      });
      assert.equal(
        text,
        "migrate_set_parameter cpr-exec-command /bin/qemu -name 'it'\\''s mine' '' -m=1",
      );
    });

    it('leave out what HMP would refuse, or take for something else', () => {
      assert.match(reasonOf('hmp', { 'max-bandwidth': 1n << 63n }), /up to 9223372036854775807/);
      assert.match(reasonOf('hmp', { 'tls-creds': '' }), /empty text/);
      assert.match(reasonOf('hmp', { 'tls-creds': ' a' }), /blanks in front/);
      for (const facts of [stock, older]) {
        assert.match(reasonOf('hmp', { 'tls-creds': 'a\nb' }, facts), /text like this/);
      }
      assert.match(reasonOf('hmp', { 'tls-creds': null }), /unset/);
      assert.match(reasonOf('hmp', { 'cpr-exec-command': [] }), /empty list/);
      assert.match(reasonOf('hmp', { 'cpr-exec-command': ['a\nb'] }), /line breaks/);
      assert.match(reasonOf('hmp', { 'block-bitmap-mapping': [] }), /neither lists/);
    });

    it('leave out a number that may count in MiB, since nobody knows', () => {
      const facts = factsOf('11.1-stock', { schema: schemaWithArgument('warp-speed', 'int') });
      assert.match(reasonOf('hmp', { 'warp-speed': 5 }, facts), /MiB/);
    });
  });

  describe('as -global', () => {
    it('have the names that this QEMU lists, and are quoted for a shell', () => {
      const text = textOf(
        'global',
        {
          'max-bandwidth': (1n << 64n) - 1n,
          'multifd-channels': 4,
          'tls-creds': "a,b 'c'",
          'tls-hostname': '',
        },
        { events: true },
      );
      assert.deepEqual(text.split('\n'), [
        '-global migration.x-max-bandwidth=18446744073709551615 \\',
        '-global migration.multifd-channels=4 \\',
        `-global 'migration.tls-creds=a,b '\\''c'\\''' \\`,
        '-global migration.tls-hostname= \\',
        '-global migration.x-events=on',
      ]);
    });

    it('leave out what is not in the list', () => {
      const { text, leftOut } = copied(
        'global',
        { 'direct-io': true, 'multifd-channels': 2 },
        { 'dirty-bitmaps': true },
      );
      assert.equal(text, '-global migration.multifd-channels=2');
      assert.deepEqual(
        leftOut.map(({ name }) => name),
        ['direct-io', 'dirty-bitmaps'],
      );
    });

    it('are all left out when there is no list', () => {
      const facts: VmFacts = { ...stock, migrationProperties: new Map() };
      const { text, leftOut } = copied('global', { mode: 'normal' }, { events: true }, facts);
      assert.equal(text, '');
      assert.equal(leftOut.length, 2);
      assert.match(leftOut[0]?.reason ?? '', /has not told/);
    });

    it('cannot unset', () => {
      assert.match(reasonOf('global', { 'tls-creds': null }), /unset/);
    });
  });

  describe('as calls of the command line', () => {
    it('have values as people write them, quoted for a shell', () => {
      const text = textOf(
        'cli',
        { 'max-bandwidth': 134217728, 'tls-creds': '', 'multifd-channels': 4 },
        { events: true, xbzrle: false },
      );
      assert.deepEqual(text.split('\n'), [
        `qemu-migration params '/run/my vm.qmp' max-bandwidth='128 MiB/s' tls-creds='' multifd-channels=4`,
        `qemu-migration caps '/run/my vm.qmp' events=on xbzrle=off`,
      ]);
    });

    it('allow the command that QEMU executes, when there is one', () => {
      assert.equal(
        textOf('cli', { 'cpr-exec-command': ['/bin/qemu', "it's"] }, { events: true }),
        `qemu-migration params '/run/my vm.qmp' --allow-exec ` +
          `cpr-exec-command='["/bin/qemu","it'\\''s"]'\n` +
          `qemu-migration caps '/run/my vm.qmp' events=on`,
      );
    });

    it('leave out a value that would not be read back as the same', () => {
      assert.match(reasonOf('cli', { 'tls-creds': null }), /cannot give/);
    });

    for (const build of builds) {
      it(`have every parameter that ${build} reports`, () => {
        const facts = factsOf(build);
        const words = textOf('cli', facts.parameters, {}, facts).match(/ [a-z-]+=/g) ?? [];
        assert.equal(words.length, Object.keys(facts.parameters).length);
      });
    }
  });

  it('hold nothing that a terminal would act upon', () => {
    for (const text of ['a\rb', 'a\tb', '\u001b[201~', '\u0015', '\u007f', '\u009b2J', '\u202eb']) {
      for (const form of ['hmp', 'global', 'cli'] as const) {
        assert.match(reasonOf(form, { 'tls-hostname': text }), /cannot be pasted/);
      }
      const json = textOf('qmp', { 'tls-hostname': text });
      assert.doesNotMatch(json, /\p{Cc}/u);
      assert.deepEqual(JSON.parse(json), {
        execute: 'migrate-set-parameters',
        arguments: { 'tls-hostname': text },
      });
    }
    assert.match(reasonOf('hmp', { 'tls-hostname': 'é'.repeat(600) }), /of this length/);
  });

  it('of a QEMU that nothing is known of are exact, or left out', () => {
    const snapshot = snapshotOf('vm', undefined);
    const selection = { parameters: { 'max-bandwidth': 5, 'tls-creds': 'a b' }, capabilities: {} };
    const names = (form: CopyForm): string[] =>
      copyAs(form, selection, snapshot).leftOut.map(({ name }) => name);
    assert.deepEqual(names('qmp'), []);
    assert.deepEqual(names('hmp'), ['tls-creds']);
    assert.deepEqual(names('global'), ['max-bandwidth', 'tls-creds']);
    assert.deepEqual(names('cli'), ['max-bandwidth', 'tls-creds']);
  });
});

function schemaWithArgument(name: string, type: string): QmpSchema {
  return QmpSchema.parse(schemaReplyWith('11.1-stock', name, type));
}
