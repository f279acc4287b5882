import assert from 'node:assert/strict';
import { copyFile, mkdtemp, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileIdentity } from '../../../src/migration/methods/stateFile';
import {
  notePathOf,
  parseNote,
  printNote,
  readNote,
  writeNote,
  type SavedNote,
} from '../../../src/migration/run/oneSided/savedNote';
import { parseStateHeader } from '../../../src/migration/run/oneSided/stateHeader';

const note: SavedNote = {
  state: 'complete',
  run: '20260101T000000-abcdef',
  savedAt: 1,
  bytes: 4,
  identity: '1:2',
  method: 'save',
  guestRan: true,
  qemuVersion: '11.1.3',
  capabilities: ['mapped-ram'],
  source: {
    socket: '/run/vm.sock',
    label: 'vm',
    process: { pid: 7, startTicks: 2n ** 60n, boot: 'b' },
  },
  restores: [],
};

describe('the note beside a saved guest', () => {
  let directory: string;
  let file: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'note-'));
    file = join(directory, 'guest');
    await writeFile(file, 'QEVM');
  });
  afterEach(() => rm(directory, { recursive: true }));

  const withIdentity = async (): Promise<SavedNote> => ({
    ...note,
    identity: fileIdentity(await stat(file, { bigint: true })),
  });

  it('is read as it was written, exact to the last tick', () => {
    const read = parseNote(printNote(note));
    assert.equal(read.kind, 'read');
    assert.deepEqual(read.note.source, note.source);
    assert.equal(read.note.state, 'complete');
  });

  it('is damaged when it is cut, of another form, or of another version', () => {
    assert.equal(parseNote(printNote(note).slice(0, 40)).kind, 'damaged');
    assert.equal(parseNote('{"v":1}').kind, 'damaged');
    assert.equal(parseNote(printNote(note).replace('"v":1', '"v":2')).kind, 'damaged');
  });

  it('goes with a copy of its file, and with no other', async () => {
    await writeNote(file, await withIdentity());
    assert.equal((await readNote(file)).kind, 'read');
    const copy = join(directory, 'copy');
    await copyFile(file, copy);
    await copyFile(notePathOf(file), notePathOf(copy));
    assert.equal((await readNote(copy)).kind, 'read');
    await truncate(file, 3);
    assert.equal((await readNote(file)).kind, 'foreign');
    assert.equal((await readNote(join(directory, 'nothing'))).kind, 'none');
  });

  it('is private', async () => {
    await writeNote(file, await withIdentity());
    assert.equal((await stat(notePathOf(file))).mode & 0o777, 0o600);
  });
});

describe('the beginning of a saved guest', () => {
  it('is not taken for one when it is something else, or cut', () => {
    assert.equal(parseStateHeader(Buffer.from('hello')).kind, 'other');
    assert.equal(parseStateHeader(Buffer.alloc(0)).kind, 'other');
    assert.deepEqual(parseStateHeader(Buffer.from('5145564d0000000307', 'hex')), {
      kind: 'qemu',
      machineType: undefined,
      capabilities: [],
    });
  });
});
