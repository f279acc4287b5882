import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { linuxAddresses, provisionLinuxGuest } from '../../scripts/lib/linuxGuest';
import { spawnOwned, type OwnedProcess } from '../../scripts/lib/processes';
import type { QemuBuild } from '../../scripts/lib/qemu';

/** Where the guest's memory is, which is what decides on how it can be handed over. */
export type MemoryPlace = 'plain' | 'memfd' | 'file';

export interface LinuxOptions {
  readonly build: QemuBuild;
  readonly directory: string;
  readonly memory: MemoryPlace;
  /** `vmxnet3` where the two QEMUs do not agree on virtio-net. */
  readonly nic: 'virtio-net-pci' | 'vmxnet3';
  readonly queues: 1 | 2;
  /** Below a root port instead of on the root bus. */
  readonly rootPort?: boolean;
}

/** A QEMU with the Linux guest on TAP `tap0`, in the network namespace of this process. */
export interface LinuxQemu {
  readonly owned: OwnedProcess;
  /** For the product; `probe` is for who looks from outside. */
  readonly qmp: string;
  readonly probe: string;
  readonly args: readonly string[];
}

/** Makes `tap0` and gives it the host's address. Only in a namespace of one's own. */
export function makeTap(queues: 1 | 2): void {
  const ip = (...args: string[]): void => void execFileSync('ip', args);
  ip('link', 'set', 'lo', 'up');
  const multi = queues > 1 ? ['multi_queue'] : [];
  ip('tuntap', 'add', 'dev', 'tap0', 'mode', 'tap', ...multi);
  ip('addr', 'add', `${linuxAddresses.host}/24`, 'dev', 'tap0');
  ip('link', 'set', 'tap0', 'up');
}

export async function startLinux(options: LinuxOptions): Promise<LinuxQemu> {
  const { build, directory, memory, nic, queues } = options;
  const guest = await provisionLinuxGuest();
  const qmp = join(directory, 'vm.qmp');
  const probe = join(directory, 'vm.probe');
  const backend =
    memory === 'memfd'
      ? 'memory-backend-memfd,id=ram0,size=128M,share=on'
      : `memory-backend-file,id=ram0,size=128M,share=on,mem-path=${join(directory, 'ram')}`;
  // What cpr needs besides; 7.2 does not know it.
  const cpr = memory === 'memfd' && build.name !== '7.2' ? ',aux-ram-share=on' : '';
  const multi = queues > 1 ? `,mq=on,vectors=${2 * queues + 2}` : '';
  const bus = options.rootPort === true ? 'bus=rp0' : 'bus=pcie.0,addr=0x3';
  const args = [
    ...build.prefixArgs,
    ...['-M', memory === 'plain' ? build.machine : `${build.machine},memory-backend=ram0${cpr}`],
    ...(memory === 'plain' ? [] : ['-object', backend]),
    ...['-accel', 'tcg', '-m', '128', '-smp', String(queues), '-nodefaults', '-display', 'none'],
    ...['-name', 'web', '-uuid', '5ec0f6a2-7e5c-4f0f-9d6c-0d9b2f3f9b11'],
    ...['-qmp', `unix:${qmp},server=on,wait=off`, '-qmp', `unix:${probe},server=on,wait=off`],
    ...['-serial', `file:${join(directory, 'vm.serial')}`],
    ...['-kernel', guest.kernel, '-initrd', guest.initrd],
    ...['-append', 'console=ttyS0 quiet panic=1 dirty_mib=8'],
    ...['-device', 'pcie-root-port,id=rp0,bus=pcie.0,addr=0x4,chassis=1'],
    ...[
      '-netdev',
      `tap,id=net0,ifname=tap0,script=no,downscript=no${queues > 1 ? `,queues=${queues}` : ''}`,
    ],
    ...['-device', `${nic},netdev=net0,id=nic0,mac=52:54:00:77:00:02,${bus}${multi}`],
  ];
  const owned = await spawnOwned(build.binary, args, {
    env: build.env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return { owned, qmp, probe, args };
}

/** How many descriptors of `tap0` the process has. */
export function tapsOf(pid: number): number {
  return tapDescriptors(pid).length;
}

/** The queues of `tap0` that the process has, in their order. */
export function heldTaps(pid: number): readonly { readonly fd: number; readonly ifname: string }[] {
  return tapDescriptors(pid).map((fd) => ({ fd, ifname: 'tap0' }));
}

function tapDescriptors(pid: number): readonly number[] {
  const holds = (fd: string): boolean => {
    try {
      return /^iff:\s*tap0$/m.test(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'));
    } catch {
      return false;
    }
  };
  return readdirSync(`/proc/${pid}/fdinfo`)
    .filter(holds)
    .map(Number)
    .sort((a, b) => a - b);
}
