import path from 'node:path';
import type { HelperLocation } from '../../fdpass/locate';
import { stringifyJson, type JsonObject } from '../../qmp/json';
import { NotConnectedError, type MachineHandle } from '../../vm/types';
import { newCommand } from '../methods/commandLine';
import type { Finding, FindingLevel } from '../preflight/types';
import { readMethodFacts } from '../run/checks/methodFacts';
import type { MigrationRequest } from '../run/types';
import { Binaries, BinaryRefusedError, type BinaryOffer } from './binaries';
import { rewriteCommandLine } from './commandLine/rewrite';
import type { RewriteFacts, RewriteWishes, RewrittenCommandLine } from './commandLineTypes';
import { argumentChanges, editedFindings, stillAdopted } from './editedArguments';
import { readSourceFacts, SourceUnknownError, type SourceFacts } from './facts';
import { ledgerBefore } from './ledger';
import { updateMethodTitles } from '../view/updateWords';
import { hasTaps, transferOffers, updateMethodOffers } from './methods';
import { OwnPaths } from './ownPaths';
import {
  binaryFindings,
  ledgerFindings,
  placeFindings,
  rehearsalFindings,
  runFindings,
  surroundingFindings,
} from './planFindings';
import { planSteps } from './planSteps';
import { projectedTarget } from './projected';
import {
  LiveUpdateRefusedError,
  type HotAddedNic,
  type LiveUpdatePlan,
  type LiveUpdateRequest,
  type TargetStart,
  type UpdateMethod,
  type UpdateMethodOffer,
} from './types';

/** What planning needs beside the request. */
export interface LiveUpdateContext {
  /** A connected machine. */
  readonly machine: (id: string) => MachineHandle | undefined;
  readonly locateHelper: () => Promise<HelperLocation>;
  /** Absent: asked anew. */
  readonly binaries?: Binaries;
}

/** `downtime-limit` where the user says nothing: QEMU goes on copying until so little is left. */
const shortDowntimeMs = 20;

/** Whether the guest's memory is copied. */
function copies(method: UpdateMethod): boolean {
  return method === 'backend-transfer' || method === 'tap-adoption' || method === 'plain';
}

const levels: readonly FindingLevel[] = ['blocks', 'warns', 'tells'];

/**
 * Finds out everything that a live update is going to do. Changes nothing; starts the new program up to
 * three times apart from the guest (what it offers, whether it takes the options).
 *
 * @throws {LiveUpdateRefusedError} when facts could not be had; what speaks against the update is in the
 *   plan's findings
 */
export async function planLiveUpdate(
  context: LiveUpdateContext,
  request: LiveUpdateRequest,
): Promise<LiveUpdatePlan> {
  const machine = context.machine(request.machine);
  if (machine === undefined) {
    throw new LiveUpdateRefusedError(
      ...[`No machine is known at ${request.machine}.`, []],
      'Add the machine first.',
    );
  }
  const [source, binary, helper] = await Promise.all([
    readSourceFacts(machine).catch(refuse),
    (context.binaries ?? new Binaries()).ask(request.program).catch(refuse),
    context.locateHelper(),
  ]);
  const methods = updateMethodOffers({ source, binary, helper });
  const planner = new Planner(machine, source, binary, helper, methods, request);
  if (request.method !== 'auto') return planner.plan(request.method);
  let first: LiveUpdatePlan | undefined;
  for (const { method, offered } of methods) {
    if (!offered) continue;
    const plan = await planner.plan(method);
    if (!plan.findings.some(({ level }) => level === 'blocks')) return plan;
    first ??= plan;
  }
  return first ?? planner.plan('plain');
}

function refuse(error: unknown): never {
  if (error instanceof BinaryRefusedError) {
    throw new LiveUpdateRefusedError(error.message, [], error.nextStep, error);
  }
  if (error instanceof SourceUnknownError) {
    throw new LiveUpdateRefusedError(
      ...[error.message, []],
      'Run this as the user of the QEMU, on its host and outside of a container.',
      error,
    );
  }
  if (error instanceof NotConnectedError) {
    throw new LiveUpdateRefusedError(error.message, [], `Connect ${error.label} first.`, error);
  }
  throw error;
}

