import type { Place } from '../../src/migration/failures/cause';

/**
 * What QEMU says, verbatim, by the cause that it stands for: heard from 7.2, 10.0 and 11.1 and in the
 * recordings. Releases that word it so stand above the text; so does where it was not heard but put
 * together from the format in QEMU's binary.
 */
export const failureTexts: Readonly<Record<string, readonly (readonly [Place, string])[]>> = {
  'machine-type': [
    // 7.2, 10.0
    [
      'target-stderr',
      "qemu-system-x86_64: Machine type received is 'pc-q35-7.2' and local is 'pc-q35-7.1'",
    ],
    [
      'target-error',
      "load of migration failed: Invalid argument: post load hook failed for: configuration, version_id: 1, minimum_version: 0: Machine type received is 'pc-q35-11.1' and local is 'pc-q35-7.1'",
    ],
  ],
  'memory-size': [
    [
      'target-stderr',
      'qemu-system-x86_64: Size mismatch: pc.ram: 0x4000000 != 0x8000000: Invalid argument',
    ],
    ['target-stderr', 'Size mismatch: pc.ram: 0x10000000 != 0x8000000'],
  ],
  'ram-block-unknown': [
    ['target-stderr', 'qemu-system-x86_64: Unknown ramblock "ram0", cannot accept migration'],
    [
      'target-stderr',
      'qemu-system-x86_64-local: Unknown ramblock "0000:00:01.0:00.0/virtio-net-pci.rom", cannot accept migration',
    ],
  ],
  'memory-layout': [
    [
      'target-error',
      "load of migration failed: Invalid argument: error while loading state for instance 0x0 of device 'ram': Failed to load vmstate version_id: 4, ret: -22",
    ],
    [
      'target-stderr',
      "qemu-system-x86_64: error while loading state for instance 0x0 of device 'ram'",
    ],
  ],
  'cpu-missing': [
    // 7.2, 10.0
    [
      'target-stderr',
      "qemu-system-x86_64: Unknown savevm section or instance 'cpu_common' 1. Make sure that your current VM setup matches your saved VM setup, including any hotplugged devices",
    ],
    [
      'target-error',
      "load of migration failed: Invalid argument: Unknown section or instance 'apic' 1. Make sure that your current VM setup matches your saved VM setup, including any hotplugged devices",
    ],
  ],
  'netdev-differs': [
    [
      'target-stderr',
      "qemu-system-x86_64-local: load of migration failed: Invalid argument: Unknown section or instance 'net0/0/net-tap' 0. Make sure that your current VM setup matches your saved VM setup, including any hotplugged devices",
    ],
  ],
  'device-missing': [
    [
      'target-stderr',
      "qemu-system-x86_64: Unknown savevm section or instance '0000:00:01.0/virtio-rng' 0. Make sure that your current VM setup matches your saved VM setup, including any hotplugged devices",
    ],
    [
      'target-error',
      "load of migration failed: Invalid argument: Unknown section or instance '0000:00:01.0/1/usb-ptr' 0. Make sure that your current VM setup matches your saved VM setup, including any hotplugged devices",
    ],
    [
      'target-stderr',
      "qemu-system-x86_64: Unknown savevm section or instance 'slirp' 0. Make sure that your current VM setup matches your saved VM setup, including any hotplugged devices",
    ],
  ],
  'section-footer': [
    ['target-stderr', 'qemu-system-x86_64: Missing section footer for 0000:00:1f.0/ICH9LPC'],
    [
      'target-stderr',
      'qemu-system-x86_64-backend-transfer: Missing section footer for 0000:00:01.0:00.0/virtio-net',
    ],
  ],
  'vnet-header': [
    ['target-stderr', 'qemu-system-x86_64-local: virtio-net: saved image requires vnet_hdr=on'],
  ],
  'queue-size': [
    ['target-stderr', 'qemu-system-x86_64: VQ 0 vring.num 1024 exceeds allocated max 256'],
    ['target-stderr', 'qemu-system-x86_64: VQ 10 vring.num 128 exceeds allocated max 0'],
  ],
  uuid: [
    [
      'target-stderr',
      'qemu-system-x86_64: UUID received is 11111111-1111-1111-1111-111111111111 and local is 22222222-1111-1111-1111-111111111111',
    ],
    [
      'target-error',
      "load of migration failed: Invalid argument: Loading VM subsection 'configuration/uuid' in 'configuration' failed: post load hook failed for: configuration/uuid, version_id: 1, minimum_version: 1, ret: -22",
    ],
  ],
  'capability-differs': [
    [
      'target-stderr',
      'qemu-system-x86_64: Capability mapped-ram is off, but received capability is on',
    ],
    [
      'target-stderr',
      'qemu-system-x86_64: Capability x-ignore-shared is off, but received capability is on',
    ],
  ],
  'capability-differs-unnamed': [
    [
      'target-error',
      'load of migration failed: Invalid argument: post load hook failed for: configuration, version_id: 1, minimum_version: 0: Failed to validate capabilities',
    ],
  ],
  'postcopy-one-side': [
    ['target-stderr', 'qemu-system-x86_64: RAM postcopy is disabled but have 16 byte advise'],
    [
      'target-error',
      'load of migration failed: Invalid argument: RAM postcopy is disabled but have 16 byte advise',
    ],
  ],
  'multifd-differs': [
    [
      'target-stderr',
      'qemu-system-x86_64: socket_accept_incoming_migration: Extra incoming migration connection; ignoring',
    ],
  ],
  'multifd-compression': [['target-error', 'multifd 1: flags received 0 flags expected 2']],
  'device-state': [
    [
      'target-error',
      "load of migration failed: Invalid argument: error while loading state for instance 0x0 of device '0000:00:01.0/virtio-net': Failed to load element of type virtio for virtio",
    ],
  ],
  'file-not-found': [
    ['source-error', "Could not create '/nowhere/m': No such file or directory"],
    ['target-error', "Could not open '/nowhere/m': No such file or directory"],
  ],
  // Not heard.
  'file-permission': [['source-error', "Could not create '/root/m': Permission denied"]],
  'file-is-folder': [['source-error', "Could not create '/tmp': Is a directory"]],
  'no-space': [
    ['source-stderr', 'cat: write error: No space left on device'],
    // Not heard.
    ['source-error', 'Unable to write to file: No space left on device'],
  ],
  'file-not-written': [
    ['source-error', 'ram_save_setup failed: Input/output error'],
    ['source-error', 'Unable to write to command: Broken pipe'],
  ],
  'file-not-regular': [
    ['source-error', 'failed to truncate migration file to offset 0: Invalid argument'],
  ],
  'descriptor-access': [['source-error', 'Failed to find file descriptor with matching flags=0x2']],
  'needs-file': [
    ['source-error', 'Migration requires seekable transport (e.g. file)'],
    ['target-error', 'Migration requires seekable transport (e.g. file)'],
  ],
  'needs-stream': [['source-error', 'Migration requires streamable transport (eg unix)']],
  'protocol-unknown': [
    ['source-error', 'unknown migration protocol: nonsense:1'],
    // 7.2
    ['source-error', "Parameter 'uri' expects a valid migration protocol"],
  ],
  'image-locked': [
    ['source-error', 'Failed to get "write" lock'],
    ['target-stderr', 'Is another process using the image [/tmp/disk.img]?'],
  ],
  'cpr-memory-not-shared': [
    [
      'source-error',
      'Memory region /rom@etc/acpi/rsdp is not compatible with CPR. share=on is required for memory-backend objects, and aux-ram-share=on is required.',
    ],
  ],
  'cpr-channel-missing': [
    ['source-error', "missing 'cpr' migration channel"],
    ['source-stderr', 'ERROR:migration/cpr.c:267:cpr_state_save: assertion failed: (channel)'],
    ['source-error', 'bad cpr channel address; must be unix'],
  ],
  'cpr-saved-memory': [['target-stderr', 'qemu-system-x86_64: vmstate_load_state error -2']],
  'exec-not-permitted': [['source-error', 'execvp /bin/true failed: Operation not permitted']],
  'exec-failed': [
    ['source-error', 'execvp /nonexistent failed: No such file or directory'],
    ['source-error', 'execvp /tmp failed: Permission denied'],
  ],
  'exec-no-command': [['source-error', 'cpr-exec mode requires setting cpr-exec-command']],
  'bad-argument': [
    [
      'source-stderr',
      "qemu-system-x86_64: -device nosuch: 'nosuch' is not a valid device model name",
    ],
    ['source-stderr', 'qemu-system-x86_64: -nosuch: invalid option'],
  ],
  'tap-busy': [
    ['target-error', 'could not configure /dev/net/tun (tapx): Device or resource busy'],
  ],
  'tap-too-early': [
    [
      'target-stderr',
      "qemu-system-x86_64-local: load of migration failed: Invalid argument: error while loading state for instance 0x0 of device 'net0/0/net-tap': pre load hook failed for: 'net-tap', version_id: 0, minimum version_id: 0: TAP is already initialized and cannot receive incoming fd",
    ],
    ['target-stderr', "Migration parameter 'local' must be set before creating the TAP device."],
  ],
  'tap-options': [
    [
      'target-error',
      'Local incoming migration of TAP device (-incoming, migration parameter @local is set, TAP parameter @x-permit-local-migration is set) is incompatible with fd=, fds=, helper=, br=, ifname=, sndbuf= and vnet_hdr=, and requires explicit empty script= and downscript=',
    ],
  ],
  'tap-mixed-queues': [
    [
      'target-error',
      "Mixed peer states: some peers wait for incoming migration while others don't",
    ],
  ],
  'needs-unix-socket': [
    ['source-error', 'local migration requires a UNIX domain socket channel'],
    [
      'source-stderr',
      'qemu-system-x86_64-backend-transfer: Channel does not support file descriptor passing: Invalid argument',
    ],
    [
      'target-stderr',
      'qemu-system-x86_64-backend-transfer: migration-socket-incoming does not support fd passing',
    ],
  ],
  'not-a-tap': [
    ['target-error', 'Unable to query TUNGETIFF on FD 5: Inappropriate ioctl for device'],
  ],
  'dirty-ring': [
    ['source-error', "dirty-limit requires KVM with accelerator property 'dirty-ring-size' set"],
  ],
  // Not heard.
  'block-job': [['source-error', 'block device is in use by block job: backup']],
  blocked: [
    ['source-error', 'State blocked by non-migratable CPU device (invtsc flag)'],
    ['source-error', "The vvfat (rw) format used by node 'v' does not support live migration"],
  ],
  'already-migrating': [['source-error', "There's a migration process in progress"]],
  'gave-away': [['source-error', "Can't migrate the vm that was paused due to previous migration"]],
  'target-used': [
    ['target-error', 'The incoming migration has already been started'],
    ['target-error', 'Illegal migration incoming state: setup'],
  ],
  'target-does-not-wait': [['target-error', "'-incoming' was not specified on the command line"]],
  'source-waits': [['source-error', 'Guest is waiting for an incoming migration']],
  'postcopy-not-prepared': [
    ['source-error', 'Enable postcopy with migrate_set_capability before the start of migration'],
    ['source-error', 'Postcopy must be started after migration has been started'],
  ],
  'no-hotplug': [['target-error', "Bus 'pcie.0' does not support hotplugging"]],
  'settings-exclude': [
    ['source-error', 'Multifd is not compatible with xbzrle'],
    ['source-error', 'Postcopy is not yet compatible with multifd'],
    ['source-error', "Capability 'switchover-ack' requires capability 'return-path'"],
    ['source-error', 'Postcopy preempt requires postcopy-ram'],
    ['source-error', 'Zero copy only available for non-compressed non-TLS multifd migration'],
  ],
  'setting-unknown': [
    ['source-error', "Parameter 'backend-transfer' is unexpected"],
    ['source-error', "Parameter 'capability' does not accept value 'dirty-limit'"],
    ['source-error', 'The command no-such-command has not been found'],
  ],
  'value-refused': [
    ['source-error', 'Option multifd-channels expects a value between 1 and 255'],
    ['source-error', "Parameter 'multifd_channels' expects a value between 1 and 255"],
    ['source-error', "Invalid parameter type for 'local', expected: boolean"],
  ],
  'tls-credentials': [
    ['source-error', "No TLS credentials with id 'nosuch'"],
    ['target-error', "No TLS credentials with id 'nosuch'"],
  ],
  // Not heard.
  'tls-handshake': [
    ['source-error', 'TLS handshake failed: The TLS connection was non-properly terminated.'],
  ],
  'no-socket': [
    ['source-error', "Failed to connect to '/run/qm/mig.sock': No such file or directory"],
  ],
  'connection-refused': [
    ['source-error', "Failed to connect to '127.0.0.1:1': Connection refused"],
  ],
  // Not heard.
  'connect-permission': [
    ['source-error', "Failed to connect to '/run/other/mig.sock': Permission denied"],
  ],
  'host-unknown': [
    [
      'source-error',
      'address resolution failed for no.such.host.invalid:1: Name or service not known',
    ],
  ],
  // Not heard.
  unreachable: [['source-error', "Failed to connect to '10.0.0.9:4444': No route to host"]],
  'cannot-listen': [
    ['target-error', 'Failed to bind socket to /nowhere/m: No such file or directory'],
    ['target-error', "UNIX socket path '/a/long/one' is too long"],
  ],
  'multifd-needs-socket': [
    ['source-error', 'Migration requires multi-channel URIs (e.g. tcp)'],
    ['target-error', 'Migration requires multi-channel URIs (e.g. tcp)'],
  ],
  'zero-copy': [['source-error', 'Zero copy send feature not detected in host kernel']],
  'postcopy-not-possible': [
    [
      'target-error',
      'Postcopy is not supported: Userfaultfd not available: Operation not permitted',
    ],
  ],
  'descriptor-gone': [['source-error', "File descriptor named 'nosuch' has not been found"]],
  'descriptor-is-file': [
    ['source-error', 'fd: migration to a file is not supported. Use file: instead.'],
  ],
  'not-a-migration': [
    // 7.2, 10.0
    ['target-stderr', 'qemu-system-x86_64: Not a migration stream'],
    [
      'target-error',
      'load of migration failed: Invalid argument: Not a migration stream, magic: 0 != 5145564d',
    ],
    ['target-stderr', 'qemu-system-x86_64: unknown channel magic: 1751477356'],
  ],
  cancelled: [['source-error', 'Switchover is interrupted']],
  'stream-cut': [
    ['target-stderr', 'qemu-system-x86_64: check_section_footer: Read section footer failed: -5'],
    [
      'target-error',
      'load of migration failed: Invalid argument: Section footer error, section_id: 1',
    ],
    ['target-error', 'load of migration failed: Input/output error'],
    [
      'target-error',
      'load of migration failed: Input/output error: Failed to load vmstate version_id: 4, ret: -5',
    ],
    [
      'target-stderr',
      'qemu-system-x86_64-backend-transfer: Failed to load net-tap state: stream error: -5',
    ],
  ],
  'nothing-arrived': [['target-stderr', 'qemu-system-x86_64: Failed to peek at channel']],
  'target-refused': [['target-error', 'load of migration failed: Invalid argument']],
  'target-told-failure': [['source-error', 'Sibling indicated error 1']],
  'channel-broken': [
    ['source-error', 'Unable to write to socket: Broken pipe'],
    ['source-error', 'Unable to read from socket: Connection reset by peer'],
    ['source-error', 'Channel error: Input/output error'],
    // 7.2
    ['source-error', 'Unable to write to socket: Bad file descriptor'],
    ['source-error', 'Bad file descriptor'],
  ],
};
