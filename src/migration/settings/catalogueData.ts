import type { CapabilityInfo, Need, ParameterInfo } from './catalogueTypes';

const uint64 = { min: 0n, max: (1n << 64n) - 1n };
const throttling: readonly Need[] = [{ capability: 'auto-converge' }];
const multifd: readonly Need[] = [{ capability: 'multifd' }];
const dirtyLimit: readonly Need[] = [{ capability: 'dirty-limit' }];
const compress: readonly Need[] = [{ capability: 'compress' }];

function compressedBy(method: string): readonly Need[] {
  return [{ capability: 'multifd', parameter: { name: 'multifd-compression', value: method } }];
}

/** In the order in which they are shown within their group. */
export const parameters: readonly ParameterInfo[] = [
  // Local transfer
  {
    name: 'mode',
    group: 'local-transfer',
    type: 'enum',
    unit: 'none',
    values: [
      { value: 'normal', since: '8.2', summary: 'Copy everything to the target' },
      {
        value: 'cpr-reboot',
        since: '8.2',
        summary: 'Stop the guest, save it to a file, and load it after a restart or host reboot',
      },
      {
        value: 'cpr-transfer',
        since: '10.0',
        summary: 'Hand shared memory and descriptors to a new QEMU beside this one',
      },
      {
        value: 'cpr-exec',
        since: '10.2',
        summary: 'Replace this process by a new QEMU that keeps its memory and descriptors',
      },
    ],
    since: '8.2',
    sides: 'source',
    summary: 'What kind of migration the next one is',
    details:
      'Chooses between copying the guest and the kinds that keep its memory in place on one host. ' +
      'QEMU keeps the value after a success, a failure and a cancel, so set it before every ' +
      'migration. Starting `cpr-transfer` with the wrong channels ends the source process and the ' +
      'guest with it: let the Live Update plan build the command.',
  },
  {
    name: 'cpr-exec-command',
    group: 'local-transfer',
    type: 'list',
    unit: 'none',
    since: '10.2',
    sides: 'source',
    needs: [{ parameter: { name: 'mode', value: 'cpr-exec' } }],
    summary: 'The program and arguments that replace this QEMU',
    details:
      'One list element for the program and one for each argument, `-incoming` included. QEMU does ' +
      'not look at it until the guest has stopped, and the old process is gone by then: a wrong ' +
      'argument, other memory options or a missing `-incoming` lose the guest. Try the command ' +
      'line with another QEMU first.',
  },
  {
    name: 'local',
    group: 'local-transfer',
    type: 'bool',
    unit: 'none',
    since: '11.2',
    sides: 'both-equal',
    summary: 'Backend transfer: hand open network devices to a QEMU on the same host',
    details:
      'The target takes over the descriptors of the permitted TAP devices instead of opening them, ' +
      'so the network keeps its state. Set it on both sides, on the target before the TAP is ' +
      'added; the channel must be a UNIX socket, and the TAP created with ' +
      '`x-permit-local-migration=on`. Turn `return-path` on too, or the source may report success ' +
      'over a dead target, and quit the source soon after: it still holds the devices.',
  },
  {
    name: 'backend-transfer',
    group: 'local-transfer',
    type: 'bool',
    unit: 'none',
    since: 'patched',
    unstable: true,
    sides: 'both-equal',
    summary: 'Backend transfer: hand open network devices to a QEMU on the same host',
    details:
      'An earlier spelling of `local`, in builds that carry the patches; some of them take a list ' +
      'here. Devices allow it by their own `backend-transfer` property. **Over anything but a UNIX ' +
      'socket the source process aborts and the guest is lost.** The target must be started with ' +
      '`-incoming defer`, and both sides need the parameter before that.',
  },

  // Speed and pause
  {
    name: 'max-bandwidth',
    group: 'speed-and-pause',
    type: 'size',
    unit: 'bytes/s',
    range: uint64,
    zeroMeans: 'no limit',
    since: '2.8',
    sides: 'source',
    takesEffectWhileRunning: true,
    summary: 'The most that the source sends per second while the guest runs there',
    details:
      'The default of 128 MiB/s suits a shared slow network and slows down everything else: raise ' +
      'it for fast links and local migrations. It also enters the guess of how long the pause will ' +
      'be. With no limit at all the guest may be stopped early and stand still for longer than ' +
      '`downtime-limit`.',
  },
  {
    name: 'downtime-limit',
    group: 'speed-and-pause',
    type: 'int',
    unit: 'ms',
    range: { min: 0n, max: 2_000_000n },
    since: '2.8',
    sides: 'source',
    takesEffectWhileRunning: true,
    summary: 'How long a pause is acceptable; the guest is stopped once that looks possible',
    details:
      'QEMU stops the guest as soon as the memory left would fit into this time at the rate it ' +
      'sees. It is an aim, not a bound: the real pause can be longer. Raise it when a migration ' +
      'does not come to an end; lower it when the guest must not stand still, at the price of more ' +
      'passes over its memory.',
  },
  {
    name: 'avail-switchover-bandwidth',
    group: 'speed-and-pause',
    type: 'size',
    unit: 'bytes/s',
    range: uint64,
    zeroMeans: 'estimated from the rate so far',
    since: '8.2',
    sides: 'source',
    takesEffectWhileRunning: true,
    summary: 'The rate to reckon with when deciding whether the pause would be short enough',
    details:
      'Replaces the measured rate in that one decision and limits nothing. Set it when the measured ' +
      'rate misleads: too low while `max-bandwidth` holds back, too high in the first moments. A ' +
      'value above what the link can do makes the pause longer than you allowed.',
  },
  {
    name: 'max-postcopy-bandwidth',
    group: 'speed-and-pause',
    type: 'size',
    unit: 'bytes/s',
    range: uint64,
    zeroMeans: 'no limit',
    since: '3.0',
    sides: 'source',
    needs: [{ capability: 'postcopy-ram' }],
    takesEffectWhileRunning: true,
    summary: 'The most that is sent per second in the background once postcopy has begun',
    details:
      'Holds back only pages sent unasked; pages that the guest waits for go out at once. Set a ' +
      'limit when the background stream delays those. A low one keeps the guest dependent on both ' +
      'hosts for longer.',
  },

  // Channels
  {
    name: 'multifd-channels',
    group: 'channels',
    type: 'int',
    unit: 'count',
    range: { min: 1n, max: 255n },
    since: '4.0',
    sides: 'both-equal',
    needs: multifd,
    summary: 'How many connections carry memory side by side',
    details:
      'More channels use more processors and fill a fast link that one thread cannot. **The two ' +
      'sides must agree**: with different numbers the migration hangs rather than fails, and on ' +
      'some versions the target no longer answers.',
  },
  {
    name: 'zero-page-detection',
    group: 'channels',
    type: 'enum',
    unit: 'none',
    values: [
      { value: 'none', since: '9.0', summary: 'Send empty pages like any other' },
      { value: 'legacy', since: '9.0', summary: 'Look for empty pages in the main thread' },
      { value: 'multifd', since: '9.0', summary: 'Look for them in the multifd threads, if any' },
    ],
    since: '9.0',
    sides: 'source',
    summary: 'Where the source looks for pages that hold only zeros',
    details:
      'An empty page costs a few bytes on the wire once found, and finding it costs processor time. ' +
      'Leave it unless the other side is older than 9.0 or the search itself is too slow. `none` ' +
      'sends every page in full.',
  },
  {
    name: 'direct-io',
    group: 'channels',
    type: 'bool',
    unit: 'none',
    since: '9.1',
    sides: 'either',
    needs: [{ capability: 'mapped-ram' }],
    summary: 'Write and read the migration file past the page cache',
    details:
      'Keeps a large file from pushing everything else out of the host cache. It needs a file ' +
      'system that offers direct access, and it has no effect on other kinds of migration.',
  },
  {
    name: 'x-rdma-chunk-size',
    group: 'channels',
    type: 'size',
    unit: 'bytes',
    range: { min: 1n << 20n, max: 1n << 30n },
    powerOfTwo: true,
    since: '11.1',
    unstable: true,
    sides: 'both-equal',
    summary: 'In what pieces memory is registered for RDMA',
    details:
      'Matters only to migrations over `rdma:`. Larger pieces mean fewer registrations, and more ' +
      'memory pinned and sent for a single changed page. Both sides must use the same size.',
  },

  // Compression
  {
    name: 'multifd-compression',
    group: 'compression',
    type: 'enum',
    unit: 'none',
    values: [
      { value: 'none', since: '5.0', summary: 'Send pages as they are' },
      { value: 'zlib', since: '5.0', summary: 'Well known, slow' },
      { value: 'zstd', since: '5.0', summary: 'Faster than zlib for the same size' },
      { value: 'qpl', since: '9.1', summary: 'Intel In-Memory Analytics Accelerator' },
      { value: 'uadk', since: '9.1', summary: 'Accelerators of Kunpeng processors' },
      { value: 'qatzip', since: '9.2', summary: 'Intel QuickAssist' },
    ],
    since: '5.0',
    sides: 'both-equal',
    needs: multifd,
    summary: 'How the multifd channels compress memory',
    details:
      'Worth it when the link is slow and processors are idle; on a fast link it makes things ' +
      'slower. Both sides must use the same method, and each build offers only those it was ' +
      'compiled with. It cannot go together with `zero-copy-send` or `mapped-ram`.',
  },
  {
    name: 'multifd-zlib-level',
    group: 'compression',
    type: 'int',
    unit: 'level',
    range: { min: 0n, max: 9n },
    zeroMeans: 'no compression',
    since: '5.0',
    sides: 'source',
    needs: compressedBy('zlib'),
    summary: 'How hard zlib tries: 1 is fastest, 9 gives the smallest result',
    details:
      'Each step up costs much more processor time than it saves in bytes. QEMU 7.2 takes any value ' +
      'without complaint and stays at 1.',
  },
  {
    name: 'multifd-zstd-level',
    group: 'compression',
    type: 'int',
    unit: 'level',
    range: { min: 0n, max: 20n },
    zeroMeans: "zstd's own default",
    since: '5.0',
    sides: 'source',
    needs: compressedBy('zstd'),
    summary: 'How hard zstd tries: 1 is fastest, 20 gives the smallest result',
    details:
      'Low levels keep up with links of a few gigabits; high ones do not. QEMU 7.2 takes any value ' +
      'without complaint and stays at 1.',
  },
  {
    name: 'multifd-qatzip-level',
    group: 'compression',
    type: 'int',
    unit: 'level',
    range: { min: 1n, max: 9n },
    since: '9.2',
    sides: 'source',
    needs: compressedBy('qatzip'),
    summary: 'How hard QuickAssist tries: 1 is fastest, 9 gives the smallest result',
    details:
      'Used only with `multifd-compression` set to `qatzip`, in builds and on hosts that have it.',
  },
  {
    name: 'xbzrle-cache-size',
    group: 'compression',
    type: 'size',
    unit: 'bytes',
    range: { min: 4096n, max: 1n << 63n },
    powerOfTwo: true,
    since: '2.11',
    sides: 'source',
    needs: [{ capability: 'xbzrle' }],
    takesEffectWhileRunning: true,
    summary: 'Memory for remembering pages already sent, so that only their changes go out',
    details:
      'Should hold the pages that the guest keeps rewriting; a cache that is too small only costs ' +
      'time, which shows as a high rate of cache misses. It is taken from the source host. QEMU ' +
      'does not refuse absurd sizes, and the smallest is one page of the guest.',
  },
  {
    name: 'compress-level',
    group: 'compression',
    type: 'int',
    unit: 'level',
    range: { min: 0n, max: 9n },
    zeroMeans: 'no compression',
    since: '2.4',
    until: '9.1',
    sides: 'source',
    needs: compress,
    summary: 'How hard the old compression tries: 1 is fastest, 9 gives the smallest result',
    details:
      'Belongs to the `compress` capability. Use `multifd` with `multifd-compression` instead.',
  },
  {
    name: 'compress-threads',
    group: 'compression',
    type: 'int',
    unit: 'count',
    range: { min: 1n, max: 255n },
    since: '2.4',
    until: '9.1',
    sides: 'source',
    needs: compress,
    summary: 'How many threads compress on the source',
    details:
      'Belongs to the `compress` capability. The threads compete with the guest for processors.',
  },
  {
    name: 'compress-wait-thread',
    group: 'compression',
    type: 'bool',
    unit: 'none',
    since: '3.1',
    until: '9.1',
    sides: 'source',
    needs: compress,
    summary: 'Wait for a free compressing thread rather than send the page as it is',
    details:
      'Belongs to the `compress` capability. Off, a busy source sends more bytes but is not held up.',
  },
  {
    name: 'decompress-threads',
    group: 'compression',
    type: 'int',
    unit: 'count',
    range: { min: 1n, max: 255n },
    since: '2.4',
    until: '9.1',
    sides: 'target',
    needs: compress,
    summary: 'How many threads decompress on the target',
    details:
      'Belongs to the `compress` capability. Decompressing is cheaper than compressing, so a quarter ' +
      'of `compress-threads` is enough.',
  },

  // CPU throttling
  {
    name: 'throttle-trigger-threshold',
    group: 'cpu-throttling',
    type: 'int',
    unit: 'percent',
    range: { min: 1n, max: 100n },
    since: '5.0',
    sides: 'source',
    needs: throttling,
    takesEffectWhileRunning: true,
    summary: 'How much of what was sent the guest must dirty again before it is slowed',
    details:
      'Compares the memory dirtied with the memory sent in the same time. Lower it to step in ' +
      'earlier and finish sooner; raise it to spare the guest.',
  },
  {
    name: 'cpu-throttle-initial',
    group: 'cpu-throttling',
    type: 'int',
    unit: 'percent',
    range: { min: 1n, max: 99n },
    since: '2.7',
    sides: 'source',
    needs: throttling,
    takesEffectWhileRunning: true,
    summary: 'How much processor time is taken from the guest at first',
    details:
      'The first step once the migration does not converge. A larger one works sooner and is felt ' +
      'more; it cannot exceed `max-cpu-throttle`.',
  },
  {
    name: 'cpu-throttle-increment',
    group: 'cpu-throttling',
    type: 'int',
    unit: 'percent',
    range: { min: 1n, max: 99n },
    since: '2.7',
    sides: 'source',
    needs: throttling,
    takesEffectWhileRunning: true,
    summary: 'How much more is taken at each further step',
    details:
      'Added each time the guest still writes faster than the channel sends, seconds apart. Small ' +
      'steps are gentle and make a hard case last long.',
  },
  {
    name: 'cpu-throttle-tailslow',
    group: 'cpu-throttling',
    type: 'bool',
    unit: 'none',
    since: '5.1',
    sides: 'source',
    needs: throttling,
    takesEffectWhileRunning: true,
    summary: 'Take smaller steps once the guest is slowed a lot',
    details:
      'Near the top a full step takes most of what time the guest has left. With this on QEMU takes ' +
      'only what it thinks it needs; the migration may last longer.',
  },
  {
    name: 'max-cpu-throttle',
    group: 'cpu-throttling',
    type: 'int',
    unit: 'percent',
    range: { min: 1n, max: 99n },
    since: '3.1',
    sides: 'source',
    needs: throttling,
    takesEffectWhileRunning: true,
    summary: 'The most processor time that may be taken from the guest',
    details:
      'At the default of 99 % the guest all but stands still if nothing else helps. Lower it to keep ' +
      'services answering, and accept that the migration may then never finish. It cannot be below ' +
      '`cpu-throttle-initial`.',
  },
  {
    name: 'vcpu-dirty-limit',
    group: 'cpu-throttling',
    type: 'int',
    unit: 'MB/s',
    range: { min: 1n, max: uint64.max },
    since: '8.1',
    sides: 'source',
    needs: dirtyLimit,
    summary: 'How fast each virtual processor may dirty memory',
    details:
      'Slows only the processors that write more than this, and leaves reading ones alone. The ' +
      'default of 1 is harsh. Choose a little less than the channel moves, divided by the number of ' +
      'virtual processors.',
  },
  {
    name: 'x-vcpu-dirty-limit-period',
    group: 'cpu-throttling',
    type: 'int',
    unit: 'ms',
    range: { min: 1n, max: 1000n },
    since: '8.1',
    unstable: true,
    sides: 'source',
    needs: dirtyLimit,
    summary: 'How often the dirtying of each virtual processor is measured',
    details:
      'Shorter periods react faster to a change of load and cost more to measure. Leave it unless ' +
      'the limit is visibly late.',
  },

  // Announcing
  {
    name: 'announce-initial',
    group: 'announce',
    type: 'int',
    unit: 'ms',
    range: { min: 0n, max: 100_000n },
    since: '4.0',
    sides: 'target',
    summary: 'How long after the first announcement the second follows',
    details:
      'When the guest has moved, the target tells the switches where its MAC addresses are now. ' +
      'Lower it if a first announcement tends to be lost and peers take long to find the guest.',
  },
  {
    name: 'announce-step',
    group: 'announce',
    type: 'int',
    unit: 'ms',
    range: { min: 1n, max: 10_000n },
    since: '4.0',
    sides: 'target',
    summary: 'How much longer each wait between announcements is than the one before',
    details: 'The waits grow from `announce-initial` by this much, up to `announce-max`.',
  },
  {
    name: 'announce-max',
    group: 'announce',
    type: 'int',
    unit: 'ms',
    range: { min: 0n, max: 100_000n },
    since: '4.0',
    sides: 'target',
    summary: 'The longest wait between two announcements',
    details:
      'With the default of five rounds the waits never get that long; it matters when there are ' +
      'more.',
  },
  {
    name: 'announce-rounds',
    group: 'announce',
    type: 'int',
    unit: 'count',
    range: { min: 0n, max: 1000n },
    zeroMeans: 'no announcements',
    since: '4.0',
    sides: 'target',
    summary: 'How many times the target announces the guest to the network',
    details:
      'More rounds help where switches are slow to open a port. With none the network learns of the ' +
      'move only when the guest itself sends something.',
  },

  // Security
  {
    name: 'tls-creds',
    group: 'security',
    type: 'string-or-null',
    unit: 'none',
    since: '2.7',
    sides: 'either',
    summary: 'The TLS credentials object that encrypts the migration; empty for none',
    details:
      "The id of a `tls-creds` object of this QEMU: a server's on the target, a client's on the " +
      'source. Without it the guest memory crosses the network in the clear. The name is looked up ' +
      'only when the migration starts.',
  },
  {
    name: 'tls-hostname',
    group: 'security',
    type: 'string-or-null',
    unit: 'none',
    since: '2.7',
    sides: 'source',
    summary: "The name expected in the target's certificate",
    details:
      'Needed when the name to connect to is not the one in the certificate, or when there is none, ' +
      'as with `fd:` and `exec:`. Used only with `tls-creds`.',
  },
  {
    name: 'tls-authz',
    group: 'security',
    type: 'string-or-null',
    unit: 'none',
    since: '4.0',
    sides: 'target',
    summary: 'The authorization object that decides which sources may connect',
    details:
      "Checks the name in the source's certificate against an `authz` object of the target. Without " +
      'it anyone with a certificate of the same authority is let in. Used only with `tls-creds`.',
  },

  // Other
  {
    name: 'block-bitmap-mapping',
    group: 'other',
    type: 'list',
    unit: 'none',
    since: '5.2',
    sides: 'either',
    needs: [{ capability: 'dirty-bitmaps' }],
    summary: 'Which dirty bitmaps go along, and under what names',
    details:
      'Gives block nodes and their bitmaps the names used in the stream, so that the two sides may ' +
      'call them differently. Bitmaps that are not listed stay behind, and incremental backups then ' +
      'start over. Once set, even to an empty list, it cannot be unset.',
  },
  {
    name: 'x-checkpoint-delay',
    group: 'other',
    type: 'int',
    unit: 'ms',
    range: { min: 0n, max: (1n << 32n) - 1n },
    since: '2.8',
    unstable: true,
    sides: 'source',
    needs: [{ capability: 'x-colo' }],
    summary: 'How far apart the checkpoints of a COLO pair are',
    details:
      'Shorter delays hold back less of the network output of the guest and cost more bandwidth and ' +
      'pauses.',
  },
  {
    name: 'block-incremental',
    group: 'other',
    type: 'bool',
    unit: 'none',
    since: '2.10',
    until: '9.1',
    sides: 'source',
    needs: [{ capability: 'block' }],
    summary: 'Copy only the top layer of each disk image',
    details:
      'Belongs to the `block` capability and needs the lower layers on the target already. Use ' +
      'storage that both sides reach, or mirror the disks, instead.',
  },
];

