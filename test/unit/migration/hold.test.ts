import assert from 'node:assert/strict';
import { Gate } from '../../../src/migration/run/gate';
import { Hold } from '../../../src/migration/run/hold';
import { noRecorder } from '../../../src/migration/run/journal/recorder';
import { Side } from '../../../src/migration/run/look';
import type { SideView } from '../../../src/migration/run/ownership';
import type { MachineHandle } from '../../../src/vm/types';

describe('the hold of a target', () => {
  it('is not believed to be taken because an earlier driver meant to take it', async () => {
    const sent: string[] = [];
    const machine = {
      snapshot: { label: 'a', facts: undefined },
      connection: () => ({
        execute: (command: string) => {
          sent.push(command);
          return Promise.resolve({});
        },
      }),
    } as unknown as MachineHandle;
    class Waiting extends Side {
      override look(): Promise<SideView> {
        const runState = { status: 'inmigrate', running: false };
        return Promise.resolve({ kind: 'answered', runState, migrationStatus: 'active' });
      }
    }
    const side = new Waiting(machine, undefined);
    const log = (): void => undefined;
    const gate = new Gate({ sides: { source: machine, target: machine }, log }, 'held');
    const hold = new Hold(
      side,
      side,
      { gate, log, recorder: noRecorder, isUnheard: () => false },
      { source: false, target: true, guestRan: true },
    );
    assert.equal(await hold.takeTarget(), 'held');
    assert.deepEqual(sent, ['stop']);
    assert.equal(await hold.takeTarget(), 'held');
    assert.deepEqual(sent, ['stop'], 'one that was accepted is not sent again');
  });
});
