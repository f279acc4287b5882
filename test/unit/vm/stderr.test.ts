import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { lastLines, watchStderr, type StderrTail } from '../../../src/vm/stderr';
import { addProcess } from './fakeProc';

const qemu = { pid: 42, startTicks: 4200n };

describe('the standard error of a QEMU that somebody else started', () => {
  let directory: string;
  let log: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'qm-stderr-'));
    log = join(directory, 'vm.log');
    writeFileSync(log, 'of an earlier run\n');
    addProcess(directory, qemu.pid, ['qemu']);
    mkdirSync(join(directory, '42/fd'));
    symlinkSync(log, join(directory, '42/fd/2'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  async function watch(): Promise<StderrTail> {
    const tail = await watchStderr(qemu, directory);
    assert.ok(tail !== undefined);
    return tail;
  }

  it('gives only what was written since, also when the process is gone', async () => {
    const tail = await watch();
    assert.deepEqual(await tail.lines(), []);
    appendFileSync(log, 'qemu: first\nqemu: last');
    rmSync(join(directory, '42'), { recursive: true });
    assert.deepEqual(await tail.lines(), ['qemu: first', 'qemu: last']);
  });

  it('gives the last lines of a log that was flooded, whole ones only', async () => {
    const tail = await watch();
    const long = 'x'.repeat(400);
    for (let line = 0; line < 1000; line++) appendFileSync(log, `${line} ${long}\n`);
    const lines = await tail.lines();
    assert.equal(lines.length, 20);
    assert.equal(lines[0], `980 ${long}`);
    assert.equal(lines[19], `999 ${long}`);
    // Less than twenty lines fit into what is read: the first of them would be a torso.
    for (let line = 0; line < 12; line++) appendFileSync(log, `${'y'.repeat(8000)}\n`);
    const few = await tail.lines();
    assert.ok(few.length < 12 && few.every((line) => line === 'y'.repeat(500)));
  });

  it('keeps out what a terminal or a text field would obey', () => {
    const nasty =
      '\u001b[31mred\u001b[0m \u001b]0;title\u0007\u202ereversed\u0000\tend\r\nnext\u2028line\n\n';
    assert.deepEqual(lastLines(nasty), ['red reversed end', 'nextline']);
  });

  it('is absent when the log was replaced, emptied, deleted or made a link', async () => {
    const tail = await watch();
    appendFileSync(log, 'new line\n');
    renameSync(log, `${log}.1`);
    assert.deepEqual(await tail.lines(), [], 'deleted');
    writeFileSync(log, 'of another program, and longer than what was there before\n');
    assert.deepEqual(await tail.lines(), [], 'replaced');
    rmSync(log);
    symlinkSync(`${log}.1`, log);
    assert.deepEqual(await tail.lines(), [], 'a link');
    rmSync(log);
    renameSync(`${log}.1`, log);
    assert.deepEqual(await tail.lines(), ['new line']);
    truncateSync(log);
    assert.deepEqual(await tail.lines(), [], 'emptied');
  });

  it('does not wait for a pipe that took the place of the log', async () => {
    const tail = await watch();
    rmSync(log);
    execFileSync('mkfifo', [log]);
    assert.deepEqual(await tail.lines(), []);
  });

  it('is not there for a terminal, a pipe, another process or nothing', async () => {
    const link = join(directory, '42/fd/2');
    for (const file of ['/dev/null', 'pipe:[123]', `${log} (deleted)`, join(directory, 'none')]) {
      rmSync(link);
      symlinkSync(file, link);
      assert.equal(await watchStderr(qemu, directory), undefined, file);
    }
    rmSync(link);
    symlinkSync(log, link);
    assert.equal(await watchStderr({ ...qemu, startTicks: 1n }, directory), undefined);
    assert.equal(await watchStderr({ ...qemu, pid: 43 }, directory), undefined);
  });
});
