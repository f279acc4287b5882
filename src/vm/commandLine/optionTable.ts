/**
 * The options of `qemu-system-*` 7.2 to 11.1 for all architectures, those that `-help` does not tell
 * included, as the option tables in the binaries have them. No option ever changed its arity.
 */
const withoutArgument = new Set(
  (
    'h help version async-teardown audio-help daemonize enable-kvm enable-sync-profile full-screen jitdump ' +
    'mem-prealloc no-acpi no-fd-bootchk no-hpet no-reboot no-shutdown no-user-config nodefaults nographic ' +
    'old-param one-insn-per-tb only-migratable perfmap portrait preconfig S s semihosting singlestep ' +
    'snapshot usb win2k-hack xen-attach xen-domid-restrict ' +
    // Gone before 7.2, kept so that an old script's next word is not eaten.
    '? alt-grab ctrl-grab curses enable-fips no-frame no-quit sdl'
  ).split(' '),
);

const withArgument = new Set(
  (
    'accel acpitable action add-fd append audio audiodev bios blockdev boot cdrom chardev chroot compat cpu d D ' +
    'debugcon device dfilter display drive dtb dump-vmstate echr fda fdb fsdev fw_cfg g gdb global hda hdb hdc ' +
    'hdd icount incoming initrd iscsi k kernel L loadvm m M machine mem-path mon monitor msg mtdblock name net ' +
    'netdev nic numa object option-rom overcommit parallel pflash pidfile plugin prom-env qmp qmp-pretty qtest ' +
    'qtest-log readconfig rotate rtc run-with runas sandbox sd seed semihosting-config serial set shim smbios smp ' +
    'spice tb-size tpmdev trace usbdevice uuid vga virtfs virtfs_synth virtioconsole vnc watchdog watchdog-action ' +
    'writeconfig xen-domid ' +
    // Of Proxmox alone.
    'id'
  ).split(' '),
);

/**
 * What an option takes.
 *
 * @returns `undefined` for an option that no QEMU from 7.2 to 11.1 has
 */
export function takesArgument(name: string): boolean | undefined {
  if (withoutArgument.has(name)) return false;
  return withArgument.has(name) ? true : undefined;
}

/** All options with whether they take an argument, in no order. */
export function knownOptions(): readonly (readonly [name: string, takesArgument: boolean])[] {
  return [
    ...[...withoutArgument].map((name) => [name, false] as const),
    ...[...withArgument].map((name) => [name, true] as const),
  ];
}

/**
 * The key of a first word without one, such as `virtio-net-pci` of `-device virtio-net-pci,id=a`, for
 * options made of keys and values. Without an entry: the value is not of that kind, or the first
 * word has a key as all others (`-drive`).
 */
const impliedKeys: Readonly<Record<string, string>> = {
  accel: 'accel',
  action: '',
  'add-fd': '',
  audio: 'driver',
  audiodev: 'driver',
  blockdev: 'driver',
  boot: 'order',
  chardev: 'backend',
  compat: '',
  device: 'driver',
  display: 'type',
  drive: '',
  fsdev: 'fsdriver',
  fw_cfg: 'name',
  icount: 'shift',
  iscsi: '',
  m: 'size',
  machine: 'type',
  M: 'type',
  mon: 'chardev',
  msg: '',
  name: 'guest',
  net: 'type',
  netdev: 'type',
  nic: 'type',
  numa: 'type',
  object: 'qom-type',
  overcommit: '',
  plugin: 'file',
  'run-with': '',
  rtc: '',
  sandbox: 'enable',
  'semihosting-config': 'enable',
  smbios: '',
  smp: 'cpus',
  spice: '',
  tpmdev: 'type',
  trace: 'enable',
  virtfs: 'fsdriver',
  vnc: 'vnc',
};

/** Whether the option's value is a list of keys and values (or the same in JSON). */
export function hasKeys(name: string): boolean {
  return Object.hasOwn(impliedKeys, name);
}

/** The key that the first word of such a value has when it names none; empty: it has to name one. */
export function impliedKey(name: string): string {
  return impliedKeys[name] ?? '';
}
