import { stringifyJson, type JsonObject } from '../../qmp/json';
import { readOptions } from '../../vm/qemuOptions';
import { givenOption, type DevicePermission } from '../settings/backendTransfer';
import { areMixed, optionOf, transferable, type Ends } from './transferEnds';

/** The steps that this spelling needs, in their order; empty where they are not known. */
export function orderOf(ends: Ends): readonly string[] {
  const { source, target } = ends;
  if (source.offer.kind !== 'boolean' || target.offer.kind !== 'boolean' || areMixed(ends)) {
    return [];
  }
  const { parameter } = source.offer;
  const [from, to] = [source.snapshot.label, target.snapshot.label];
  const option = optionOf(ends);
  const later = option?.on === 'netdev';
  return [
    later
      ? `Start ${to} with \`-incoming defer\`, without the netdevs that are handed over and without their devices.`
      : `Start ${to} with the same \`-netdev\` and \`-device\` as ${from}, and \`-incoming defer\`.`,
    `On both: ${qmp('migrate-set-capabilities', { capabilities: [on('return-path'), on('events')] })}. Without return-path the source may report success although the target failed.`,
    `On both, before ${later ? 'the next step' : 'migrate-incoming'}: ${qmp('migrate-set-parameters', { [parameter]: true })}.`,
    ...(later ? transferable(ends).flatMap((entry) => addSteps(ends, entry, option.name)) : []),
    `On ${to}: ${qmp('migrate-incoming', { uri: 'unix:PATH' })}. The channel must be a UNIX socket${later ? '.' : ': over any other the source QEMU aborts, and the guest is lost.'}`,
    `On ${from}: ${qmp('migrate', { uri: 'unix:PATH' })}.`,
    `Quit ${from} as soon as the guest runs on ${to}: it still holds the network devices.`,
  ];
}

function on(capability: string): JsonObject {
  return { capability, state: true };
}

function qmp(execute: string, args: JsonObject): string {
  return `\`${stringifyJson({ execute, arguments: args })}\``;
}

function addSteps(
  { source, target }: Ends,
  { device }: DevicePermission,
  permission: string,
): readonly string[] {
  const { label } = target.snapshot;
  const netdev = device.netdev?.id ?? '';
  const given = givenOption(source.snapshot.process?.args ?? [], 'device', device.id);
  const options = readOptions(given ?? '').options;
  const place = (name: string): JsonObject => {
    const value = options.get(name);
    return value === undefined ? {} : { [name]: value };
  };
  const args: JsonObject = {
    driver: device.driver,
    id: device.id,
    netdev,
    mac: options.get('mac') ?? 'MAC',
    bus: options.get('bus') ?? 'BUS',
    ...place('addr'),
  };
  return [
    `On ${label}: ${qmp('netdev_add', { type: 'tap', id: netdev, script: '', downscript: '', [permission]: true })}.`,
    `On ${label}: ${qmp('device_add', args)}, with the MAC address and the slot that it has on ${source.snapshot.label}.`,
  ];
}
