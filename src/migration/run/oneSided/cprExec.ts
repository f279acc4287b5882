import { readInventory } from '../../../vm/inventory';
import type { MachineHandle } from '../../../vm/types';
import type { Channel } from '../../methods/channel';
import { newCommand } from '../../methods/commandLine';
import { stderrFile, type ExecFacts } from '../../methods/execFacts';
import { openUnixPath } from '../../methods/unixPath';
import { explain } from '../../view/words';
import { checkBeforeRun, RunRefusedError } from '../checks/checks';
import { readMethodFacts } from '../checks/methodChecks';
import { readMigrationInfo } from '../migrationInfo';
import type { Obstacle } from '../checks/obstacle';
import { outcomeOfRefusal } from '../outcome';
import type { SideView } from '../ownership';
import type { RunContext } from '../runContext';
import type { MigrationRequest, RunOutcome } from '../types';
import {
  blankOutcome,
  CancelledBeforeStart,
  failIfCancelled,
  runOneSided,
  sendMigrate,
  type OneSided,
} from './common';
import { followReplacement, stateFileIn } from './cprExecFollow';
import { putBackKept, readKept, touchedParameters } from './keptSettings';

/**
 * Replaces a QEMU by another program in the same process (`cpr-exec`); the guest's memory stays where
 * it is. Never rejects.
 *
 * QEMU saves its devices to a file and executes the new program, which is told on its command line to
 * load that file. So the guest comes back without us: whoever watches may be killed meanwhile. (With
 * `-incoming defer` the guest would stand still until somebody says `migrate-incoming`; and a failed
 * load loses it either way.) What goes wrong in the new program loses the guest, therefore all that can
 * be known is checked before.
 */
export function runCprExec(context: RunContext): Promise<RunOutcome> {
  let facts: ExecFacts | undefined;
  return runOneSided(context, {
    role: 'source',
    check: async ({ source, request }) => {
      facts = await check(source, request);
    },
    carryOut: (run) => carryOut(run, facts),
  });
}

/** @throws {RunRefusedError} */
async function check(machine: MachineHandle, request: MigrationRequest): Promise<ExecFacts> {
  // Whether it is offered at all, before its process is looked at.
  checkBeforeRun(request, machine, machine);
  const inventory = await readInventory(machine.connection());
  const facts = await readMethodFacts(request, machine, machine);
  checkBeforeRun(request, machine, machine, { source: inventory, target: inventory }, facts);
  if (facts.exec !== undefined) return facts.exec;
  const { label } = machine.snapshot;
  throw new RunRefusedError(
    [`The command line of ${label} cannot be read: its process is not known.`],
    'Run this on the host of that QEMU, as its user or as root.',
  );
}

async function carryOut(run: OneSided, facts: ExecFacts | undefined): Promise<RunOutcome> {
  const { machine, gate, recorder, report } = run;
  const kept = readKept(machine);
  let folder: Channel | undefined;
  let stderr: string | undefined;
  let stateFile = '';
  try {
    if (facts === undefined) throw new Error('nothing was checked');
    gate.enter('prepare');
    report({ owner: 'source' });
    // Before anything is changed, and with all that the new program does not take over.
    await recorder.record({ kind: 'kept', ...kept });
    await failUnlessShared(run);
    failIfCancelled(run);
    stderr = await stderrFile(machine.snapshot.process?.pid ?? -1);
    folder = await openUnixPath(machine, async (channel) => {
      await recorder.record({ kind: 'channel', channel });
      if (channel.transport === 'unix') stateFile = stateFileIn(channel.directory);
    });
    await prepare(run, facts, stateFile);
    failIfCancelled(run);
    await sendMigrate(run, { uri: `file:${stateFile}` });
  } catch (error) {
    return endBeforeStart(run, error, async () => {
      await folder?.close();
      return putBackKept(run, kept, touchedParameters);
    });
  }
  gate.enter('transfer');
  return followReplacement(run, { kept, folder, stateFile, stderr });
}

/**
 * QEMU does not refuse memory that the new program cannot take over, and says so only in the other
 * mode that needs the same.
 *
 * @throws {RunRefusedError}
 */
