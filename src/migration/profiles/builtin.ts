import type { Profile, ProfileSettings } from './types';

type Settings = Partial<ProfileSettings>;

type Description = Pick<Profile, 'name'> & {
  readonly description: string;
  readonly backendTransfer?: boolean;
  readonly both?: Settings;
  readonly source?: Settings;
  readonly target?: Settings;
  readonly optional?: readonly string[];
};

/** Off unless a profile says otherwise: they exclude each other, or want another channel. */
const plain: Readonly<Record<string, boolean>> = {
  'background-snapshot': false,
  'mapped-ram': false,
  multifd: false,
  'postcopy-preempt': false,
  'postcopy-ram': false,
  'zero-copy-send': false,
};

/** How the source learns that the target arrived, and both tell what they do. */
const told: Readonly<Record<string, boolean>> = { 'return-path': true, events: true };

/** Profiles that come with the program, to use and to learn from. */
export const builtinProfiles: readonly Profile[] = [
  profile({
    name: 'Local backend transfer',
    description:
      'Hands the open network devices to a QEMU on the same host, so that the network keeps its ' +
      'state, and sends memory as fast as it goes, at the price of a busy host for that time. Both ' +
      'QEMUs need backend transfer and a UNIX socket between them, and each network device has to ' +
      'permit it; quit the source soon after, for it still holds the devices.',
    backendTransfer: true,
    both: { capabilities: { ...plain, ...told } },
    source: { parameters: { 'max-bandwidth': 0, 'avail-switchover-bandwidth': '1 GiB/s' } },
    optional: ['avail-switchover-bandwidth'],
  }),
  profile({
    name: 'Lowest downtime',
    description:
      'Stops the guest only when the rest of its memory would go over within 50 ms, and slows a ' +
      'guest that writes faster than that: the whole takes longer, and the guest may feel it. Set ' +
      'avail-switchover-bandwidth to what your link can really do; too high a value makes the ' +
      'pause longer than asked for.',
    both: { capabilities: { ...plain, ...told } },
    source: {
      parameters: {
        'downtime-limit': '50 ms',
        'max-bandwidth': 0,
        'avail-switchover-bandwidth': '1 GiB/s',
      },
      capabilities: { 'auto-converge': true, 'dirty-limit': false },
    },
    optional: ['avail-switchover-bandwidth'],
  }),
  profile({
    name: 'Fastest total',
    description:
      'Sends memory over four connections with no limit and accepts a pause of up to 2 s, so that ' +
      'it is soon over; it takes the link and some processors for itself. It needs a socket or a ' +
      'file that QEMU opens, not passed descriptors, and the same UUID ("-uuid") on both sides.',
    both: {
      parameters: { 'multifd-channels': 4 },
      capabilities: { ...plain, ...told, multifd: true, xbzrle: false, compress: false },
    },
    source: { parameters: { 'max-bandwidth': 0, 'downtime-limit': '2 s' } },
  }),
  profile({
    name: 'Postcopy',
    description:
      'Allows the guest to move first and fetch its memory afterwards, which ends any migration, ' +
      'however busy the guest; it has to be started with migrate-start-postcopy. From then on the ' +
      'guest is spread over both processes and is lost if either of them or the link dies. Both ' +
      'hosts need userfaultfd, and the connection of its own for urgent pages needs a socket that ' +
      'QEMU opens, not passed descriptors.',
    both: {
      capabilities: {
        ...plain,
        ...told,
        'postcopy-ram': true,
        'postcopy-preempt': true,
        'x-ignore-shared': false,
        compress: false,
      },
    },
    source: { parameters: { 'max-bandwidth': 0, 'max-postcopy-bandwidth': 0 } },
    optional: ['postcopy-preempt'],
  }),
  profile({
    name: 'Snapshot to file',
    description:
      'For saving the guest to file:PATH and loading it from there: each page has its place in the ' +
      'file, which does not grow beyond the memory. The guest stands still from the end of the ' +
      'saving until it is loaded, or continued on the source; disks are not included. A target ' +
      'needs these settings too before it loads, and no migration over a socket works with them.',
    both: {
      capabilities: {
        ...plain,
        events: true,
        'mapped-ram': true,
        'return-path': false,
        'switchover-ack': false,
        xbzrle: false,
      },
    },
    source: { parameters: { 'max-bandwidth': 0 } },
    optional: ['mapped-ram'],
  }),
];

function profile(described: Description): Profile {
  const { name, description, backendTransfer, both, source, target, optional } = described;
  return {
    name,
    description,
    origin: 'builtin',
    backendTransfer,
    both: settings(both),
    source: settings(source),
    target: settings(target),
    optional: new Set(optional),
  };
}

function settings({ parameters = {}, capabilities = {} }: Settings = {}): ProfileSettings {
  return { parameters, capabilities };
}
