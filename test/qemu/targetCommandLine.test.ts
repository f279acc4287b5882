import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, it } from 'mocha';
import { Probe } from '../../scripts/lib/probe';
import { spawnOwned, temporaryDirectory, type OwnedProcess } from '../../scripts/lib/processes';
import { provisionQemu, qemuVersions, type QemuBuild } from '../../scripts/lib/qemu';
import type {
  LiveDevice,
  RewriteFacts,
  RewrittenCommandLine,
} from '../../src/migration/liveUpdate/commandLineTypes';
import {
  configFilesOf,
  rewriteCommandLine,
} from '../../src/migration/liveUpdate/commandLine/rewrite';

interface Case {
  readonly name: string;
  /** `DIR` is a directory of the test's, `PORT` and the ports after it are free. */
  readonly args: string;
  readonly files?: Readonly<Record<string, string>>;
  /** Ids of devices that are said to be gone. */
  readonly unplugged?: readonly string[];
  /** Ports, from `PORT` on, at which the target answers when the source is gone. */
  readonly ports?: readonly number[];
}

const cases: readonly Case[] = [
  {
    name: 'forwarded ports, VNC and places left to QEMU',
    args:
      '-M q35 -nodefaults -qmp unix:DIR/qmp,server,nowait -netdev user,id=n0,hostfwd=tcp:127.0.0.1:PORT-:22 ' +
      '-device virtio-net-pci,netdev=n0,id=nic0 -device virtio-rng-pci -device virtio-balloon-pci,id=b0 ' +
      '-vnc 127.0.0.1:VNC -S',
    ports: [0, 1],
  },
  {
    name: 'the old style, with parts that QEMU names itself',
    args:
      '-machine pc,usb=on -display none -drive file=DIR/a,,b.img,if=virtio,format=raw -hda DIR/disk.img ' +
      '-nic user,model=e1000,hostfwd=tcp:127.0.0.1:PORT-:22 -monitor unix:DIR/monitor,server,nowait ' +
      '-qmp unix:DIR/qmp,server,nowait -usbdevice tablet -serial file:DIR/serial',
    files: { 'a,b.img': '0'.repeat(65536), 'disk.img': '0'.repeat(65536) },
    ports: [0],
  },
  {
    name: 'character devices at ports, a gdb stub, a socket that waits, a log',
    args:
      '--machine q35 -nodefaults -display none --qmp unix:DIR/qmp,server=on -chardev ' +
      'socket,id=s0,host=127.0.0.1,port=PORT,server=on,wait=off -device isa-serial,chardev=s0,id=ser0 ' +
      '-gdb tcp:127.0.0.1:NEXT -D DIR/log -pidfile DIR/pid -chardev ' +
      'socket,path=DIR/ga,server=on,wait=off,id=ga -device virtio-serial,id=vs -device ' +
      'virtserialport,chardev=ga,name=org.qemu.guest_agent.0,id=port0 -chardev file,id=f,path=DIR/file ' +
      '-device isa-serial,chardev=f',
    ports: [0, 1],
  },
  {
    name: 'JSON, as libvirt writes it',
    args:
      '-name guest=a,debug-threads=on -S -M q35,usb=off,memory-backend=ram0 -m 256 -object ' +
      '{"qom-type":"memory-backend-memfd","id":"ram0","share":true,"size":268435456} -nodefaults ' +
      '-no-user-config -display none -chardev socket,id=mon,path=DIR/qmp,server=on,wait=off ' +
      '-mon chardev=mon,id=monitor,mode=control -device ' +
      '{"driver":"pcie-root-port","id":"pci.1","chassis":1,"bus":"pcie.0","multifunction":true,"addr":"0x2"} -device ' +
      '{"driver":"pcie-root-port","id":"pci.2","chassis":2,"bus":"pcie.0","addr":"0x2.0x1"} -blockdev ' +
      '{"driver":"file","filename":"DIR/disk.img","node-name":"st","auto-read-only":true} -blockdev ' +
      '{"driver":"raw","node-name":"fmt","read-only":false,"file":"st"} -device ' +
      '{"driver":"virtio-blk-pci","bus":"pci.1","addr":"0x0","drive":"fmt","id":"vd0"} -netdev ' +
      '{"type":"user","id":"hostnet0","hostfwd":[{"str":"tcp:127.0.0.1:PORT-:22"}]} -device ' +
      '{"driver":"virtio-net-pci","netdev":"hostnet0","id":"net0","bus":"pci.2","addr":"0x0"} ' +
      '-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny -msg timestamp=on',
    files: { 'disk.img': '0'.repeat(65536) },
    ports: [0],
  },
  {
    name: 'a file for -readconfig with the QMP socket in it',
    args: '-nodefaults -display none -readconfig DIR/vm.conf',
    files: {
      'vm.conf':
        '[machine]\n  type = "q35"\n[chardev "monitor"]\n  backend = "socket"\n  path = "DIR/qmp"\n' +
        '  server = "on"\n  wait = "off"\n[mon]\n  chardev = "monitor"\n  mode = "control"\n' +
        '[device "rp0"]\n  driver = "pcie-root-port"\n  addr = "3.0"\n[smp-opts]\n  cpus = "2"\n' +
        '[memory]\n  size = "128M"\n',
    },
  },
  {
    name: 'a device unplugged since the start',
    args:
      '-M q35 -nodefaults -display none -qmp unix:DIR/qmp,server=on,wait=off -device virtio-rng-pci,id=first ' +
      '-device virtio-rng-pci,id=gone -device virtio-balloon-pci,id=b0 -device qemu-xhci,id=usb ' +
      '-device usb-tablet,id=tab',
    unplugged: ['gone'],
  },
  {
    name: 'a console on the terminal',
    args: '-M q35 -nographic -nic none -qmp unix:DIR/qmp,server=on,wait=off',
  },
];

