import type { HelperLocation } from '../../fdpass/locate';
import { findImage, isOnHugePages, readHost, readProcessUse, type ImageFile } from '../../vm/host';
import { readInventory, type Inventory } from '../../vm/inventory';
import type { MachineHandle, VmFacts } from '../../vm/types';
import { findObstacles } from '../run/checks';
import type { Obstacle } from '../run/obstacle';
import type { MigrationRequest } from '../run/types';
import { isEmptyChange, type ChangeRequest } from '../settings/change';
import { blockingFinding } from './blocking';
import { convergenceFinding, type DirtyRate } from './convergence';
import { deviceFindings } from './devices';
import { diskFindings } from './disks';
import { machineFindings } from './machine';
import { measureDirtyRate } from './measure';
import { mainMemoryOf, memoryFindings } from './memory';
import { paceFindings } from './pace';
import { settingFindings } from './settings';
import { transferFindings } from './transfer';
import type {
  Finding,
  FindingLevel,
  PreflightInput,
  PreflightReport,
  PreflightSide,
} from './types';

/** What a look needs beside the two machines. */
export interface PreflightSurroundings {
  /** For the transport by descriptors. */
  readonly locateHelper: () => Promise<HelperLocation>;
  /** Measure for one second how much the guest writes. */
  readonly measure?: boolean;
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
  const ready = [source, target].every(({ snapshot }) => snapshot.state.kind === 'ready');
  if (!ready || source === target) {
    const obstacles = findObstacles(request, source.snapshot, target.snapshot);
    return report([...obstacles.map((each) => blockingFinding(each, undefined)), ...helper], false);
  }
  const measuring = surroundings.measure === true;
  const input = await readInput(source, target, request, surroundings);
  const rate = measuring ? await measureDirtyRate(source) : undefined;
  return report([...judge(input, rate), ...helper], measuring);
}

/** All findings of what was read. Pure. */
export function judge(input: PreflightInput, rate?: DirtyRate): readonly Finding[] {
  const { source, target } = input;
  const obstacles: readonly Obstacle[] = findObstacles(
    input.request,
    source.snapshot,
    target.snapshot,
    { source: source.inventory, target: target.inventory },
  );
  return [
    ...obstacles.map((obstacle) => blockingFinding(obstacle, input)),
    ...machineFindings(input),
    ...deviceFindings(input),
    ...diskFindings(input),
    ...memoryFindings(input),
    ...settingFindings(input, obstacles),
    ...transferFindings(input, obstacles),
    ...(rate === undefined ? [] : [convergenceFinding(input, rate)]),
    ...paceFindings(input),
  ];
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

function report(findings: readonly Finding[], measured: boolean): PreflightReport {
  return {
    findings: levels.flatMap((level) => findings.filter((finding) => finding.level === level)),
    blocked: findings.some(({ level }) => level === 'blocks'),
    measured,
  };
}

async function helperFindings(
  { transport }: MigrationRequest,
  { locateHelper }: PreflightSurroundings,
): Promise<readonly Finding[]> {
  if (transport !== 'fd') return [];
  const location = await locateHelper();
  if (location.kind !== 'missing') return [];
  return [
    {
      id: 'helper-missing',
      level: 'blocks',
      side: 'host',
      what: location.sentence,
      why: 'The helper hands the pair of sockets over to the two QEMUs.',
      nextStep: 'Install it, or migrate over a UNIX socket, which needs no helper.',
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
  return { request, source: here, target: there, host };
}

async function readSide(
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