/** The facts of one look, from which a plan for each method can be made. */
class Planner {
  private readonly machine: MachineHandle;
  private readonly source: SourceFacts;
  private readonly binary: BinaryOffer;
  private readonly helper: HelperLocation;
  private readonly methods: readonly UpdateMethodOffer[];
  private readonly request: LiveUpdateRequest;
  private readonly sourceArgs: readonly string[];
  private readonly rehearsals = new Map<string, Promise<readonly Finding[]>>();

  constructor(
    machine: MachineHandle,
    source: SourceFacts,
    binary: BinaryOffer,
    helper: HelperLocation,
    methods: readonly UpdateMethodOffer[],
    request: LiveUpdateRequest,
  ) {
    this.machine = machine;
    this.source = source;
    this.binary = binary;
    this.helper = helper;
    this.methods = methods;
    this.request = request;
    this.sourceArgs = source.process.args.slice(1);
  }

  async plan(method: UpdateMethod): Promise<LiveUpdatePlan> {
    const { source, binary, request, sourceArgs, methods } = this;
    const { snapshot } = source.side;
    const paths = new OwnPaths(request.machine, sourceArgs);
    const { start, rewritten, changes } = this.start(method, paths);
    const target = projectedTarget(source, binary, start.qmpSocket);
    const run = this.run(method, start);
    const whole: MigrationRequest = { ...run, source: snapshot.id, target: target.id };
    const hotAdd = method === 'backend-transfer' ? this.hotAdd(rewritten) : [];
    const disks = [...source.side.images.values()].map((image) => image.path);
    const ledger =
      source.descriptors === undefined
        ? []
        : ledgerBefore({
            ...{ descriptors: source.descriptors, taps: source.taps },
            ...{ adopt: start.adopt, method, disks },
          });
    const findings = [
      ...this.methodFindings(method),
      ...binaryFindings(source, binary),
      ...surroundingFindings(source),
      ...(method === 'cpr-exec' ? [] : rewritten.findings),
      ...(request.args === undefined || method === 'cpr-exec'
        ? []
        : editedFindings(start.args, start)),
      ...(await placeFindings(source, start)),
      ...(await this.rehearsal(method, start)),
      ...(await runFindings(
        source,
        target,
        whole,
        await readMethodFacts(whole, this.machine, this.machine),
      )),
      ...ledgerFindings(ledger),
    ];
    const { moves, late, pidFile } = rewritten;
    const planned = { moves, late, pidFile, hotAdd, start };
    return {
      request,
      label: snapshot.label,
      sourceVersion: versionText(source),
      targetVersion: binary.versionText,
      method,
      why: this.why(method),
      methods,
      run,
      sourceArgs,
      changes,
      ...planned,
      steps: planSteps({ method, request: whole, source: snapshot, target, ...planned }),
      findings: sorted(findings),
      ledger,
    };
  }

  private start(
    method: UpdateMethod,
    paths: OwnPaths,
  ): {
    readonly start: TargetStart;
    readonly rewritten: RewrittenCommandLine;
    readonly changes: LiveUpdatePlan['changes'];
  } {
    const { request, source, sourceArgs } = this;
    const { machine, program } = request;
    const qmpSocket = paths.own(machine);
    const cprSocket = method === 'cpr-transfer' ? paths.own(`${machine}.cpr`) : undefined;
    const logFile = paths.own(`${machine}.log`);
    const like = source.process;
    const common = { program, like, logFile, qmpSocket, cprSocket };
    if (method === 'cpr-exec') {
      const planned = newCommand({
        ...{ program, args: sourceArgs, incoming: 'defer' },
        machineType: source.side.facts.machineType,
      }).slice(1, -2);
      const args = request.args ?? planned;
      return {
        start: { ...common, qmpSocket: machine, args, adopt: [] },
        rewritten: { ...nothingRewritten, args },
        changes: argumentChanges(sourceArgs, args, () => 'for the program that takes over'),
      };
    }
    const rewritten = rewriteCommandLine(this.rewriteFacts(), {
      ownPath: paths.own,
      knownAs: paths.knownAs,
      qmpSocket,
      oldQmpSocket: machine,
      incoming: ['defer', ...(cprSocket === undefined ? [] : [cprIncoming(cprSocket)])],
      taps: this.tapWish(method),
      machineType: source.side.facts.machineType,
    });
    const edited = request.args;
    const args = edited ?? rewritten.args;
    const adopt = edited === undefined ? rewritten.adopt : stillAdopted(edited, rewritten.adopt);
    const planned = new Map(rewritten.changes.map((one) => [one.after.join('\0'), one.why]));
    const changes =
      edited === undefined
        ? rewritten.changes
        : argumentChanges(
            sourceArgs,
            edited,
            (words) => planned.get(words.join('\0')) ?? 'edited by hand',
          );
    return {
      start: { ...common, args, adopt },
      rewritten: this.withMove(rewritten, qmpSocket),
      changes,
    };
  }

