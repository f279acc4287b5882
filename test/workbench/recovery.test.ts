import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LogLevel, type LogOutputChannel } from 'vscode';
import { printEntry, type StampedEntry } from '../../src/migration/run/journal/entries';
import { hostId } from '../../src/migration/run/journal/processes';
import { MigrationReporter } from '../../src/ui/migrationReporter';
import { OtherDrivers } from '../../src/ui/otherDrivers';
import { RunRecovery } from '../../src/ui/runRecovery';
import { FakeDesk } from '../support/fakeDesk';
import { Bench, eventually } from './support/extension';

const log = {
  logLevel: LogLevel.Info,
  info: () => undefined,
  warn: () => undefined,
  show: () => undefined,
} as unknown as LogOutputChannel;

const noDetails = { show: () => Promise.resolve() };

describe('runs that a closed window has left', () => {
  let bench: Bench;

  before(async () => {
    bench = await Bench.open();
  });
  afterEach(() => bench.clear());
  after(() => bench.close());

  function look(): Promise<void> {
    const { journals, runs, registry } = bench.access;
    const desk = new FakeDesk(() => {
      throw new Error('nothing is planned here');
    });
    const reporter = new MigrationReporter(bench.prompts, log, noDetails);
    return new RunRecovery({
      ...{ journals, runs, registry, reporter, log, desk, prompts: bench.prompts },
      updateReporter: { follow: () => Promise.resolve() },
      drivers: new OtherDrivers(),
    }).look();
  }

  async function put(id: string, text: string): Promise<string> {
    const directory = join(bench.access.journals.directory, 'runs');
    await mkdir(directory, { recursive: true });
    const file = join(directory, `${id}.jsonl`);
    await writeFile(file, text);
    return file;
  }

  it('are taken up and told, and what was borrowed is put back', async () => {
    const source = await bench.server({ build: '11.1-stock' });
    const target = await bench.server({ build: '11.1-stock' });
    source.setMigration({});
    source.qemu.status = { status: 'running', running: true };
    target.setMigration({});
    target.qemu.status = { status: 'inmigrate', running: false };
    source.qemu.parameters = { ...source.qemu.parameters, 'max-bandwidth': 5 };
    const host = await hostId();
    const old = 2n ** 60n + 1n;
    const entries: StampedEntry[] = [
      {
        ...{ at: 1, kind: 'begin', run: 'left', guestRan: true },
        driver: { pid: 4_000_000, startTicks: 1n, boot: 'gone', program: 'a window', host },
        source: { key: 'left-source', socket: source.path, label: 'web' },
        target: { key: 'left-target', socket: target.path, label: 'web-new' },
        request: {
          ...{ source: source.path, target: target.path, transport: 'fd' },
          backendTransfer: 'as-is',
        },
      },
      {
        ...{ at: 2, kind: 'loan', loan: 1, side: 'source', always: true },
        what: { type: 'parameter', name: 'max-bandwidth', old, now: 5 },
      },
    ];
    const file = await put('left', entries.map((entry) => `${printEntry(entry)}\n`).join(''));
    await look();
    await eventually(() => assert.equal(bench.prompts.messages.length, 1));
    assert.match(
      bench.prompts.onlyMessage.text,
      /^A migration that was under way when its window or program closed: The guest runs on /,
    );
    assert.deepEqual(bench.prompts.onlyMessage.buttons, ['Show Details', 'Show Log']);
    assert.equal(source.qemu.parameters['max-bandwidth'], old);
    assert.ok(bench.access.registry.get(source.path), 'the machine is on the list');
    assert.equal(bench.access.runs.last(source.path)?.outcome?.owner, 'source');
    assert.match(await readFile(file, 'utf8'), /"kind":"end"/);
    await look();
    assert.equal(bench.prompts.messages.length, 1);
  });

  it('are named when their journal cannot be read', async () => {
    const file = await put('damaged', 'not a journal\n');
    await look();
    const { severity, text } = bench.prompts.onlyMessage;
    assert.equal(severity, 'warning');
    assert.ok(text.includes(`${file}.damaged`), text);
    assert.equal(await readFile(`${file}.damaged`, 'utf8'), 'not a journal\n');
  });
});
