import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { GuestVariant } from './guest';
import { temporaryDirectory } from './processes';
import { startQemu, type QemuBuild, type QemuProcess } from './qemu';
import { writeWhole } from './steps';
import { quietSettings } from './vscodeServer';

/** Two small QEMUs of our own, one with a running guest, one waiting for it, and a folder to open. */
export interface Sandbox {
  readonly directory: string;
  readonly folder: string;
  readonly source: QemuProcess;
  readonly target: QemuProcess;
  /** Workspace settings that make the extension connect to both. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Ends both QEMUs and removes the directory. */
  readonly stop: () => Promise<void>;
}

/** Starts the sandbox in a new private directory. */
export async function startSandbox(
  build: QemuBuild,
  guest: GuestVariant = 'dirtying',
): Promise<Sandbox> {
  // Private, because who can write to a QMP socket owns the VM.
  const temporary = temporaryDirectory('sandbox');
  const directory = temporary.path;
  const started: QemuProcess[] = [];
  const stop = async () => {
    await Promise.all(started.map((qemu) => qemu.stop()));
    await temporary.remove();
  };
  try {
    // The same machine on both sides, down to the UUID: what a migration needs.
    const common = { build, directory, guest, uuid: randomUUID() };
    const source = await startQemu({ ...common, name: 'sandbox-source' });
    started.push(source);
    const target = await startQemu({ ...common, name: 'sandbox-target', incoming: true });
    started.push(target);
    const folder = join(directory, 'sandbox');
    const settings = {
      ...quietSettings,
      'qemuMigration.sockets': [source.qmpSocket, target.qmpSocket],
    };
    await writeWhole(join(folder, '.vscode', 'settings.json'), JSON.stringify(settings, null, 2));
    await writeWhole(join(folder, 'README.md'), readme(build, source, target));
    return { directory, folder, source, target, settings, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function readme(build: QemuBuild, source: QemuProcess, target: QemuProcess): string {
  return `# Sandbox

Two QEMU ${build.version} processes for trying QEMU Migration. They end with \`npm start\`, and so does this folder.

| VM | what it is | QMP socket of the extension | second QMP socket, for you |
|---|---|---|---|
| sandbox-source | pid ${source.pid}, runs a guest that keeps writing to memory | \`${source.qmpSocket}\` | \`${source.probeSocket}\` |
| sandbox-target | pid ${target.pid}, started with \`-incoming defer\`, waits for the guest | \`${target.qmpSocket}\` | \`${target.probeSocket}\` |

Both are in the sidebar, under QEMU Migration. Migrate sandbox-source to sandbox-target there.

The guest has no operating system: a boot sector that writes to every page of 8 MiB, round after round. Its count of
rounds stands at the address 0x600: \`xp /1wx 0x600\` in QEMU's monitor shows it. It goes on counting on the target.
`;
}
