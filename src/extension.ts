import { join } from 'node:path';
import { EventEmitter, ExtensionMode, window, type ExtensionContext } from 'vscode';
import { helperFinder } from './fdpass/finder';
import { locateHelper } from './fdpass/locate';
import { DeskSlot } from './migration/liveUpdate/deskSlot';
import { openUpdateDesk } from './migration/liveUpdate/openDesk';
import { Pairs } from './migration/pair/pairs';
import { stateDirectory } from './migration/run/journal/files';
import { Journals } from './migration/run/journal/journals';
import { Runs } from './migration/run/runs';
import { devicePermissions } from './migration/settings/backendTransfer';
import { SettingsHistory } from './migration/settings/history';
import { summaries, type QemuMigrationApi } from './ui/api';
import { CommandRunner } from './ui/command';
import { contributionsOf } from './ui/contributions';
import { SettingId } from './ui/ids';
import { LastFile } from './ui/lastFile';
import { trafficLogger } from './ui/log';
import { MementoMachineStore } from './ui/machineStore';
import { OrderlyMemento } from './ui/orderlyMemento';
import { OtherDrivers } from './ui/otherDrivers';
import { MementoPairStore } from './ui/pairStore';
import { PromptsSlot } from './ui/promptsSlot';
import { followSetting, readSetting } from './ui/settings';
import { MachinesProvider } from './ui/tree/machinesProvider';
import { VscodePrompts } from './ui/vscodePrompts';
import { MachineRegistry } from './vm/registry';

/** Composition root: builds the objects, registers the contributions, waits for nothing. */
export function activate(context: ExtensionContext): QemuMigrationApi {
  const log = window.createOutputChannel('QEMU Migration', { log: true });
  const realPrompts = new VscodePrompts();
  const prompts = new PromptsSlot(realPrompts);
  const commands = new CommandRunner(log, prompts);

  const state = new OrderlyMemento(context.globalState);
  const findHelper = (): ReturnType<typeof locateHelper> => {
    const configuredPath = readSetting(SettingId.helperPath);
    return locateHelper({
      ...(configuredPath !== '' && { configuredPath }),
      bundledDirectory: context.asAbsolutePath('dist/bin'),
      platform: process.platform,
      arch: process.arch,
    });
  };
  const registry = new MachineRegistry({
    store: new MementoMachineStore(state, log),
    onTraffic: trafficLogger(log),
    devicePermissions,
    findHelper: helperFinder(findHelper),
  });
  const isTest = context.extensionMode === ExtensionMode.Test;
  const journals = new Journals({
    // Shared with all windows and with the command line.
    directory: isTest ? join(context.globalStorageUri.fsPath, 'state') : stateDirectory(),
    program: 'the VS Code extension',
    log: (line) => log.warn(line),
  });
  const runs = new Runs({
    registry,
    journals,
    locateHelper: findHelper,
    log: (line) => log.info(line),
  });

  const history = new SettingsHistory(registry);
  const pairs = new Pairs(new MementoPairStore(state, log));
  const drivers = new OtherDrivers();
  const desk = new DeskSlot(
    openUpdateDesk({
      ...{ registry, runs, journals, locateHelper: findHelper },
      log: (line) => log.info(line),
    }),
  );
  const provider = new MachinesProvider(registry, runs, pairs, drivers, desk);
  const services = {
    ...{ registry, runs, journals, drivers, pairs, history, provider, prompts, commands, log },
    ...{ desk, state },
    lastFile: new LastFile(state),
    extensionId: context.extension.id,
    locateHelper: findHelper,
  };

  const changes = new EventEmitter<void>();
  // Disposed from first to last: what shows goes before what is shown.
  context.subscriptions.push(
    ...contributionsOf(services).map((contribution) => contribution.register()),
    followSetting(SettingId.sockets, (patterns) => {
      void commands.run(SettingId.sockets, () => registry.setConfigured(patterns));
    }),
    registry.onDidChange(() => changes.fire()),
    changes,
    provider,
    history,
    drivers,
    pairs,
    desk,
    runs,
    registry,
    log,
  );
  registry.start();

  return {
    version: 1,
    machines: () => summaries(registry),
    onDidChangeMachines: changes.event,
    ...(isTest && {
      forTests: {
        registry,
        runs,
        desk,
        journals,
        pairs,
        history,
        provider,
        prompts,
        realPrompts,
        globalState: context.globalState,
      },
    }),
  };
}
