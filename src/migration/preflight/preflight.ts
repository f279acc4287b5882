import type { HelperLocation } from '../../fdpass/locate';
import { findImage, isOnHugePages, readHost, readProcessUse, type ImageFile } from '../../vm/host';
import { nothingKnown, readInventory, type Inventory } from '../../vm/inventory';
import type { MachineHandle, VmFacts } from '../../vm/types';
import { isOneSided, methodOf } from '../methods/names';
import { findObstacles } from '../run/checks/checks';
import { readMethodFacts } from '../run/checks/methodFacts';
import { isForceable } from '../run/checks/force';
import type { Obstacle, ObstacleId } from '../run/checks/obstacle';
import { asPlanned } from '../run/checks/projected';
import { readSavedGuest, savedReasons, savedWarnings } from '../run/oneSided/restoreChecks';
import type { RunContext } from '../run/runContext';
import type { MigrationRequest } from '../run/types';
import { isEmptyChange, type ChangeRequest } from '../settings/change';
import { blockingFinding } from './blocking';
import { convergenceFinding, type DirtyRate } from './convergence';
import { deviceFindings } from './devices';
import { diskFindings } from './disks';
import { machineFindings } from './machine';
import { measureDirtyRate } from './measure';
import { mainMemoryOf, memoryFindings } from './memory';
import { methodFindings } from './method';
import { paceFindings } from './pace';
import { settingFindings } from './settings';
import { transferFindings } from './transfer';
import {
  findingKey,
  type Finding,
  type FindingLevel,
  type OneSideInput,
  type PreflightInput,
  type PreflightReport,
  type PreflightSide,
} from './types';

/** What a look needs beside the two machines. */
export interface PreflightSurroundings {
  /** For the transport by descriptors. */
  readonly locateHelper: () => Promise<HelperLocation>;
  /** Measure for one second how much the guest writes. */
  readonly measure?: boolean;
  /** What was done before with a saved guest; absent: only its own note tells. */
  readonly journals?: RunContext['journals'];
  /** The machines that are connected, to ask those that had a saved guest whether they still have it. */
  readonly machineAt?: RunContext['machineAt'];
  readonly procRoot?: string;
}

const levels: readonly FindingLevel[] = ['blocks', 'warns', 'tells'];

/**
 * Looks at both sides, at this host and at the files for everything that could go wrong, without
 * changing anything. Takes some tens of milliseconds, one second more to measure.
 *
 * @throws {QmpError} when a connection ends meanwhile
 */
export async function preflight(
  source: MachineHandle,
  target: MachineHandle,
  request: MigrationRequest,
  surroundings: PreflightSurroundings,
): Promise<PreflightReport> {
  const helper = await helperFindings(request, surroundings);
  const method = methodOf(request);
  // The target of a cpr-transfer answers only once the run has begun.
  const alone = isOneSided(method) || method === 'cpr-transfer';
  const asked = alone ? [source] : [source, target];
  const ready = asked.every(({ snapshot }) => snapshot.state.kind === 'ready');
  if (!ready || (!isOneSided(method) && source === target)) {
    const obstacles = findObstacles(request, source.snapshot, target.snapshot);
    const found = obstacles.map((each) => blockingFinding(each, undefined));
    return report([...found, ...helper], request, false);
  }
  const measuring = surroundings.measure === true && !alone;
  if (alone) {
    const { procRoot } = surroundings;
    const side = await readSide(source, procRoot);
    const facts = await readMethodFacts(request, source, target, procRoot);
    const input = { request, source: side, target: target.snapshot, method: facts };
    const saved = method === 'restore' ? await savedFindings(input, surroundings) : [];
    const found = [...judgeOne(input), ...saved, ...helper];
    return report(uniqueFindings(found), request, false);
  }
  const input = await readInput(source, target, request, surroundings);
  const rate = measuring ? await measureDirtyRate(source) : undefined;
  return report([...judge(input, rate), ...helper], request, measuring);
}

/** All findings of what was read. Pure. */
export function judge(input: PreflightInput, rate?: DirtyRate): readonly Finding[] {
  const { request, source, target, method } = input;
  const obstacles: readonly Obstacle[] = findObstacles(
    request,
    source.snapshot,
    target.snapshot,
    { source: source.inventory, target: target.inventory },
    method,
  );
  const planned = inputAsPlanned(input);
  const copies = methodOf(request) !== 'shared-ram';
  return [
    ...obstacles.map((obstacle) => blockingFinding(obstacle, input)),
    ...machineFindings(input),
    ...deviceFindings(input),
    ...diskFindings(input),
    ...memoryFindings(planned),
    ...settingFindings(input, planned, obstacles),
    ...transferFindings(input, obstacles),
    ...(method === undefined ? [] : methodFindings(request, source, method)),
    ...(rate === undefined || !copies ? [] : [convergenceFinding(planned, rate)]),
    ...(copies ? paceFindings(planned) : []),
  ];
}

/** The same where one machine is all that can be asked. Pure. */
export function judgeOne({ request, source, target, method }: OneSideInput): readonly Finding[] {
  const { snapshot, inventory } = source;
  const isAlone = isOneSided(methodOf(request));
  const obstacles = findObstacles(
    request,
    snapshot,
    target,
    { source: inventory, target: isAlone ? inventory : nothingKnown },
    method,
  );
  const sides = { source, target: source };
  return [
    ...obstacles.map((each) => blockingFinding(each, each.side === 'both' ? undefined : sides)),
    ...methodFindings(request, source, method),
  ];
}

