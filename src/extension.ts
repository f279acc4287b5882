import { EventEmitter, ExtensionMode, window, type ExtensionContext } from 'vscode';
import { locateHelper } from './fdpass/locate';
import { Pairs } from './migration/pair/pairs';
import { Runs } from './migration/run/runs';
import { devicePermissions } from './migration/settings/backendTransfer';
import { setCapability } from './migration/settings/capabilities';
import { summaries, type QemuMigrationApi } from './ui/api';
import { CommandRunner } from './ui/command';
import { ConnectionCommands } from './ui/commands/connectionCommands';
import { HelpCommands } from './ui/commands/helpCommands';
import { MachinePicker } from './ui/commands/machinePicker';
import { MigrationCommands } from './ui/commands/migrationCommands';
import { MigrationQuestions } from './ui/commands/migrationQuestions';
import { ParameterEditor } from './ui/commands/parameterEditor';
import { SettingCommands } from './ui/commands/settingCommands';
import { ContextKeys } from './ui/contextKeys';
import type { Contribution } from './ui/contribution';
import { Discovery } from './ui/discovery';
import { SettingId } from './ui/ids';
import { trafficLogger } from './ui/log';
import { MementoMachineStore } from './ui/machineStore';
import { MigrationReporter } from './ui/migrationReporter';
import { MementoPairStore } from './ui/pairStore';
import { PromptsSlot } from './ui/promptsSlot';
import { SavedListProblems } from './ui/savedListProblems';
import { followSetting, readSetting } from './ui/settings';
import { MachinesProvider } from './ui/tree/machinesProvider';
import { MachinesView } from './ui/tree/machinesView';
import { VscodePrompts } from './ui/vscodePrompts';
import { MachineRegistry } from './vm/registry';

/** Composition root: builds the objects, registers the contributions, waits for nothing. */
export function activate(context: ExtensionContext): QemuMigrationApi {
  const log = window.createOutputChannel('QEMU Migration', { log: true });
  const realPrompts = new VscodePrompts();
  const prompts = new PromptsSlot(realPrompts);
  const commands = new CommandRunner(log, prompts);
  const contextKeys = new ContextKeys();

  const registry = new MachineRegistry({
    store: new MementoMachineStore(context.globalState, log),
    onTraffic: trafficLogger(log),
    devicePermissions,
  });
  const runs = new Runs({
    registry,
    locateHelper: () => {
      const configuredPath = readSetting(SettingId.helperPath);
      return locateHelper({
        ...(configuredPath !== '' && { configuredPath }),
        bundledDirectory: context.asAbsolutePath('dist/bin'),
        platform: process.platform,
        arch: process.arch,
      });
    },
    log: (line) => log.info(line),
  });

  const pairs = new Pairs(new MementoPairStore(context.globalState, log));
  const provider = new MachinesProvider(registry, runs, pairs);
  const discovery = new Discovery(registry, contextKeys, prompts, log);
  const view = new MachinesView(
    registry,
    runs,
    provider,
    { switchCapability: setCapability },
    commands,
    contextKeys,
    discovery,
  );
  const picker = new MachinePicker(registry, prompts);
  const connection = new ConnectionCommands(registry, commands, prompts, picker, discovery, view);
  const questions = new MigrationQuestions(registry, prompts, () => connection.connect({}));
  const reporter = new MigrationReporter(prompts, log);
  const contributions: readonly Contribution[] = [
    view,
    connection,
    new SettingCommands(commands, prompts, picker, new ParameterEditor(prompts)),
    new MigrationCommands(registry, runs, commands, prompts, picker, questions, reporter),
    new HelpCommands(commands, provider, log),
    new SavedListProblems(registry, commands),
  ];

  const changes = new EventEmitter<void>();
  // Disposed from first to last: what shows goes before what is shown.
  context.subscriptions.push(
    ...contributions.map((contribution) => contribution.register()),
    followSetting(SettingId.sockets, (patterns) => {
      void commands.run(SettingId.sockets, () => registry.setConfigured(patterns));
    }),
    registry.onDidChange(() => changes.fire()),
    changes,
    provider,
    pairs,
    runs,
    registry,
    log,
  );
  registry.start();

  return {
    version: 1,
    machines: () => summaries(registry),
    onDidChangeMachines: changes.event,
    ...(context.extensionMode === ExtensionMode.Test && {
      forTests: {
        registry,
        runs,
        provider,
        prompts,
        realPrompts,
        globalState: context.globalState,
      },
    }),
  };
}
