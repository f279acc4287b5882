import type { LogOutputChannel, Memento } from 'vscode';
import type { HelperLocation } from '../fdpass/locate';
import type { UpdateDesk } from '../migration/liveUpdate/desk';
import type { Pairs } from '../migration/pair/pairs';
import type { Journals } from '../migration/run/journal/journals';
import type { Runs } from '../migration/run/runs';
import type { SettingsHistory } from '../migration/settings/history';
import type { MachineRegistry } from '../vm/registry';
import type { CommandRunner } from './command';
import { ComparisonCommands } from './commands/comparisonCommands';
import { ConnectionCommands } from './commands/connectionCommands';
import { ControlCommands } from './commands/controlCommands';
import { CopyCommands } from './commands/copyCommands';
import { FilterCommands } from './commands/filterCommands';
import { GuestCommands } from './commands/guestCommands';
import { HelpCommands } from './commands/helpCommands';
import { HistoryCommands } from './commands/historyCommands';
import { LimitEditor } from './commands/limitEditor';
import { MachinePicker } from './commands/machinePicker';
import { MigrationCommands } from './commands/migrationCommands';
import { MigrationQuestions } from './commands/migrationQuestions';
import { PairCommands } from './commands/pairCommands';
import { PairedBackendTransfer } from './commands/pairedBackendTransfer';
import { PairPicker } from './commands/pairPicker';
import { PairQuestions } from './commands/pairQuestions';
import { ParameterEditor } from './commands/parameterEditor';
import { PreflightCommands } from './commands/preflightCommands';
import { PreflightList } from './commands/preflightList';
import { ProfileCommands } from './commands/profileCommands';
import { ResetCommands } from './commands/resetCommands';
import { RunPicker } from './commands/runPicker';
import { SettingCommands } from './commands/settingCommands';
import { SettingsChanger } from './commands/settingsChanger';
import { ContextKeys } from './contextKeys';
import type { Contribution } from './contribution';
import { ConvergenceNotices } from './convergenceNotices';
import { Discovery } from './discovery';
import { ProfileSchemaDocument } from './documents/profileSchemaDocument';
import { RunDocuments } from './documents/runDocuments';
import { SettingsDocuments } from './documents/settingsDocuments';
import type { LastFile } from './lastFile';
import { ArgumentDocuments } from './liveUpdate/argumentDocuments';
import { BinaryQuestion } from './liveUpdate/binaryQuestion';
import { LiveUpdateCommands } from './liveUpdate/liveUpdateCommands';
import { PlanDocuments } from './liveUpdate/planDocuments';
import { SeveralUpdates } from './liveUpdate/severalUpdates';
import { UpdateReporter } from './liveUpdate/updateReporter';
import { MigrationReporter } from './migrationReporter';
import type { OtherDrivers } from './otherDrivers';
import { ProfileDiagnostics } from './profiles/profileDiagnostics';
import { ProfileLibrary } from './profiles/profileLibrary';
import type { Prompts } from './prompts';
import { RunRecovery } from './runRecovery';
import { SavedListProblems } from './savedListProblems';
import type { MachinesProvider } from './tree/machinesProvider';
import { MachinesView } from './tree/machinesView';

/** What the parts of the extension share. */
export interface Services {
  readonly registry: MachineRegistry;
  readonly runs: Runs;
  readonly journals: Journals;
  readonly drivers: OtherDrivers;
  readonly pairs: Pairs;
  readonly history: SettingsHistory;
  readonly provider: MachinesProvider;
  readonly prompts: Prompts;
  readonly commands: CommandRunner;
  readonly lastFile: LastFile;
  /** As VS Code knows it: `PUBLISHER.NAME`. */
  readonly extensionId: string;
  readonly desk: UpdateDesk;
  readonly state: Memento;
  readonly log: LogOutputChannel;
  readonly locateHelper: () => Promise<HelperLocation>;
}

/** The parts of the extension that register themselves, each once. */
export function contributionsOf(services: Services): readonly Contribution[] {
  const { registry, runs, journals, drivers, pairs, history, provider, prompts, commands, log } =
    services;
  const contextKeys = new ContextKeys();
  const discovery = new Discovery(registry, contextKeys, prompts, log);
  const picker = new MachinePicker(registry, prompts);

  const changer = new SettingsChanger(history, commands, prompts);
  const editor = new ParameterEditor(prompts, history);
  const view = new MachinesView(
    registry,
    runs,
    provider,
    changer,
    commands,
    contextKeys,
    discovery,
  );
  const connection = new ConnectionCommands(registry, commands, prompts, picker, discovery, view);
  const runDocuments = new RunDocuments(journals);
  const runPicker = new RunPicker(registry, runs, prompts, picker);
  const limits = new LimitEditor(registry, prompts);
  const controls = new ControlCommands(registry, runs, commands, prompts, runPicker, limits);
  const questions = new MigrationQuestions(registry, prompts, connection, pairs, services.lastFile);
  const reporter = new MigrationReporter(prompts, log, runDocuments);
  const pairPicker = new PairPicker(registry, pairs, prompts);
  const pairQuestions = new PairQuestions(registry, pairs, prompts);
  const transfer = new PairedBackendTransfer(pairPicker, history, prompts);
  const preflight = new PreflightList(history, commands, prompts, {
    locateHelper: services.locateHelper,
    journals,
    machineAt: (id) => registry.get(id),
  });
  const library = new ProfileLibrary();
  const documents = new SettingsDocuments(registry, library);
  const { desk } = services;
  const plans = new PlanDocuments(desk, contextKeys);
  const args = new ArgumentDocuments(desk, plans, commands);
  const updateReporter = new UpdateReporter(prompts, log, plans);
  const recovery = new RunRecovery({
    ...{ journals, runs, desk, registry, reporter, updateReporter, prompts, log, drivers },
  });
  return [
    view,
    connection,
    new SettingCommands(commands, prompts, picker, editor, changer, view, provider, transfer),
    new HistoryCommands(history, registry, commands, prompts, contextKeys),
    new ResetCommands(history, changer, registry, provider, commands, prompts, picker),
    new CopyCommands(registry, provider, commands, prompts, picker),
    new FilterCommands(provider, commands, prompts),
    new PreflightCommands(registry, commands, picker, pairPicker, preflight),
    new MigrationCommands(
      registry,
      runs,
      commands,
      prompts,
      runPicker,
      questions,
      reporter,
      pairs,
      preflight,
      runDocuments,
      recovery,
    ),
    plans,
    args,
    new LiveUpdateCommands({
      ...{ registry, desk, commands, prompts, picker, plans, args },
      binaries: new BinaryQuestion(desk, prompts, services.state),
      reporter: updateReporter,
      several: new SeveralUpdates(desk, prompts, plans),
    }),
    controls,
    new ConvergenceNotices(runs, commands, prompts, controls),
    new GuestCommands(registry, journals, commands, prompts, picker),
    new PairCommands(
      registry,
      pairs,
      changer,
      commands,
      prompts,
      pairPicker,
      pairQuestions,
      provider,
    ),
    new ComparisonCommands(registry, commands, prompts, pairPicker, pairQuestions, documents),
    new ProfileCommands(
      registry,
      history,
      commands,
      prompts,
      picker,
      pairPicker,
      library,
      documents,
    ),
    documents,
    runDocuments,
    new ProfileSchemaDocument(),
    library,
    new ProfileDiagnostics(),
    recovery,
    new HelpCommands(commands, provider, log, services.extensionId),
    new SavedListProblems(registry, commands),
    new SavedListProblems(pairs, commands),
  ];
}
