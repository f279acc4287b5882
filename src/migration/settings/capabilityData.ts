import type { CapabilityInfo } from './catalogueTypes';

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
      '**Both sides must have it**: only on the target, the migration hangs. Versions before 11 ' +
      'refuse it together with `postcopy-ram`.',
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
    conflicts: ['background-snapshot', 'compress', 'mapped-ram', 'multifd'],
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
    conflicts: ['background-snapshot'],
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
      'loading needs it on too.',
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
    conflicts: ['background-snapshot', 'mapped-ram', 'multifd', 'postcopy-preempt', 'xbzrle'],
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