describe("a target started from the source's command line", function () {
  this.timeout(180_000);
  const running: OwnedProcess[] = [];
  const cleanUp: (() => Promise<void>)[] = [];

  afterEach(async () => {
    for (const process of running.splice(0)) await process.stop();
    for (const clean of cleanUp.splice(0)) await clean();
  });

  const start = async (build: QemuBuild, args: readonly string[]): Promise<OwnedProcess> => {
    const owned = await spawnOwned(build.binary, [...build.prefixArgs, ...args], {
      env: build.env,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    running.push(owned);
    return owned;
  };

  for (const version of qemuVersions) {
    for (const one of cases) {
      it(`QEMU ${version} comes up beside it with the same devices: ${one.name}`, async () => {
        const build = await provisionQemu(version);
        const temporary = temporaryDirectory('cmd');
        cleanUp.push(() => temporary.remove());
        const directory = temporary.path;
        const port = await freePorts();
        const filled = (text: string): string =>
          text
            .replaceAll('DIR', directory)
            .replaceAll('PORT', String(port))
            .replaceAll('NEXT', String(port + 1))
            .replaceAll('VNC', String(port + 1 - 5900));
        for (const [name, text] of Object.entries(one.files ?? {})) {
          await writeFile(path.join(directory, name), filled(text));
        }
        const args = one.args.split(' ').map(filled);
        const qmp = path.join(directory, 'qmp');
        const source = await start(build, args);
        const before = new Probe(qmp);
        await answers(before, source);
        const type = await machineType(before);
        const devices = await liveDevices(before);
        const configFiles = new Map<string, string>();
        for (const name of configFilesOf(args)) configFiles.set(name, await readFile(name, 'utf8'));
        const facts: RewriteFacts = {
          args,
          cwd: process.cwd(),
          machineType: type,
          guestRuns: true,
          configFiles,
          taps: new Map(),
          descriptors: new Map(),
          live: {
            devices: devices.filter(({ id }) => one.unplugged?.includes(id) !== true),
            ...{ netdevs: undefined, objects: undefined, chardevs: undefined, blocks: undefined },
          },
        };
        const rewritten = rewriteCommandLine(facts, {
          ownPath: (name) => path.join(directory, `${path.basename(name)}.new`),
          qmpSocket: `${qmp}.new`,
          oldQmpSocket: qmp,
          incoming: ['defer'],
          taps: 'adopt',
          machineType: type,
        });
        assert.deepEqual(
          rewritten.findings.filter(({ level }) => level === 'blocks'),
          [],
        );
        const target = await start(build, rewritten.args);
        const after = new Probe(`${qmp}.new`);
        await answers(after, target);
        assert.deepEqual(await after.execute('query-status'), await waiting(after));
        const missing = one.unplugged ?? [];
        assert.deepEqual(
          await peripherals(after),
          (await peripherals(before)).filter((name) => !missing.includes(name.split(' ')[0] ?? '')),
        );
        const gone = (line: string): boolean => missing.some((id) => line.endsWith(` ${id}`));
        assert.deepEqual(
          await pciSlots(after),
          (await pciSlots(before)).filter((line) => !gone(line)),
        );
        assert.equal(await machineType(after), type);
        // The source is as it was.
        assert.ok(await before.execute('query-status'));
        await source.stop();
        await lateCommands(after, rewritten);
        for (const offset of one.ports ?? []) await connects(port + offset);
        after.close();
        before.close();
      });
    }
  }
});

async function answers(probe: Probe, process: OwnedProcess): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      await probe.execute('query-status');
      return;
    } catch (error) {
      if (process.hasExited() || Date.now() > deadline) throw error;
      await sleep(30);
    }
  }
}