/** In the order in which they are explained. */
export const capabilities: readonly CapabilityInfo[] = [
  {
    name: 'return-path',
    since: '2.10',
    sides: 'source',
    conflicts: ['background-snapshot'],
    summary: 'The target tells the source whether it arrived',
    details:
      'Without it the source reports success although the target failed to load the guest. With it ' +
      'the source goes on running the guest after such a failure. Leave it on for every migration ' +
      'but a background snapshot; over `fd:` it needs a socket, never a pipe.',
  },
  {
    name: 'events',
    since: '2.4',
    sides: 'either',
    summary: 'QEMU reports each change of the migration as it happens',
    details:
      'Turns on the `MIGRATION` and `MIGRATION_PASS` events of this side. Without them short phases ' +
      'go unseen between two polls. It costs nothing.',
  },
  {
    name: 'pause-before-switchover',
    since: '2.11',
    sides: 'source',
    conflicts: ['background-snapshot'],
    summary: 'Stop the guest, then wait for a go-ahead before handing it over',
    details:
      'Gives you a last moment to move disks or network, or to cancel, while the source still owns ' +
      'the guest. The guest stands still all that time: answer soon. If the target dies meanwhile, ' +
      'the source waits on and says nothing.',
  },
  {
    name: 'multifd',
    since: '4.0',
    sides: 'both-equal',
    conflicts: ['background-snapshot', 'compress', 'xbzrle'],
    summary: 'Send memory over several connections at once',
    details:
      'Worth it where a single thread cannot fill the link. It needs a socket or a file, not `fd:`. ' +
      '**Both sides must have it**, or the migration hangs, and their UUIDs must be equal, or it ' +
      'fails. QEMU 10.0 refuses it together with `postcopy-ram`, 11.1 does not.',
  },
  {
    name: 'postcopy-ram',
    since: '2.6',
    sides: 'both-equal',
    conflicts: ['background-snapshot', 'mapped-ram', 'x-ignore-shared'],
    summary: 'Allow the guest to move first and fetch its memory afterwards',
    details:
      'Ends any migration, however busy the guest. It only allows postcopy, which then has to be ' +
      'started. From there on the guest is spread over both processes and **is lost if either dies**; ' +
      'the target needs userfaultfd.',
  },
  {
    name: 'postcopy-preempt',
    since: '7.1',
    sides: 'both-equal',
    needs: ['postcopy-ram'],
    conflicts: ['compress'],
    summary: 'Pages that the guest waits for overtake those sent in the background',
    details:
      'Uses a connection of its own, and makes the guest less sluggish during postcopy. Set it on ' +
      'both sides: QEMU 7.2 hangs when only the target has it.',
  },
  {
    name: 'postcopy-blocktime',
    since: '3.0',
    sides: 'target',
    conflicts: ['background-snapshot'],
    summary: 'Measure how long virtual processors wait for pages in postcopy',
    details: 'The target adds the figures to what it reports of the migration. The cost is small.',
  },
  {
    name: 'switchover-ack',
    since: '8.1',
    sides: 'both-equal',
    needs: ['return-path'],
    summary: 'Do not stop the guest before the target says its devices are ready',
    details:
      'Shortens the pause for devices that prepare at length, such as VFIO ones. Set it on both ' +
      'sides: with QEMU 10 the migration never ends if only the source has it.',
  },
  {
    name: 'auto-converge',
    since: '1.6',
    sides: 'source',
    conflicts: ['background-snapshot', 'dirty-limit'],
    summary: 'Slow the guest down when it dirties memory faster than it can be sent',
    details:
      'Takes processor time from all of the guest, step by step, until the migration can end. The ' +
      'parameters under CPU throttling set the steps. Workloads that answer in milliseconds will ' +
      'feel it.',
  },
  {
    name: 'dirty-limit',
    since: '8.1',
    sides: 'source',
    conflicts: ['auto-converge'],
    summary: 'Slow down only the virtual processors that dirty too much memory',
    details:
      'Kinder than `auto-converge` to processors that mostly read. It needs KVM started with ' +
      '`dirty-ring-size`.',
  },
  {
    name: 'xbzrle',
    since: '1.2',
    sides: 'source',
    conflicts: ['background-snapshot', 'compress', 'mapped-ram', 'multifd', 'zero-copy-send'],
    summary: 'Send only what changed in pages that were sent before',
    details:
      'Saves bandwidth when the guest rewrites small parts of the same pages, at the price of a ' +
      'cache on the source (`xbzrle-cache-size`) and of processor time. Useless on a fast link.',
  },
  {
    name: 'zero-copy-send',
    since: '7.1',
    sides: 'source',
    needs: ['multifd'],
    conflicts: ['background-snapshot', 'compress', 'xbzrle'],
    summary: 'Let the kernel send guest memory without copying it first',
    details:
      'Spares processor time on fast TCP links; UNIX sockets cannot do it. It goes with neither ' +
      'compression nor TLS, and QEMU must be allowed to lock as much memory as it sends at a time.',
  },
  {
    name: 'mapped-ram',
    since: '9.0',
    sides: 'both-equal',
    conflicts: ['compress', 'postcopy-ram', 'xbzrle'],
    summary: 'Give each page a fixed place in the file',
    details:
      'For saving to a `file:`: however often the guest rewrites a page, the file does not grow ' +
      'beyond its memory, and `multifd` can write in parallel. It needs a target that can seek, and ' +
      'loading needs it on too. It goes with neither compression nor TLS: QEMU accepts them together, ' +
      'and from then on refuses every change of a parameter until it is off.',
  },
  {
    name: 'background-snapshot',
    since: '6.0',
    sides: 'source',
    conflicts: [
      'auto-converge',
      'compress',
      'dirty-bitmaps',
      'late-block-activate',
      'multifd',
      'pause-before-switchover',
      'postcopy-blocktime',
      'postcopy-ram',
      'rdma-pin-all',
      'release-ram',
      'return-path',
      'validate-uuid',
      'x-colo',
      'xbzrle',
      'zero-copy-send',
    ],
    summary: 'Save the guest as it is now, while it runs on',
    details:
      'The guest stops for a moment and goes on on the source; its memory is saved as of that ' +
      'moment. It excludes most other capabilities, needs userfaultfd, and is for `file:` or ' +
      '`exec:`. Disks are not included.',
  },
  {
    name: 'x-ignore-shared',
    since: '4.0',
    unstable: true,
    sides: 'both-equal',
    conflicts: ['postcopy-ram'],
    summary: 'Do not send memory that both sides share through a file',
    details:
      'Makes a migration on one host take milliseconds when both map the same file with ' +
      '`share=on`. Afterwards two processes map one memory: **quit the source, never continue it**. ' +
      'Both sides must have it.',
  },
  {
    name: 'validate-uuid',
    since: '4.2',
    sides: 'both-equal',
    conflicts: ['background-snapshot'],
    summary: 'Refuse a target whose machine has another UUID',
    details:
      'Catches a mix-up of machines early, while the guest still runs. It checks only when both ' +
      'sides have it on.',
  },
  {
    name: 'release-ram',
    since: '2.9',
    sides: 'source',
    conflicts: ['background-snapshot'],
    summary: 'The source gives memory back as it is sent in postcopy',
    details:
      'Eases a host that is short of memory, above all when both sides run on it. What is given ' +
      'back is gone from the source.',
  },
  {
    name: 'dirty-bitmaps',
    since: '2.12',
    sides: 'both-equal',
    conflicts: ['background-snapshot'],
    summary: 'Take the dirty bitmaps of the disks along',
    details:
      'Incremental backups can then go on from the target. Names must match on both sides or be ' +
      'mapped with `block-bitmap-mapping`.',
  },
  {
    name: 'late-block-activate',
    since: '3.0',
    sides: 'target',
    conflicts: ['background-snapshot'],
    summary: 'A target that stays paused leaves the disks alone until it is continued',
    details:
      'Keeps the image locks with the source for longer, for managers that hand disks over ' +
      'themselves. It matters only to a target started with `-S`.',
  },
  {
    name: 'rdma-pin-all',
    since: '2.0',
    sides: 'both-equal',
    conflicts: ['background-snapshot'],
    summary: 'Pin all guest memory at the start of an RDMA migration',
    details:
      'Faster for busy guests, slow at the start for large ones, and each host must be able to keep ' +
      'the whole guest locked in memory. It matters only to `rdma:`.',
  },
  {
    name: 'x-colo',
    since: '2.8',
    unstable: true,
    sides: 'both-equal',
    conflicts: ['background-snapshot'],
    summary: 'Run the guest on both sides in step, so that either may fail',
    details:
      'COLO needs disks and network set up for it. Recent versions also ask for `return-path`. The ' +
      'interface may change.',
  },
  {
    name: 'local-tap',
    since: 'patched',
    unstable: true,
    sides: 'both-equal',
    summary: 'Backend transfer in its first form: hand over open TAP devices',
    details:
      'Only builds with the first patches have it; later ones use the parameters `backend-transfer` ' +
      'and `local`. Both sides must have it, over a UNIX socket.',
  },
  {
    name: 'zero-blocks',
    since: '1.6',
    until: '11.0',
    sides: 'source',
    summary: 'Send disk blocks of zeros in short form',
    details: 'Belonged to `block` and has done nothing since that was removed in 9.1.',
  },
  {
    name: 'compress',
    since: '2.4',
    until: '9.1',
    sides: 'both-equal',
    conflicts: [
      'background-snapshot',
      'mapped-ram',
      'multifd',
      'postcopy-preempt',
      'xbzrle',
      'zero-copy-send',
    ],
    summary: 'Compress memory in several threads',
    details: 'Slow and removed; use `multifd` with `multifd-compression`. Both sides must have it.',
  },
  {
    name: 'block',
    since: '2.11',
    until: '9.1',
    sides: 'source',
    summary: 'Copy the disks within the migration stream',
    details:
      'Slow and removed: use storage that both sides reach, or mirror the disks to the target first.',
  },
];
