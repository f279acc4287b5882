import { readOptions } from '../../vm/qemuOptions';
import { tryQemu, type Trial } from '../../vm/tryQemu';
import { keptOptions, valueOf, valuesOf, type CommandOption } from './commandLine';

/** What came of a rehearsal. */
export type Rehearsal =
  | { readonly kind: 'passed' }
  /** The program does not take the options; the text is its own. */
  | { readonly kind: 'failed'; readonly text: string }
  /** There is an option that cannot be tried without touching what the guest uses. */
  | { readonly kind: 'impossible'; readonly why: string };

/**
 * Options that reach nothing of the host but files that are read. Whatever is not listed, here or
 * in {@link rehearsed}, makes a rehearsal impossible: it may be an option that we never heard of.
 */
const harmless = new Set(
  (
    'name uuid cpu smp m accel machine M enable-kvm nodefaults no-user-config no-reboot no-shutdown ' +
    'rtc boot global L smbios acpitable no-acpi no-hpet usb overcommit msg action vga k icount ' +
    'only-migratable kernel initrd append bios dtb numa g semihosting mem-prealloc fw_cfg watchdog-action'
  ).split(' '),
);

/** They are left out: what they open exists once, or is written to. */
const leftOut = new Set(
  (
    'qmp qmp-pretty mon monitor pidfile display vnc spice nographic gdb s D d trace sandbox ' +
    'full-screen serial parallel debugcon'
  ).split(' '),
);

/** Devices that take something of the host at once. */
const takesHost =
  /^(vfio-|vhost-|usb-host|usb-redir|ivshmem|tpm-|scsi-(block|generic)|.*-gl\b|virtio-9p|vhost)/;

/**
 * The options with everything replaced that the guest uses: memory by fresh memory (a shared file
 * would be mapped, and with `discard-data` emptied), disks by empty ones, character devices and
 * networks by dead ends. What is left is whether the program knows machine, CPU, devices and their
 * properties.
 *
 * A rehearsal with the true disks and sockets would prove more, but none of these is safe: a socket
 * path would be taken over from the running QEMU, a TAP is busy, a `reservation` or a device of the
 * host is taken, and image formats write when they are opened by a side that believes to be alone.
 * So what is replaced here has to be the same as now, or the user has to insist.
 *
 * @returns the arguments, or the option that stands in the way
 */
export function rehearsalArgs(
  args: readonly string[],
): { readonly args: readonly string[] } | { readonly impossible: string } {
  const result: string[] = [];
  for (const option of keptOptions(args)) {
    if (leftOut.has(option.name)) continue;
    if (['machine', 'M'].includes(option.name) && /pflash\d=/.test(option.value ?? '')) {
      // They have to have the very size of their node.
      return { impossible: option.words.join(' ') };
    }
    const words = harmless.has(option.name) ? option.words : rehearsed(option);
    if (words === undefined) return { impossible: option.words.join(' ') };
    result.push(...words);
  }
  const own = ['-display', 'none', '-monitor', 'none', '-serial', 'none', '-parallel', 'none'];
  // It ends by itself when its input tells it so, and can never run: it waits for a migration.
  return { args: [...result, ...own, '-S', '-incoming', 'defer', '-qmp', 'stdio'] };
}

function rehearsed(option: CommandOption): readonly string[] | undefined {
  const { name, value = '' } = option;
  const id = valueOf(option, 'id');
  switch (name) {
    case 'device': {
      const { first, options } = readOptions(value);
      const driver = options.get('driver') ?? first ?? '';
      return takesHost.test(driver) ? undefined : option.words;
    }
    case 'object':
      return rehearsedObject(option, id);
    case 'blockdev': {
      const node = valueOf(option, 'node-name');
      // Nodes that others are made of are not needed any more, and do no harm.
      return node === undefined
        ? undefined
        : [
            '-blockdev',
            `driver=null-co,node-name=${node},size=1G,read-zeroes=on${readOnly(option)}`,
          ];
    }
    case 'drive': {
      // A flash chip has to have its very size, and may be read by another one besides.
      if (valueOf(option, 'if') === 'pflash') {
        return ['-drive', `${value},readonly=on,file.locking=off`];
      }
      const kept = valuesOf(option).filter(([key]) => ['id', 'if', 'index', 'media'].includes(key));
      const rest = kept.map(([key, text]) => `,${key}=${text.replaceAll(',', ',,')}`).join('');
      return ['-drive', `driver=null-co,size=1G,read-zeroes=on${readOnly(option)}${rest}`];
    }
    case 'netdev':
      return id === undefined ? undefined : ['-netdev', `hubport,hubid=0,id=${id}`];
    case 'chardev':
      return id === undefined ? undefined : ['-chardev', `null,id=${id}`];
    default:
      return undefined;
  }
}

function readOnly(option: CommandOption): string {
  const given = valueOf(option, 'read-only') ?? valueOf(option, 'readonly');
  return given === undefined ? '' : `,read-only=${given}`;
}

function rehearsedObject(
  option: CommandOption,
  id: string | undefined,
): readonly string[] | undefined {
  const { first, options } = readOptions(option.value ?? '');
  const type = valueOf(option, 'qom-type') ?? options.get('qom-type') ?? first ?? '';
  if (['iothread', 'rng-random', 'rng-builtin', 'throttle-group', 'main-loop'].includes(type)) {
    return option.words;
  }
  if (!/^memory-backend-(ram|memfd|file|shm)$/.test(type) || id === undefined) return undefined;
  const size = valueOf(option, 'size');
  // Never touched, so it takes no memory.
  return size === undefined
    ? undefined
    : ['-object', `memory-backend-ram,id=${id},size=${size},share=on,reserve=off`];
}

/** Starts the program once, apart from the guest, and sees whether it comes up. Never rejects. */
export async function rehearse(trial: Trial): Promise<Rehearsal> {
  const prepared = rehearsalArgs(trial.args);
  if ('impossible' in prepared) return { kind: 'impossible', why: prepared.impossible };
  const complaint = await tryQemu({ ...trial, args: prepared.args });
  return complaint === undefined ? { kind: 'passed' } : { kind: 'failed', text: complaint };
}
