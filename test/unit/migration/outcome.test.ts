import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { QmpCommandError } from '../../../src/qmp/errors';
import type { Followed } from '../../../src/migration/run/followTypes';
import type { Side } from '../../../src/migration/run/look';
import { readMigrationInfo } from '../../../src/migration/run/migrationInfo';
import {
  outcomeOfFailedStart,
  outcomeOfRun,
  whereIsTheGuest,
  type EndedRun,
} from '../../../src/migration/run/outcome';
import type { SideView } from '../../../src/migration/run/ownership';

const machineType = "Machine type received is 'pc-q35-10.0' and local is 'pc-q35-9.2'";

function side(label: string, error?: string): Side {
  const info = readMigrationInfo(error === undefined ? {} : { 'error-desc': error });
  return { label, info } as unknown as Side;
}

function answered(status: string, migrationStatus: string): SideView {
  return {
    kind: 'answered',
    runState: { status, running: status === 'running' },
    migrationStatus,
  };
}

function ended(followed: Partial<Followed>, patch: Partial<EndedRun> = {}): EndedRun {
  return {
    followed: {
      end: { kind: 'failed' },
      source: answered('running', 'failed'),
      target: answered('inmigrate', 'failed'),
      cancelCameTooLate: false,
      cancelReason: undefined,
      guestStayed: true,
      ...followed,
    },
    sides: {
      source: side('vm1', 'Sibling indicated error 1'),
      target: side('vm2', 'load of migration failed: Invalid argument'),
    },
    notPutBack: [],
    ranBefore: true,
    maxBandwidth: undefined,
    ...patch,
  };
}

describe('the outcome of a run that went wrong', () => {
  it('begins with the cause that only the log of the target has, and keeps the words of both', () => {
    const outcome = outcomeOfRun(
      ended({}, { evidence: { phase: 'switch-over', targetStderr: [machineType] } }),
    );
    assert.equal(outcome.kind, 'failed');
    assert.match(outcome.details[0] ?? '', /handed over: vm2 is another machine type/);
    assert.match(outcome.details[1] ?? '', /pc-q35-10\.0/);
    const rest = outcome.details.slice(2).join('\n');
    assert.match(rest, /vm1 says: Sibling indicated error 1/);
    assert.match(rest, /vm2 says: load of migration failed/);
    assert.ok(rest.includes(machineType));
  });

  it('never loses what keeps the guest safe to the cure', () => {
    const evidence = { targetStderr: [machineType] };
    const failed = outcomeOfRun(ended({}, { evidence }));
    assert.match(failed.nextStep, /^Quit vm2: a target serves one attempt.*-machine pc-q35-10\.0/);
    const standing = outcomeOfRun(
      ended({ source: answered('paused', 'failed'), target: { kind: 'gone' } }, { evidence }),
    );
    assert.match(standing.nextStep, /Then continue vm1\./);
    const unknown = outcomeOfRun(
      ended({ source: { kind: 'silent' }, guestStayed: false }, { evidence }),
    );
    assert.equal(unknown.kind, 'unknown');
    assert.match(unknown.nextStep, /Continue neither/);
    assert.match(unknown.details[0] ?? '', /another machine type/);
  });

  it('says how the process of a side ended, where it is known', () => {
    const gone = { target: { kind: 'gone' } } as const;
    const killed = outcomeOfRun(ended(gone, { evidence: { targetEnd: { signal: 'SIGKILL' } } }));
    assert.match(killed.details.join('\n'), /vm2 was killed by SIGKILL/);
    assert.match(outcomeOfRun(ended(gone)).details.join('\n'), /The QEMU of vm2 has ended\./);
  });

  it('explains nothing after a cancel that was asked for', () => {
    const outcome = outcomeOfRun(ended({ end: { kind: 'cancelled' }, cancelReason: 'asked-for' }));
    assert.equal(outcome.kind, 'cancelled');
    assert.deepEqual(outcome.details, []);
  });

  it('does not call an interrupted postcopy done, and warns of quitting either side', () => {
    const outcome = outcomeOfRun(
      ended({
        end: { kind: 'interrupted' },
        source: answered('finish-migrate', 'postcopy-paused'),
        target: answered('running', 'postcopy-paused'),
        guestStayed: false,
      }),
    );
    assert.equal(outcome.kind, 'unknown');
    assert.equal(outcome.owner, 'target');
    assert.match(outcome.headline, /interrupted/);
    assert.match(outcome.nextStep, /Quit neither side.*never continue vm1/);
  });

  it('explains a refused start, without an error of an earlier attempt', () => {
    const outcome = outcomeOfFailedStart({
      error: new QmpCommandError('migrate', 'GenericError', "No TLS credentials with id 'tls0'"),
      source: answered('running', 'none'),
      target: answered('inmigrate', 'setup'),
      sides: { source: side('vm1', machineType), target: side('vm2') },
      notPutBack: [],
      targetListens: true,
    });
    assert.match(outcome.details[0] ?? '', /prepared: vm1 has no TLS credentials/);
    assert.doesNotMatch(outcome.details.join('\n'), /Machine type/);
    assert.match(outcome.details.join('\n'), /QEMU refused migrate: No TLS credentials/);
    assert.match(outcome.nextStep, /tls-creds.*Quit vm2/);
  });

  it('says where a guest is that is on no side', () => {
    const at = (owner: 'file' | 'neither-yet' | 'nobody', target: string): string =>
      whereIsTheGuest(
        { owner, guestRunning: undefined, twoCopies: false },
        { source: 'vm1', target },
      );
    assert.match(at('file', 'vm1'), /saved.*runs nowhere/);
    assert.match(at('neither-yet', 'vm2'), /between vm1 and vm2/);
    assert.doesNotMatch(at('nobody', 'vm1'), /nor/);
  });
});
