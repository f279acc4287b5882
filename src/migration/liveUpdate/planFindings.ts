import { constants } from 'node:fs';
import path from 'node:path';
import { mayAccessPath, readCredentials } from '../../vm/access';
import { readSharedMappings } from '../../vm/sharedMappings';
import type { MachineSnapshot } from '../../vm/types';
import { rehearse, type Rehearsal } from '../methods/rehearsal';
import { judge, judgeOne } from '../preflight/preflight';
import type { Finding, PreflightSide } from '../preflight/types';
import type { MethodFacts } from '../run/checks/methodFacts';
import { isOneSided, methodOf } from '../methods/names';
import type { MigrationRequest } from '../run/types';
import type { BinaryOffer } from './binaries';
import type { SourceFacts } from './facts';
import { longestSocketPath } from './ownPaths';
import { isDowngrade } from './projected';
import type { LedgerRow, TargetStart, UpdateMethod } from './types';

/** What cannot be said before there is a target, or is said here in another way. */
const notYet: ReadonlySet<string> = new Set([
  ...['cpr-socket', 'cpr-socket-holder', 'cpr-target-answers', 'not-connected', 'same-process'],
  // The target is started in the user, root and network of the source.
  ...['unix-path-users', 'unix-path-root'],
  // Devices that the run adds, and those of the command line, which the rewriting answers for.
  ...['netdev-too-early'],
]);

/**
 * What the run's own checks say of the source and of the target as it is going to be. The target's
 * inventory is the source's: it gets the same devices.
 */
export async function runFindings(
  source: SourceFacts,
  target: MachineSnapshot,
  request: MigrationRequest,
  methodFacts: MethodFacts,
): Promise<readonly Finding[]> {
  const { side, host } = source;
  const method = methodOf(request);
  const mappings = await readSharedMappings(source.process.pid);
  const facts: MethodFacts = {
    ...methodFacts,
    sourceMappings: mappings,
    targetMappings: mappings,
  };
  if (isOneSided(method) || method === 'cpr-transfer') {
    const late: MachineSnapshot = { ...target, state: { kind: 'connecting' }, facts: undefined };
    const found = judgeOne({ request, source: side, target: late, method: facts });
    return found.filter(({ id }) => !notYet.has(id));
  }
  const { facts: targetFacts } = target;
  if (targetFacts === undefined) return [];
  const there: PreflightSide = {
    ...side,
    snapshot: target,
    facts: targetFacts,
    // They are its own; see the moves of the plan.
    inventory: { ...side.inventory, listening: [] },
    // Nothing of its memory is there yet.
    use: { residentBytes: 0, memlockBytes: side.use.memlockBytes },
  };
  const input = { request, source: side, target: there, host, method: facts };
  return judge(input).filter(({ id }) => !notYet.has(id));
}

/** What of the process cannot be made alike, or not be seen. */
export function surroundingFindings({
  context,
  side,
  process: qemu,
}: SourceFacts): readonly Finding[] {
  const { label } = side.snapshot;
  const ours = process.getuid?.() ?? -1;
  const found: Finding[] = [];
  if (ours !== 0 && ours !== qemu.uid) {
    found.push({
      ...{ id: 'live-update-user', level: 'blocks', side: 'host' },
      what: `${label} runs as another user (${qemu.uid}).`,
      why: 'The new QEMU has to run as the same user, or it cannot open what the old one has open.',
      nextStep: 'Run this as that user, or as root.',
    });
  }
  for (const hidden of context.hidden) {
    found.push({
      ...{ id: 'live-update-hidden', subject: hidden, level: 'warns', side: 'source' },
      what: `Of ${label} we may not see ${hidden}.`,
      why: 'The new QEMU may be started in other surroundings than the old one.',
      nextStep: 'Run this as the user of the QEMU, or as root.',
    });
  }
  const foreign = context.foreignNamespaces.filter((kind) => kind !== 'cgroup');
  if (foreign.length > 0) {
    const may = ours === 0;
    found.push({
      ...{ id: 'live-update-namespaces', level: may ? 'tells' : 'warns', side: 'host' },
      what: `${label} lives in namespaces of its own: ${foreign.join(', ')}.`,
      why: may
        ? 'The new QEMU is started in the same ones.'
        : 'To enter them takes rights that this user may not have; the start would fail, and the guest run on.',
      nextStep: may ? 'Nothing has to be done.' : 'Run this as root if the start fails.',
    });
  }
  return found;
}

/** Whether the target can make its sockets and its log where they are planned. */
export async function placeFindings(
  source: SourceFacts,
  { qmpSocket, cprSocket, logFile }: TargetStart,
): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  for (const socket of [qmpSocket, cprSocket]) {
    if (socket === undefined) continue;
    const bytes = Buffer.byteLength(socket);
    if (bytes <= longestSocketPath) continue;
    found.push({
      ...{ id: 'live-update-path-length', subject: socket, level: 'blocks', side: 'host' },
      what: `The path of the new QEMU's socket would have ${bytes} bytes: ${socket}.`,
      why: `The kernel takes at most ${longestSocketPath}, and the old socket's directory is the only place from which it can be given the old name.`,
      nextStep: 'Edit the arguments, or start the machine with its socket at a shorter path.',
    });
  }
  const who = await readCredentials(source.process.pid);
  const directory = path.dirname(qmpSocket);
  const wanted = constants.W_OK | constants.X_OK;
  const may = who && (await mayAccessPath(directory, who, wanted));
  if (may === false) {
    found.push({
      ...{ id: 'live-update-directory', subject: directory, level: 'blocks', side: 'host' },
      what: `The user of the QEMU (${who?.uid ?? ''}) may not make files in ${directory}.`,
      why: 'The new QEMU makes its socket there, so that it can be given the old name.',
      nextStep: `Let that user write to ${directory}, or start the machine with its socket elsewhere.`,
    });
  }
  const us = process.getuid?.() ?? -1;
  const groups = new Set(process.getgroups?.() ?? []);
  const ours = await mayAccessPath(directory, { uid: us, gids: groups }, wanted);
  if (ours === false) {
    found.push({
      ...{ id: 'live-update-directory', subject: `${directory} `, level: 'blocks', side: 'host' },
      what: `We may not make files in ${directory}.`,
      why: `The log of the new QEMU goes there (${path.basename(logFile)}), and its socket is renamed there.`,
      nextStep: 'Run this as the user of the QEMU, or as root.',
    });
  }
  return found;
}

