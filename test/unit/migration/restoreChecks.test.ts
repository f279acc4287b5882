import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import {
  savedReasons,
  savedWarnings,
  type SavedGuest,
} from '../../../src/migration/run/oneSided/restoreChecks';
import type { SavedNote } from '../../../src/migration/run/oneSided/savedNote';
import { factsOf } from './support';

const file = '/srv/guest';
const saver = {
  socket: '/run/vm.sock',
  label: 'vm',
  process: { pid: 7, startTicks: 1n, boot: 'b' },
};

const note: SavedNote = {
  ...{ state: 'complete', run: '20260101T000000-abcdef', savedAt: 1, bytes: 4, identity: '1:2' },
  ...{ method: 'save', guestRan: true, qemuVersion: '11.1.3', capabilities: [] },
  ...{ source: saver, restores: [] },
};

function guestOf(patch: Partial<SavedGuest> = {}, noted: Partial<SavedNote> = {}): SavedGuest {
  return {
    path: file,
    header: { kind: 'qemu', machineType: undefined, capabilities: [] },
    note: { kind: 'read', note: { ...note, ...noted } },
    source: { kind: 'gone' },
    restores: [],
    ...patch,
  };
}

function reasonsOf(guest: SavedGuest): readonly string[] {
  const facts = { ...factsOf('11.1-stock'), machineType: 'pc-q35-11.1', memoryBytes: 2 ** 27 };
  return savedReasons(guest, 'new', facts).map(({ id, subject }) =>
    subject === undefined ? id : `${id} ${subject}`,
  );
}

describe('what forbids to restore a saved guest', () => {
  it('is nothing where its QEMU is gone and the file fits', () => {
    assert.deepEqual(reasonsOf(guestOf()), []);
    assert.deepEqual(savedWarnings(guestOf()), []);
  });

  it('is a QEMU that runs it, or cannot be asked, whether it saved it or got it', () => {
    const running = { kind: 'running', status: 'running' } as const;
    assert.deepEqual(reasonsOf(guestOf({ source: running })), ['saved-guest-there vm']);
    assert.deepEqual(reasonsOf(guestOf({ source: { kind: 'there' } })), ['saved-guest-there vm']);
    const holder = { ...saver, label: 'other' };
    const restores = [{ holder, state: running }];
    assert.deepEqual(reasonsOf(guestOf({ restores })), ['saved-guest-there other']);
  });

  it('is an earlier restore, whose disks may have gone on', () => {
    const restores = [{ holder: { ...saver, label: 'other' }, state: { kind: 'gone' } as const }];
    assert.deepEqual(reasonsOf(guestOf({ restores })), ['restored-before other']);
  });

  it('is a file that its guest has left behind, or whose end nobody saw', () => {
    assert.deepEqual(reasonsOf(guestOf({}, { state: 'stale' })), ['saved-stale']);
    assert.deepEqual(reasonsOf(guestOf({}, { state: 'saving' })), ['saved-unfinished']);
  });

  it('is another machine, another size of memory, or a format that the target lacks', () => {
    assert.deepEqual(reasonsOf(guestOf({}, { machineType: 'pc-q35-9.0' })), ['machine-type']);
    assert.deepEqual(reasonsOf(guestOf({}, { memoryBytes: 2 ** 28 })), ['memory-size']);
    const { capabilities, ...others } = factsOf('11.1-stock');
    const old = {
      ...others,
      capabilities: capabilities.filter(({ name }) => name !== 'mapped-ram'),
    };
    const mapped = guestOf({}, { capabilities: ['mapped-ram'] });
    assert.deepEqual(
      savedReasons(mapped, 'old', old).map(({ id, subject }) => [id, subject]),
      [['saved-format', 'mapped-ram']],
    );
  });

  it('is a file of something else, whatever its note tells', () => {
    assert.deepEqual(reasonsOf(guestOf({ header: { kind: 'other' } })), ['file-not-a-migration']);
  });

  it('warns where a stopped copy is left, or nobody can tell', () => {
    const standing = savedWarnings(
      guestOf({ source: { kind: 'standing', status: 'postmigrate' } }),
    );
    assert.match(standing.join(), /vm still holds a stopped copy/);
    const without = savedWarnings(guestOf({ note: { kind: 'none' } }));
    assert.match(without.join(), /There is no note beside \/srv\/guest/);
  });
});