  /** The QMP socket always takes the name that the user knows, wherever it stands. */
  private withMove(rewritten: RewrittenCommandLine, qmpSocket: string): RewrittenCommandLine {
    const { machine } = this.request;
    if (rewritten.moves.some(({ to }) => to === machine)) return rewritten;
    const move = { what: 'QMP socket', from: qmpSocket, to: machine };
    return { ...rewritten, moves: [move, ...rewritten.moves] };
  }

  private tapWish(method: UpdateMethod): RewriteWishes['taps'] {
    switch (method) {
      case 'backend-transfer': {
        const { from } = transferOffers({ source: this.source, binary: this.binary });
        return from?.kind === 'boolean' && from.permission?.on === 'netdev' ? 'leave-out' : 'keep';
      }
      case 'tap-adoption':
      case 'cpr-transfer':
      case 'shared-ram':
        return 'adopt';
      case 'plain':
      case 'cpr-exec':
        return 'anew';
    }
  }

  private rewriteFacts(): RewriteFacts {
    const { source, sourceArgs } = this;
    const { context, side, configFiles, taps, live } = source;
    return {
      args: sourceArgs,
      cwd: context.cwd ?? '/',
      machineType: side.facts.machineType,
      guestRuns: side.facts.runState.running,
      configFiles,
      taps: new Map(taps.netdevs.map(({ id, ifname, fds }) => [id, { ifname, fds }])),
      descriptors: new Map(
        (source.descriptors ?? []).map(({ fd, target, tap }) => [fd, { target, tap }]),
      ),
      live,
    };
  }

  /** For the run engine. */
  private run(
    method: UpdateMethod,
    { args, program, cprSocket }: TargetStart,
  ): LiveUpdatePlan['run'] {
    const { request, helper } = this;
    const { maxBandwidthBytesPerSecond = 0n, force } = request;
    // Without a limit of bandwidth QEMU would copy for all of the time that the guest may stand still.
    const downtimeLimitMs = request.options?.downtimeLimitMs ?? shortDowntimeMs;
    const options = { ...request.options, ...(copies(method) && { downtimeLimitMs }) };
    const { from, to } = transferOffers({ source: this.source, binary: this.binary });
    const couldTransfer = from?.kind === 'boolean' && to?.kind === 'boolean';
    const overFd = helper.kind === 'found' && options.multifdChannels === undefined;
    const common = {
      transport: overFd ? ('fd' as const) : ('unix' as const),
      backendTransfer: couldTransfer ? ('off' as const) : ('as-is' as const),
      ...(force !== undefined && { force }),
    };
    switch (method) {
      case 'backend-transfer':
        return {
          ...{ method: 'precopy', ...common, backendTransfer: 'on', options },
          maxBandwidthBytesPerSecond,
        };
      case 'tap-adoption':
      case 'plain':
        return { method: 'precopy', ...common, options, maxBandwidthBytesPerSecond };
      case 'shared-ram':
        return { method: 'shared-ram', ...common, options, maxBandwidthBytesPerSecond };
      case 'cpr-transfer':
        return {
          ...{ method: 'cpr-transfer', ...common, transport: 'unix' },
          options: { ...options, ...(cprSocket !== undefined && { cprSocket }) },
        };
      case 'cpr-exec':
        return {
          ...{ method: 'cpr-exec', ...common, transport: 'unix' },
          options: { ...options, execCommand: [program, ...args] },
        };
    }
  }

