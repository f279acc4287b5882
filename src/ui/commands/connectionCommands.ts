import { Disposable, l10n } from 'vscode';
import { discoverQemus } from '../../vm/discovery';
import type { MachineRegistry } from '../../vm/registry';
import { completeSocketPath } from '../../vm/socketCompletion';
import type { MachineHandle, MachineSnapshot } from '../../vm/types';
import type { CommandRunner, CommandTarget } from '../command';
import type { Contribution } from '../contribution';
import type { Discovery } from '../discovery';
import { CommandId } from '../ids';
import { back, type PromptItem, type Prompts } from '../prompts';
import type { MachinesView } from '../tree/machinesView';
import { machineItem, type MachinePicker } from './machinePicker';

/** Connect, disconnect, remove, refresh, discover. */
export class ConnectionCommands implements Contribution {
  private readonly registry: MachineRegistry;
  private readonly commands: CommandRunner;
  private readonly prompts: Prompts;
  private readonly picker: MachinePicker;
  private readonly discovery: Discovery;
  private readonly view: MachinesView;

  constructor(
    registry: MachineRegistry,
    commands: CommandRunner,
    prompts: Prompts,
    picker: MachinePicker,
    discovery: Discovery,
    view: MachinesView,
  ) {
    this.registry = registry;
    this.commands = commands;
    this.prompts = prompts;
    this.picker = picker;
    this.discovery = discovery;
    this.view = view;
  }

  register(): Disposable {
    const { commands } = this;
    return Disposable.from(
      commands.register(CommandId.connect, (target) => this.connect(target)),
      commands.register(CommandId.connectMachine, (target) => this.connect(target)),
      commands.register(CommandId.disconnect, (target) => this.disconnect(target)),
      commands.register(CommandId.remove, (target) => this.remove(target)),
      commands.register(CommandId.refresh, () => this.refreshAll()),
      commands.register(CommandId.refreshMachine, (target) => this.refreshMachine(target)),
      commands.register(CommandId.discover, () => this.discover()),
    );
  }

  /** Connects to the path given or chosen. */
  async connect(target: CommandTarget): Promise<MachineHandle | undefined> {
    const socketPath = target.machineId ?? (await this.askPath());
    if (socketPath === undefined) return undefined;
    const machine = await this.prompts.progress(
      { title: l10n.t('Connecting to {0}', socketPath), where: 'view' },
      () => this.registry.connect(socketPath),
    );
    await this.view.reveal(machine.id);
    return machine;
  }

  /** Takes one onto the list that may come up only later; it is connected when it does. */
  async expect(): Promise<MachineHandle | undefined> {
    const socketPath = await this.askPath();
    return socketPath === undefined ? undefined : this.registry.attach(socketPath);
  }

  private async askPath(): Promise<string | undefined> {
    // Looked for once, while the picker is open already.
    const running = this.findRunning();
    const path = await this.prompts.pick<string>({
      title: l10n.t('Connect to QEMU'),
      placeholder: l10n.t('Path of a QMP socket, such as /run/vm/a.qmp'),
      items: async (typed) => {
        const text = expandHome(typed.trim());
        return text.startsWith('/') ? pathItems(text) : [...(await running), ...this.remembered()];
      },
      acceptTyped: (typed) => {
        const text = expandHome(typed.trim());
        return text.startsWith('/') ? text : undefined;
      },
    });
    return path === back ? undefined : path;
  }

  private async findRunning(): Promise<readonly PromptItem<string>[]> {
    const found = await discoverQemus().catch(() => []);
    return found.flatMap(({ process, name, sockets }) => {
      if (sockets.some((socket) => this.isConnected(socket))) return [];
      return sockets.map((socket) => ({
        label: name ?? socket.slice(socket.lastIndexOf('/') + 1),
        value: socket,
        icon: 'vm-running',
        description: l10n.t('pid {0}', process.pid),
        detail: socket,
        group: l10n.t('running'),
      }));
    });
  }

  private isConnected(id: string): boolean {
    return this.registry.get(id)?.snapshot.state.kind === 'ready';
  }

  private remembered(): readonly PromptItem<string>[] {
    return this.registry.machines
      .filter(({ snapshot }) => snapshot.origin !== 'discovered' && !this.isConnected(snapshot.id))
      .map(({ snapshot }) => ({ ...machineItem(snapshot), group: l10n.t('in the list') }));
  }

  private async disconnect(target: CommandTarget): Promise<void> {
    const machine = await this.picker.choose(target, {
      title: l10n.t('Disconnect'),
      refuse: ({ state }) => (state.kind === 'idle' ? l10n.t('Not connected.') : undefined),
    });
    if (machine !== undefined) await this.registry.disconnect(machine.id);
  }

  private async remove(target: CommandTarget): Promise<void> {
    const machine = await this.picker.choose(target, {
      title: l10n.t('Remove from List'),
      refuse: () => undefined,
    });
    if (machine !== undefined) await this.registry.remove(machine.id);
  }

  private async refreshAll(): Promise<void> {
    const ready = this.registry.machines.filter(({ snapshot }) => isReady(snapshot));
    await Promise.all([
      this.discovery.search(),
      // One that fails says so in its own rows and keeps no other from being read.
      Promise.allSettled(ready.map((machine) => machine.refresh())),
    ]);
  }

  /** Reads one machine again; one that is not connected is connected. */
  private async refreshMachine(target: CommandTarget): Promise<void> {
    const machine = await this.picker.choose(target, {
      title: l10n.t('Refresh'),
      refuse: () => undefined,
    });
    if (machine === undefined) return;
    if (isReady(machine.snapshot)) await machine.refresh();
    else await this.connect({ machineId: machine.id });
  }

  private async discover(): Promise<void> {
    if (!(await this.discovery.search())) {
      throw new Error(l10n.t('Running QEMUs could not be looked for on this machine.'));
    }
    const found = this.registry.machines.filter(({ snapshot }) => snapshot.process !== undefined);
    if (found.length > 0) return;
    void this.prompts.message(
      'information',
      l10n.t(
        'No running QEMU with a QMP socket was found. Start it with "-qmp unix:/run/vm/a.qmp,server=on,wait=off", or connect by path.',
      ),
    );
  }
}

function isReady({ state }: MachineSnapshot): boolean {
  return state.kind === 'ready';
}

function expandHome(text: string): string {
  const home = process.env['HOME'];
  return home !== undefined && /^~(?=\/|$)/.test(text) ? home + text.slice(1) : text;
}

/** What exists at a path that is being typed, and the path itself. */
async function pathItems(typed: string): Promise<readonly PromptItem<string>[]> {
  const found = await completeSocketPath(typed);
  const items = found.map(({ path, kind }): PromptItem<string> => {
    return kind === 'directory'
      ? { label: path, value: path, icon: 'folder', fill: path, always: true }
      : { label: path, value: path, icon: 'plug', always: true };
  });
  if (typed.endsWith('/') || found.some(({ path }) => path === typed)) return items;
  const asTyped: PromptItem<string> = {
    label: l10n.t('Connect to {0}', typed),
    value: typed,
    icon: 'arrow-right',
    always: true,
  };
  return [...items, asTyped];
}