async function failUnlessShared({ gate, machine }: OneSided): Promise<void> {
  await gate.send('source', 'migrate-set-parameters', { mode: 'cpr-transfer' });
  const { migration, failures } = await machine.refresh(['migration', 'parameters']);
  if (failures.migration !== undefined) throw failures.migration;
  const { blockedReasons } = readMigrationInfo(migration);
  if (blockedReasons.length === 0) return;
  const nextStep =
    'Start QEMU with all memory shared: "share=on" for its memory backends, "aux-ram-share=on" for the machine.';
  const obstacles = blockedReasons.map((text): Obstacle => {
    const reason = `The guest would be lost; QEMU says: ${text.replace(/\.$/, '')}.`;
    return { id: 'exec-memory', side: 'source', subject: text, reason, nextStep };
  });
  throw new RunRefusedError(
    obstacles.map(({ reason }) => reason),
    nextStep,
    obstacles,
  );
}

async function prepare(run: OneSided, facts: ExecFacts, stateFile: string): Promise<void> {
  const { gate, machine, request, log } = run;
  // Without any but `events`: the new program has none when it loads, and what some of them write it
  // would not understand. A file has no return path.
  const capabilities = (machine.snapshot.facts?.capabilities ?? [])
    .filter(({ name, enabled }) => enabled !== (name === 'events'))
    .map(({ name, enabled }) => ({ capability: name, state: !enabled }));
  if (capabilities.length > 0) {
    await gate.send('source', 'migrate-set-capabilities', { capabilities });
  }
  const command = newCommand({
    program: facts.program.path,
    args: facts.wanted,
    incoming: `file:${stateFile}`,
    machineType: facts.program.isOther ? facts.machineType : undefined,
  });
  log(`cpr-exec: ${command.join(' ')}`);
  await gate.send('source', 'migrate-set-parameters', {
    mode: 'cpr-exec',
    'cpr-exec-command': command,
    // The guest stands still while its devices are written.
    'max-bandwidth': request.maxBandwidthBytesPerSecond ?? 0,
  });
}

/** QEMU was not asked, or refused: takes back what was set. */
export async function endBeforeStart(
  run: OneSided,
  error: unknown,
  takeBack: () => Promise<readonly string[]>,
): Promise<RunOutcome> {
  const { gate, side, machine, report, log } = run;
  gate.enter('settle');
  const notPutBack = await takeBack();
  const view = await side.look();
  const { label } = machine.snapshot;
  const where = whereIs(view, label);
  report({ owner: where.owner });
  if (error instanceof RunRefusedError && notPutBack.length === 0) {
    return outcomeOfRefusal(error, { source: machine, target: machine });
  }
  const base = {
    ...{ ...blankOutcome, owner: where.owner, guestRunning: where.guestRunning },
    sourceError: side.info.errorText,
  };
  if (error instanceof CancelledBeforeStart) {
    return {
      ...base,
      kind: 'cancelled',
      headline: `Cancelled before QEMU was replaced. ${where.text}`,
      details: notPutBack,
      nextStep: `${label} can be used again.`,
    };
  }
  log(`cpr-exec: ${String(error)}`);
  const { headline, detail, nextStep } = explain(error);
  return {
    ...base,
    kind: where.owner === 'unknown' ? 'unknown' : 'failed',
    headline: `${where.text} QEMU was not replaced.`,
    details: [headline, ...(detail === undefined ? [] : [detail]), ...notPutBack],
    nextStep: nextStep ?? 'Mend the cause and try again.',
  };
}

/** For a QEMU that was not asked to replace itself. */
function whereIs(
  view: SideView,
  label: string,
): Pick<RunOutcome, 'owner' | 'guestRunning'> & { readonly text: string } {
  switch (view.kind) {
    case 'answered': {
      const { running } = view.runState;
      const text = `The guest ${running ? 'runs' : 'is paused'} on ${label}.`;
      return { owner: 'source', guestRunning: running, text };
    }
    case 'gone':
      return {
        ...{ owner: 'nobody', guestRunning: undefined },
        text: `The QEMU of ${label} has ended, and its guest with it.`,
      };
    case 'silent':
      return {
        ...{ owner: 'unknown', guestRunning: undefined },
        text: `${label} does not answer.`,
      };
  }
}