/** Both sides with the settings that the run makes before it begins. */
function inputAsPlanned(input: PreflightInput): PreflightInput {
  const { request } = input;
  const side = (which: 'source' | 'target'): PreflightSide => {
    const snapshot = asPlanned(input[which].snapshot, request, which);
    return { ...input[which], snapshot, facts: snapshot.facts ?? input[which].facts };
  };
  return { ...input, source: side('source'), target: side('target') };
}

/** What carries out a finding's fix; empty where it has none. */
export function fixRequests(
  { fix }: Pick<Finding, 'fix'>,
  source: MachineHandle,
  target: MachineHandle,
): readonly ChangeRequest[] {
  return [
    { machine: source, change: fix?.source },
    { machine: target, change: fix?.target },
  ].flatMap(({ machine, change }) =>
    change === undefined || isEmptyChange(change) ? [] : [{ machine, change }],
  );
}

function report(
  all: readonly Finding[],
  request: MigrationRequest,
  measured: boolean,
): PreflightReport {
  const findings = all.map((finding) =>
    finding.level === 'blocks'
      ? { ...finding, canBeOverruled: isForceable({ id: finding.id as ObstacleId }, request) }
      : finding,
  );
  return {
    findings: levels.flatMap((level) => findings.filter((finding) => finding.level === level)),
    blocked: findings.some(({ level }) => level === 'blocks'),
    measured,
  };
}

/** What the file of a saved guest, its note and our journals tell: the reasons of a run, and what it would only warn of. */
async function savedFindings(
  { request, source, method }: Pick<OneSideInput, 'request' | 'source' | 'method'>,
  { machineAt, journals }: PreflightSurroundings,
): Promise<readonly Finding[]> {
  const file = request.options?.file?.path;
  if (file === undefined) return [];
  // Found already, and a pipe would be waited for without an end.
  if (method.file?.kind !== 'file' || method.file.isMigration === false) return [];
  const saved = await readSavedGuest(file, machineAt, journals);
  // Usual after a save; whether nobody runs the guest is open where that could not be seen.
  const level = saved.source?.kind === 'standing' ? 'tells' : 'warns';
  const reasons = savedReasons(saved, source.snapshot.label, source.facts, request);
  return [
    ...reasons.map((each) => blockingFinding(each, undefined)),
    ...savedWarnings(saved).map((what): Finding => ({
      id: 'saved-elsewhere',
      level,
      side: 'host',
      what,
      why: 'Two running copies of one guest destroy its disks.',
      nextStep: 'Make sure that no other QEMU runs this guest, then go on.',
    })),
  ];
}

/** Two looks may find the same, such as a file that holds no guest. */
function uniqueFindings(findings: readonly Finding[]): readonly Finding[] {
  return [
    ...new Map(findings.toReversed().map((one) => [findingKey(one), one])).values(),
  ].toReversed();
}

async function helperFindings(
  request: MigrationRequest,
  { locateHelper }: PreflightSurroundings,
): Promise<readonly Finding[]> {
  const { transport, options } = request;
  const overFile = isOneSided(methodOf(request));
  const needsHelper = overFile ? options?.file?.passDescriptor === true : transport === 'fd';
  if (!needsHelper) return [];
  const location = await locateHelper();
  if (location.kind !== 'missing') return [];
  return [
    {
      id: 'helper-missing',
      level: 'blocks',
      side: 'host',
      what: location.sentence,
      why: overFile
        ? 'The helper hands the open file over to QEMU.'
        : 'The helper hands the pair of sockets over to the two QEMUs.',
      nextStep: overFile
        ? 'Install it, or let QEMU open the file by its path.'
        : 'Install it, or migrate over a UNIX socket, which needs no helper.',
    },
  ];
}

async function readInput(
  source: MachineHandle,
  target: MachineHandle,
  request: MigrationRequest,
  { procRoot }: PreflightSurroundings,
): Promise<PreflightInput> {
  const [here, there, host] = await Promise.all([
    readSide(source, procRoot),
    readSide(target, procRoot),
    readHost(procRoot),
  ]);
  const method = await readMethodFacts(request, source, target, procRoot);
  return { request, source: here, target: there, host, method };
}

/** Reads one machine anew, with all that the checks ask for. @throws {QmpError} */
export async function readSide(
  machine: MachineHandle,
  procRoot: string | undefined,
): Promise<PreflightSide> {
  const [facts, inventory]: [VmFacts, Inventory, unknown] = await Promise.all([
    machine.refresh(),
    readInventory(machine.connection()),
    machine.identify(),
  ]);
  const { snapshot } = machine;
  const { process } = snapshot;
  const files = new Set(inventory.disks?.flatMap(({ file }) => file ?? []));
  const main = mainMemoryOf({ inventory });
  const [use, hugePages, images] = await Promise.all([
    process === undefined
      ? { residentBytes: undefined, memlockBytes: undefined }
      : readProcessUse(process.pid, procRoot),
    main?.path === undefined ? main?.hugePages === true : isOnHugePages(main.path),
    Promise.all(
      [...files].map(async (file): Promise<[string, ImageFile]> => [
        file,
        await findImage(file, process, procRoot),
      ]),
    ),
  ]);
  return { snapshot, facts, inventory, use, hugePages, images: new Map(images) };
}