/** What a target says that waits. */
async function waiting(probe: Probe): Promise<unknown> {
  const status = (await probe.execute('query-status')) as Record<string, unknown>;
  return { ...status, status: 'inmigrate', running: false };
}

async function machineType(probe: Probe): Promise<string> {
  const type = await probe.execute('qom-get', { path: '/machine', property: 'type' });
  return String(type).replace(/-machine$/, '');
}

async function peripherals(probe: Probe): Promise<readonly string[]> {
  const lists = await Promise.all(
    ['/machine/peripheral', '/machine/peripheral-anon'].map(
      async (at) =>
        (await probe.execute('qom-list', { path: at })) as { name: string; type: string }[],
    ),
  );
  return lists
    .flat()
    .map(({ name, type }) => `${name} ${type}`)
    .sort();
}

async function pciSlots(probe: Probe): Promise<readonly string[]> {
  const buses = (await probe.execute('query-pci')) as {
    bus: number;
    devices: {
      slot: number;
      function: number;
      qdev_id: string;
      id: { vendor: number; device: number };
    }[];
  }[];
  return buses
    .filter(({ bus }) => bus === 0)
    .flatMap(({ devices }) =>
      devices.map(
        (one) => `${one.slot}.${one.function} ${one.id.vendor}:${one.id.device} ${one.qdev_id}`,
      ),
    );
}

/** With the places that QEMU gave them. */
async function liveDevices(probe: Probe): Promise<readonly LiveDevice[]> {
  const list = (await probe.execute('qom-list', { path: '/machine/peripheral' })) as {
    name: string;
    type: string;
  }[];
  return Promise.all(
    list
      .filter(({ type }) => type.startsWith('child<'))
      .map(async ({ name, type }): Promise<LiveDevice> => {
        const get = (property: string): Promise<unknown> =>
          probe
            .execute('qom-get', { path: `/machine/peripheral/${name}`, property })
            .catch(() => undefined);
        const [addr, port] = await Promise.all([get('addr'), get('port')]);
        const options = new Map<string, string>();
        if (typeof addr === 'number')
          options.set('addr', `${(addr >> 3).toString(16)}.${addr & 7}`);
        else if (typeof addr === 'string') options.set('addr', addr);
        if (typeof port === 'string' && port !== '') options.set('port', port);
        return { id: name, driver: type.slice('child<'.length, -1), options };
      }),
  );
}

/** As they are sent when the source is gone; a monitor command that says nothing, or that it waits, worked. */
async function lateCommands(probe: Probe, { late }: RewrittenCommandLine): Promise<void> {
  for (const { what, command, args } of late) {
    const said = await probe.execute(command, args);
    if (command !== 'human-monitor-command') continue;
    assert.match(String(said).trim(), /^(Waiting for gdb connection.*)?$/, what);
  }
}

async function connects(port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve();
    });
    socket.on('error', (error) =>
      reject(new Error(`Nobody listens at port ${port}`, { cause: error })),
    );
  });
}

/** Two that follow each other. */
async function freePorts(): Promise<number> {
  for (;;) {
    const port = 21_000 + Math.floor(Math.random() * 8_000);
    const free = await Promise.all([port, port + 1].map(isFree));
    if (free.every(Boolean)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.on('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => {
      server.close(() => resolve(true));
    });
  });
}
