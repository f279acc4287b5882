import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { Writable } from 'node:stream';
import { Interrupts } from '../../../src/cli/interrupts';
import { Terminal } from '../../../src/cli/terminal';

class Recorder extends Writable {
  text = '';
  readonly isTTY: boolean;
  columns = 20;

  constructor(isTTY = false) {
    super();
    this.isTTY = isTTY;
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    this.text += chunk.toString();
    done();
  }
}

class Closed extends Writable {
  writes = 0;

  override _write(_chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    this.writes += 1;
    done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
  }
}

describe('cli terminal', () => {
  it('rewrites one line of progress on a terminal, cut to its width', () => {
    const stderr = new Recorder(true);
    const terminal = new Terminal(new Recorder(), stderr);
    terminal.progress('pass 1');
    terminal.progress('pass 2 of very very very many');
    terminal.endProgress();
    assert.equal(stderr.text, '\rpass 1\x1b[K\rpass 2 of very ver…\x1b[K\r\x1b[K');
  });

  it('takes a terminal of no size for one of 80 columns', () => {
    const stderr = Object.assign(new Recorder(true), { columns: 0 });
    new Terminal(new Recorder(), stderr).progress('x'.repeat(100));
    assert.equal(stderr.text, `\r${'x'.repeat(78)}…\x1b[K`);
  });

  it('takes the progress line away for a note and puts it back', () => {
    const stderr = new Recorder(true);
    const terminal = new Terminal(new Recorder(), stderr);
    terminal.progress('pass 1');
    terminal.note('Cancelling.');
    assert.equal(stderr.text, '\rpass 1\x1b[K\r\x1b[KCancelling.\npass 1');
  });

  it('prints a plain line every few seconds where nothing can be rewritten', () => {
    const stderr = new Recorder();
    const terminal = new Terminal(new Recorder(), stderr);
    for (const now of [0, 500, 1000, 3100, 3200, 6200]) terminal.progress(`at ${now}`, now);
    assert.equal(stderr.text, 'at 0\nat 3100\nat 6200\n');
  });

  it('keeps results on stdout and cleans them', () => {
    const stdout = new Recorder();
    const stderr = new Recorder();
    const terminal = new Terminal(stdout, stderr);
    terminal.result('web\u001b[2J');
    terminal.note('by the way');
    assert.equal(stdout.text, 'web\\x1b[2J\n');
    assert.equal(stderr.text, 'by the way\n');
  });

  it('goes on without a reader', async () => {
    const stdout = new Closed();
    const terminal = new Terminal(stdout, new Recorder());
    terminal.result('one');
    await new Promise(setImmediate);
    terminal.result('two');
    await terminal.flush();
    assert.equal(stdout.writes, 1);
  });
});

describe('cli interrupts', () => {
  it('counts SIGINT and SIGTERM alike, survives SIGHUP, and stops listening', () => {
    const source = new EventEmitter();
    const counts: number[] = [];
    const interrupts = new Interrupts(source, (count) => counts.push(count));
    source.emit('SIGINT');
    source.emit('SIGHUP');
    source.emit('SIGTERM');
    assert.equal(source.listenerCount('SIGHUP'), 1);
    interrupts.dispose();
    source.emit('SIGINT');
    assert.deepEqual(counts, [1, 2]);
    assert.deepEqual(source.eventNames(), []);
  });
});
