import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { temporaryDirectory } from '../../scripts/lib/processes';
import {
  provisionQemu,
  qemuVersions,
  startQemu,
  type QemuProcess,
  type QemuVersionName,
} from '../../scripts/lib/qemu';
import { parameterInfo } from '../../src/migration/settings/catalogue';
import { settingsOf, type SettingsState } from '../../src/migration/settings/change';
import {
  copyAs,
  copyForms,
  type CopiedText,
  type CopyForm,
} from '../../src/migration/settings/copyAs';
import { describeParameter } from '../../src/migration/settings/parameters';
import { sameValue } from '../../src/migration/settings/values';
import { QmpCommandError } from '../../src/qmp/errors';
import { stringifyJson, type JsonValue } from '../../src/qmp/json';
import { MachineRegistry } from '../../src/vm/registry';
import type { MachineHandle, MachineSnapshot, VmFacts } from '../../src/vm/types';
import { runCliProcess } from '../support/cliProcess';
import { testValues } from '../support/settingValues';

/** QEMU lets `mapped-ram` be turned on beside these, but does not start with them. */
const notWithMappedRam: readonly string[] = ['multifd-compression', 'tls-creds'];
const mappedRamRound = 3;

interface Pasted {
  /** Of the QEMU that has the settings then. */
  readonly facts: VmFacts;
  readonly leftOut: CopiedText['leftOut'];
}

interface Running {
  readonly qemu: QemuProcess;
  readonly machine: MachineHandle;
}

describe('settings copied from one QEMU and pasted into another', () => {
  let temporary: ReturnType<typeof temporaryDirectory>;
  let registry: MachineRegistry;
  let started: QemuProcess[];

  beforeEach(() => {
    temporary = temporaryDirectory('copy');
    started = [];
    registry = new MachineRegistry({
      store: { load: () => [], save: () => Promise.resolve() },
      autoReconnect: false,
    });
  });

  afterEach(async () => {
    registry.dispose();
    for (const qemu of started) await qemu.stop();
    await temporary.remove();
  });

  async function start(
    version: QemuVersionName,
    options: readonly string[] = [],
  ): Promise<Running> {
    const name = `vm${started.length}`;
    const qemu = await startQemu({
      ...{ build: await provisionQemu(version), directory: temporary.path, name },
      accelerator: 'tcg',
      extraArgs: ['-S', '-qmp', `unix:${pasteSocket(name)},server=on,wait=off`, ...options],
    });
    started.push(qemu);
    return { qemu, machine: await registry.connect(qemu.qmpSocket) };
  }

  const pasteSocket = (name: string): string => `${temporary.path}/${name}.paste`;

  /** Everything set to something else, as far as it goes together; another value each round. */
  async function configured(version: QemuVersionName, round: number): Promise<MachineSnapshot> {
    const { machine } = await start(version);
    const tried = async (command: string, args: { [name: string]: JsonValue }): Promise<void> => {
      try {
        await machine.connection().execute(command, args);
      } catch (error) {
        // It does not go with what was set before; enough others do.
        if (!(error instanceof QmpCommandError)) throw error;
      }
    };
    for (const { name } of factsOf(machine).schema.arguments('migrate-set-parameters')) {
      const { legal } = testValues(factsOf(machine), name);
      const value = legal.at(round % legal.length);
      if (round === mappedRamRound && notWithMappedRam.includes(name)) continue;
      if (value !== undefined) await tried('migrate-set-parameters', { [name]: value });
    }
    const names = factsOf(machine).capabilities.map(({ name }) => name);
    const first = names.toSorted((a, b) => rank(a, round) - rank(b, round));
    // Twice: some need others that come later.
    for (const name of [...first, ...first]) {
      if (name === 'mapped-ram' && round !== mappedRamRound) continue;
      const capabilities = [{ capability: name, state: true }];
      await tried('migrate-set-capabilities', { capabilities });
    }
    await machine.refresh(['parameters', 'capabilities']);
    return machine.snapshot;
  }

  /** Copies, and does with the text what a person would. */
  async function copyAndPaste(
    form: CopyForm,
    selection: SettingsState,
    source: MachineSnapshot,
    version: QemuVersionName,
  ): Promise<Pasted> {
    if (form === 'global') {
      const { text, leftOut } = copyAs(form, selection, source);
      const { machine } = await start(version, await shellWords(text));
      return { facts: factsOf(machine), leftOut };
    }
    const { qemu, machine } = await start(version);
    const socketPath = pasteSocket(qemu.name);
    const { text, leftOut } = copyAs(form, selection, { ...source, socketPath });
    switch (form) {
      case 'qmp':
        await pasteIntoQmp(socketPath, text);
        break;
      case 'hmp':
        for (const line of text.split('\n')) {
          const answer = await qemu.probe('human-monitor-command', { 'command-line': line });
          assert.match(String(answer), /^(warning: .*)?\s*$/, line);
        }
        break;
      case 'cli':
        for (const line of text.split('\n')) {
          const [program, ...args] = await shellWords(line);
          assert.equal(program, 'qemu-migration');
          const { code, stderr } = await runCliProcess(args);
          assert.equal(code, 0, stderr);
        }
        break;
    }
    return { facts: await machine.refresh(['parameters', 'capabilities']), leftOut };
  }

  for (const version of qemuVersions) {
    for (const round of [0, 1, 2, 3]) {
      it(`${version}: are the same there, in each form (values ${round + 1})`, async () => {
        const source = await configured(version, round);
        const { facts } = source;
        assert.ok(facts);
        const { parameters, capabilities } = settingsOf(facts);
        const selection = {
          parameters,
          // The wrong way round for those that need others.
          capabilities: Object.fromEntries(Object.entries(capabilities).toReversed()),
        };
        const changed = Object.keys(facts.parameters).filter(
          (name) => describeParameter(facts, name)?.changed !== false,
        );
        assert.ok(changed.length >= Object.keys(facts.parameters).length - 6, changed.join());
        const on = facts.capabilities.filter(({ enabled }) => enabled).map(({ name }) => name);
        assert.ok(on.length >= (round === 3 ? 2 : 10), on.join());
        for (const form of copyForms) {
          const { facts: there, leftOut } = await copyAndPaste(form, selection, source, version);
          const omitted = leftOut.map(({ name }) => name);
          assert.deepEqual([...omitted].sort(), [...expectedOmissions(form, facts)].sort(), form);
          for (const [name, value] of Object.entries(selection.parameters)) {
            if (omitted.includes(name)) continue;
            const now = there.parameters[name] ?? null;
            const told = `${form}: ${name} ${stringifyJson(now)}, not ${stringifyJson(value!)}`;
            assert.ok(sameValue(now, value), told);
          }
          for (const { name, enabled } of there.capabilities) {
            if (omitted.includes(name)) continue;
            assert.equal(enabled, selection.capabilities[name], `${form}: ${name}`);
          }
        }
      });
    }
  }
});