  /** NICs that the new QEMU gets over QMP, once it knows that their back ends come with the guest. */
  private hotAdd({ leftOut }: RewrittenCommandLine): readonly HotAddedNic[] {
    const { from } = transferOffers({ source: this.source, binary: this.binary });
    const permission = from?.kind === 'boolean' ? from.permission : undefined;
    if (permission?.on !== 'netdev') return [];
    return leftOut.flatMap(({ netdev }): readonly HotAddedNic[] => {
      const nic = this.source.nics.find((one) => one.netdev === netdev);
      if (nic?.args === undefined) return [];
      const made: JsonObject = {
        ...{ type: 'tap', id: netdev, script: '', downscript: '' },
        [permission.name]: true,
        ...queuesOf(nic.args, this.source.taps.netdevs.find(({ id }) => id === netdev)?.fds.length),
      };
      return [{ netdev: made, device: nic.args }];
    });
  }

  private methodFindings(method: UpdateMethod): readonly Finding[] {
    const offer = this.methods.find((one) => one.method === method);
    if (offer === undefined || offer.offered) return [];
    return [
      {
        ...{ id: 'live-update-method', subject: method, level: 'blocks', side: 'both' },
        what: `${updateMethodTitles[method]} is not possible here: ${offer.reason}`,
        why: 'The update could not be made this way.',
        nextStep: 'Choose another method, or let it be chosen.',
      },
    ];
  }

  private rehearsal(
    method: UpdateMethod,
    { program, args }: TargetStart,
  ): Promise<readonly Finding[]> {
    const key = [method === 'cpr-exec', ...args].join('\0');
    const found = this.rehearsals.get(key) ?? rehearsalFindings(this.source, program, args, method);
    this.rehearsals.set(key, found);
    return found;
  }

  private why(method: UpdateMethod): string {
    const { methods, request, source } = this;
    const offer = methods.find((one) => one.method === method);
    const reason = offer?.reason ?? '';
    if (request.method !== 'auto') return `It was asked for. ${reason}`;
    const better = methods.slice(
      0,
      methods.findIndex((one) => one.method === method),
    );
    const blocked = better.filter(({ offered }) => offered);
    if (blocked.length > 0) {
      const names = blocked.map((one) => updateMethodTitles[one.method]).join(', ');
      return `${reason} What would be better is blocked by findings of its own: ${names}.`;
    }
    return method === 'plain' && hasTaps(source)
      ? `${reason} No way that keeps the TAP is possible here.`
      : reason;
  }
}

const nothingRewritten: RewrittenCommandLine = {
  ...{ args: [], changes: [], adopt: [], leftOut: [], moves: [], late: [] },
  ...{ pidFile: undefined, findings: [] },
};

/** Without `queues` a TAP that waits takes one descriptor. */
function queuesOf({ mq }: JsonObject, queues = 1): JsonObject {
  return mq === true && queues > 1 ? { queues } : {};
}

function cprIncoming(socket: string): string {
  return stringifyJson({
    'channel-type': 'cpr',
    addr: { transport: 'socket', type: 'unix', path: path.resolve(socket) },
  });
}

function versionText({ side }: SourceFacts): string {
  const { major, minor, micro } = side.facts.version;
  return `${major}.${minor}.${micro}`;
}

/** The gravest first, each once. */
function sorted(findings: readonly Finding[]): readonly Finding[] {
  const seen = new Set<string>();
  return levels.flatMap((level) =>
    findings.filter((finding) => {
      const key = `${finding.id}\0${finding.subject ?? ''}\0${finding.what}`;
      if (finding.level !== level || seen.has(key)) return false;
      seen.add(key);
      return true;
    }),
  );
}
