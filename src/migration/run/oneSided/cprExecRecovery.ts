import { stderrFile } from '../../methods/execFacts';
import { unixPathOf } from '../../methods/unixPath';
import { RunInterruptedError } from '../journal/errors';
import type { KeptSettings } from '../journal/state';
import type { Ending } from '../ending';
import type { RecoveryContext } from '../recover';
import type { RunOutcome } from '../types';
import { CancelledBeforeStart, conclude, oneSided } from './common';
import { endBeforeStart } from './cprExec';
import { followReplacement, hasCommand, stateFileIn } from './cprExecFollow';
import { putBackKept, touchedParameters } from './keptSettings';

/**
 * Takes up a replacement whose driver is gone. The process stays the same; whether the new program was
 * executed shows in its command line, which names the state's file. That program loads the guest by
 * itself, so that nothing has to be sent but the settings.
 */
export async function recoverCprExec(
  context: RecoveryContext,
  ending: Ending,
): Promise<RunOutcome> {
  const { state, journal, cancel, detach, report, log } = context;
  const { begin, channel, migrateSent, cancelAsked } = state;
  const { gate, borrowed } = ending;
  const { source: side } = ending.sides;
  const { machine } = side;
  const directory = channel?.transport === 'unix' ? channel.directory : undefined;
  const folder = directory === undefined ? undefined : unixPathOf(directory);
  const stateFile = directory === undefined ? '' : stateFileIn(directory);
  const kept: KeptSettings = state.kept ?? { capabilities: [], parameters: {} };
  const pid = begin.source.process?.pid;
  const wasReplaced = directory !== undefined && (await hasCommand(pid, stateFile));
  const isUnderWay = migrateSent || wasReplaced;
  const run = oneSided({
    ...{ request: begin.request, machine, side, role: 'source', recorder: journal },
    ...{ journalId: journal.run, ranBefore: begin.guestRan, cancel, detach, report, log },
    earlier: { gate, borrowed },
  });
  if (isUnderWay) {
    gate.enter('transfer');
    const stderr = pid === undefined ? undefined : await stderrFile(pid);
    return conclude(run, await followReplacement(run, { kept, folder, stateFile, stderr }));
  }
  const error = cancelAsked
    ? new CancelledBeforeStart('cancelled before the start')
    : new RunInterruptedError(state.driver);
  const outcome = await endBeforeStart(run, error, async () => {
    await folder?.close();
    // Nothing is changed before it is written down what there was.
    return state.kept === undefined ? [] : putBackKept(run, kept, touchedParameters);
  });
  return conclude(run, outcome);
}
