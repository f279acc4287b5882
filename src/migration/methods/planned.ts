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
  // Over TCP the target is kept from starting by itself there; see `guardsSwitchover`.
  const isGuarded = method === 'precopy' && request.transport === 'tcp';
  if (options.holdSwitchover === true || isGuarded) capabilities['pause-before-switchover'] = true;
  if (options.dirtyLimitMegabytesPerSecond !== undefined) {
    capabilities['dirty-limit'] = true;
    parameters['vcpu-dirty-limit'] = options.dirtyLimitMegabytesPerSecond;
  }
  if (options.downtimeLimitMs !== undefined) parameters['downtime-limit'] = options.downtimeLimitMs;
  parameters['mode'] = modeOf(request);
  return { capabilities, parameters };
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
