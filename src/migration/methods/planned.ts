import type { JsonObject, JsonValue } from '../../qmp/json';
import type { SideName } from '../run/journal/entries';
import type { MigrationRequest } from '../run/types';
import { isOneSided, methodOf } from './names';

/** What a run sets on one side before it begins, by QMP name. */
export interface PlannedSettings {
  readonly capabilities: Readonly<Record<string, boolean>>;
  readonly parameters: JsonObject;
}

/**
 * The settings that a request asks for, apart from backend transfer and from what a transport
 * needs. Pure; whether a QEMU has them is for the checks (`run/methodChecks.ts`) to say.
 */
export function plannedSettings(request: MigrationRequest, side: SideName): PlannedSettings {
  const { options = {} } = request;
  const method = methodOf(request);
  const onSource = side === 'source';
  // A file answers nothing: with a return path QEMU fails at the end, after all was written.
  const capabilities: Record<string, boolean> = {
    'return-path': !isOneSided(method),
    events: true,
  };
  const parameters: Record<string, JsonValue> = {};
  if (options.multifdChannels !== undefined) {
    capabilities['multifd'] = true;
    parameters['multifd-channels'] = options.multifdChannels;
    if (options.multifdCompression !== undefined) {
      parameters['multifd-compression'] = options.multifdCompression;
    }
  }
  if (method === 'postcopy') {
    capabilities['postcopy-ram'] = true;
    if (options.postcopyPreempt === true) capabilities['postcopy-preempt'] = true;
  }
  if (method === 'shared-ram' || options.ignoreShared === true) {
    capabilities['x-ignore-shared'] = true;
  }
  if (options.file?.mappedRam === true) capabilities['mapped-ram'] = true;
  if (!onSource) return { capabilities, parameters };
  if (options.xbzrle === true) capabilities['xbzrle'] = true;
  if (options.autoConverge === true) capabilities['auto-converge'] = true;
  if (options.holdSwitchover === true || guardsSwitchover(request)) {
    capabilities['pause-before-switchover'] = true;
  }
  if (options.dirtyLimitMegabytesPerSecond !== undefined) {
    capabilities['dirty-limit'] = true;
    parameters['vcpu-dirty-limit'] = options.dirtyLimitMegabytesPerSecond;
  }
  if (options.downtimeLimitMs !== undefined) parameters['downtime-limit'] = options.downtimeLimitMs;
  parameters['mode'] = modeOf(request);
  return { capabilities, parameters };
}

/**
 * Whether the target is kept from starting by itself over the switchover. When the channel breaks
 * there, QEMU's source takes the guest back by itself, and a target that has everything starts it as
 * well: both ran for 1 to 16 ms before ours was stopped. A connection can break without our doing over
 * TCP, and at a socket path as well, where somebody may forward or relay; nobody but the two QEMUs
 * holds the ends of a descriptor pair. With shared memory and with cpr-transfer, whose main channel is
 * a path, both copies would write to one memory. What it costs, from STOP to RESUME in ms, without and
 * with it: a path 4-17 and 11-30, cpr-transfer 4-15 and 11-28 (QEMU 10.0 and 11.1, 256 MiB).
 */
export function guardsSwitchover(request: MigrationRequest): boolean {
  const method = methodOf(request);
  switch (method) {
    case 'precopy':
      return request.options?.guardSwitchover ?? request.transport !== 'fd';
    case 'shared-ram':
      return request.options?.guardSwitchover ?? true;
    case 'cpr-transfer':
      return request.options?.guardSwitchover ?? true;
    // Its target has to run before it has everything.
    case 'postcopy':
    case 'cpr-exec':
    case 'cpr-reboot':
    case 'save':
    case 'restore':
      return false;
  }
}

/** QAPI `MigMode` of the source. Older QEMUs have no such parameter, and know `normal` alone. */
export function modeOf(request: MigrationRequest): string {
  const method = methodOf(request);
  switch (method) {
    case 'cpr-transfer':
    case 'cpr-exec':
    case 'cpr-reboot':
      return method;
    case 'precopy':
    case 'postcopy':
    case 'shared-ram':
    case 'save':
    case 'restore':
      return 'normal';
  }
}