/** The last round begins with the one that excludes most others; the others leave it to the end. */
function rank(capability: string, round: number): number {
  return capability !== 'background-snapshot' ? 0 : round === 3 ? -1 : 1;
}

function factsOf(machine: MachineHandle): VmFacts {
  const { facts } = machine.snapshot;
  assert.ok(facts);
  return facts;
}

/** What cannot be said in this form, told here in other words than in the code under test. */
function expectedOmissions(form: CopyForm, facts: VmFacts): readonly string[] {
  const parameters = Object.entries(facts.parameters).filter(([name, value]) => {
    if (form === 'hmp') {
      const isSize = parameterInfo(name)?.unit.startsWith('bytes') === true;
      return (
        name === 'block-bitmap-mapping' ||
        (isSize && BigInt(value as number) >= 1n << 63n) ||
        ('cpr-exec-command' in facts.parameters &&
          (value === '' || (typeof value === 'string' && value.startsWith(' '))))
      );
    }
    return form === 'global' && !hasProperty(facts, name);
  });
  const capabilities = facts.capabilities.filter(
    ({ name }) => form === 'global' && !hasProperty(facts, name),
  );
  return [...parameters.map(([name]) => name), ...capabilities.map(({ name }) => name)];
}

function hasProperty({ migrationProperties }: VmFacts, name: string): boolean {
  return migrationProperties.has(name) || migrationProperties.has(`x-${name}`);
}

/** The words that a shell makes of a text. */
async function shellWords(text: string): Promise<readonly string[]> {
  const { stdout } = await promisify(execFile)('sh', ['-c', `printf '%s\\0' ${text}`]);
  return stdout.split('\0').slice(0, -1);
}

/** Types into a QMP session: negotiates, then sends the text as it is. */
function pasteIntoQmp(path: string, text: string): Promise<void> {
  const lines = text.split('\n').length;
  return new Promise((resolve, reject) => {
    let received = '';
    const socket = connect(path, () => {
      socket.write(`{"execute":"qmp_capabilities"}\n${text}\n`);
    });
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      received += chunk;
      if (received.includes('"error"')) reject(new Error(received));
      // One for the negotiation.
      if (received.split('"return"').length - 1 > lines) socket.end(resolve);
    });
    socket.on('error', reject);
  });
}