/** Whether the new program takes the options: tried once, with nothing that the guest uses. */
export async function rehearsalFindings(
  source: SourceFacts,
  program: string,
  args: readonly string[],
  method: UpdateMethod,
): Promise<readonly Finding[]> {
  const { process: qemu, context } = source;
  const trial = { pid: qemu.pid, uid: qemu.uid, cwd: context.cwd ?? '/', program, args };
  return rehearsalFinding(await rehearse(trial), program, method);
}

function rehearsalFinding(
  rehearsal: Rehearsal,
  program: string,
  method: UpdateMethod,
): readonly Finding[] {
  const exec = method === 'cpr-exec';
  switch (rehearsal.kind) {
    case 'passed':
      return [
        {
          ...{ id: 'live-update-rehearsal', level: 'tells', side: 'target' },
          what: `${program} was started once with these options, apart from the guest, and came up.`,
          why: 'It knows the machine, the CPU, the devices and their properties. Disks, sockets and networks were stand-ins.',
          nextStep: 'Nothing has to be done.',
        },
      ];
    case 'failed':
      return [
        {
          ...{ id: 'live-update-rehearsal', level: 'blocks', side: 'target' },
          what: `${program} does not come up with these options: ${rehearsal.text.replace(/\.$/, '')}.`,
          why: exec
            ? 'The guest would be lost with it.'
            : 'The new QEMU would end at once; the guest would not notice.',
          nextStep: 'Edit the arguments, or take another program.',
        },
      ];
    case 'impossible':
      return [
        {
          ...{ id: 'live-update-rehearsal', level: exec ? 'blocks' : 'warns', side: 'target' },
          what: `Whether ${program} takes the options could not be tried without touching what the guest uses: ${rehearsal.why}.`,
          why: exec
            ? 'A new QEMU that does not come up takes the guest with it.'
            : 'If it does not, it ends at once, and the guest runs on where it is.',
          nextStep: exec ? 'Choose another method.' : 'Nothing has to be done.',
        },
      ];
  }
}

/** The machine has to be the same one for the new program. */
export function binaryFindings(source: SourceFacts, binary: BinaryOffer): readonly Finding[] {
  const { facts, snapshot } = source.side;
  const found: Finding[] = [];
  if (source.target !== undefined && source.target !== binary.target) {
    found.push({
      ...{ id: 'live-update-processor', level: 'blocks', side: 'target' },
      what: `${binary.program} is a QEMU for ${binary.target} guests, and ${snapshot.label} is one for ${source.target}.`,
      why: 'It has no such machine.',
      nextStep: `Take a QEMU for ${source.target}.`,
    });
  }
  if (facts.machineType === undefined) {
    found.push({
      ...{ id: 'live-update-machine-type', level: 'warns', side: 'source' },
      what: `${snapshot.label} does not tell the versioned type of its machine.`,
      why: 'Without it the new QEMU may make a newer machine, and refuse the guest when it arrives.',
      nextStep: 'Give the type with "-machine" in the arguments.',
    });
  } else if (!binary.machineTypes.has(facts.machineType)) {
    found.push({
      ...{ id: 'live-update-machine-type', level: 'blocks', side: 'target' },
      what: `${binary.program} (${binary.versionText}) has no machine ${facts.machineType}.`,
      why: 'The guest would not find its machine again.',
      nextStep: 'Take a QEMU that has it, or restart the guest with another machine.',
    });
  }
  if (isDowngrade(source, binary)) {
    found.push({
      ...{ id: 'live-update-downgrade', level: 'warns', side: 'target' },
      what: `${binary.program} (${binary.versionText}) is older than the QEMU that runs.`,
      why: 'QEMU promises that newer versions take guests of older ones, not the other way round; a refusal leaves the guest where it is.',
      nextStep: 'Go on if it has to be, or take a newer one.',
    });
  }
  return found;
}

/** What the target would not get though it serves the guest. */
export function ledgerFindings(ledger: readonly LedgerRow[]): readonly Finding[] {
  return ledger
    .filter(({ fate }) => fate === 'unclaimed')
    .map(({ kind, what, sourceFd }): Finding => {
      const lost = kind === 'tap' || kind === 'memory';
      return {
        ...{ id: 'live-update-unclaimed', subject: String(sourceFd), side: 'source' },
        level: lost ? 'warns' : 'tells',
        what: `Nothing in the new QEMU gets descriptor ${sourceFd} of the old one (${what}).`,
        why: lost
          ? 'What the guest has through it ends with the old QEMU.'
          : 'It was given to the old QEMU by somebody, and ends with it.',
        nextStep: lost
          ? 'Choose a method that hands it over, or find out what it is for.'
          : 'Find out what it is for if you miss something afterwards.',
      };
    });
}
