/**
 * The one register of the names that this extension shares with its manifest. A unit test compares
 * it with `package.json` both ways; nothing else spells these strings.
 */

export const CommandId = {
  connect: 'qemuMigration.connect',
  connectMachine: 'qemuMigration.connectMachine',
  disconnect: 'qemuMigration.disconnect',
  remove: 'qemuMigration.remove',
  refresh: 'qemuMigration.refresh',
  refreshMachine: 'qemuMigration.refreshMachine',
  discover: 'qemuMigration.discover',
  toggleBackendTransfer: 'qemuMigration.toggleBackendTransfer',
  toggleCapability: 'qemuMigration.toggleCapability',
  toggleFocused: 'qemuMigration.toggleFocused',
  chooseCapabilities: 'qemuMigration.chooseCapabilities',
  setParameter: 'qemuMigration.setParameter',
  toggleBackendTransferHere: 'qemuMigration.toggleBackendTransferHere',
  resetSetting: 'qemuMigration.resetSetting',
  resetAllSettings: 'qemuMigration.resetAllSettings',
  undoSettings: 'qemuMigration.undoSettings',
  filterSettings: 'qemuMigration.filterSettings',
  clearFilter: 'qemuMigration.clearFilter',
  showChangedOnly: 'qemuMigration.showChangedOnly',
  showAllSettings: 'qemuMigration.showAllSettings',
  pair: 'qemuMigration.pair',
  unpair: 'qemuMigration.unpair',
  compare: 'qemuMigration.compare',
  applyToBoth: 'qemuMigration.applyToBoth',
  applyToOther: 'qemuMigration.applyToOther',
  applySourceToTarget: 'qemuMigration.applySourceToTarget',
  applyProfile: 'qemuMigration.applyProfile',
  compareProfile: 'qemuMigration.compareProfile',
  saveProfile: 'qemuMigration.saveProfile',
  openProfiles: 'qemuMigration.openProfiles',
  copySettingsAs: 'qemuMigration.copySettingsAs',
  copyAsQmp: 'qemuMigration.copyAsQmp',
  copyAsHmp: 'qemuMigration.copyAsHmp',
  copyAsGlobal: 'qemuMigration.copyAsGlobal',
  copyAsCli: 'qemuMigration.copyAsCli',
  preflight: 'qemuMigration.preflight',
  migrate: 'qemuMigration.migrate',
  cancelMigration: 'qemuMigration.cancelMigration',
  saveGuest: 'qemuMigration.saveGuest',
  restoreGuest: 'qemuMigration.restoreGuest',
  liveUpdate: 'qemuMigration.liveUpdate',
  runLiveUpdate: 'qemuMigration.runLiveUpdate',
  refreshUpdatePlan: 'qemuMigration.refreshUpdatePlan',
  editUpdateCommandLine: 'qemuMigration.editUpdateCommandLine',
  chooseUpdateMethod: 'qemuMigration.chooseUpdateMethod',
  copyUpdateScript: 'qemuMigration.copyUpdateScript',
  cancelLiveUpdate: 'qemuMigration.cancelLiveUpdate',
  showUpdateDetails: 'qemuMigration.showUpdateDetails',
  controls: 'qemuMigration.controls',
  startPostcopy: 'qemuMigration.startPostcopy',
  releaseSwitchover: 'qemuMigration.releaseSwitchover',
  changeLimits: 'qemuMigration.changeLimits',
  pausePostcopy: 'qemuMigration.pausePostcopy',
  recoverPostcopy: 'qemuMigration.recoverPostcopy',
  yank: 'qemuMigration.yank',
  applyRemedy: 'qemuMigration.applyRemedy',
  showRunDetails: 'qemuMigration.showRunDetails',
  continueGuest: 'qemuMigration.continueGuest',
  quitMachine: 'qemuMigration.quitMachine',
  showLog: 'qemuMigration.showLog',
  copyValue: 'qemuMigration.copyValue',
  copySocketPath: 'qemuMigration.copySocketPath',
  openSettings: 'qemuMigration.openSettings',
  getStarted: 'qemuMigration.getStarted',
} as const;
export type CommandId = (typeof CommandId)[keyof typeof CommandId];

export const ViewContainerId = { main: 'qemuMigration' } as const;

export const ViewId = { machines: 'qemuMigration.machines' } as const;
export type ViewId = (typeof ViewId)[keyof typeof ViewId];

export const WalkthroughId = { getStarted: 'getStarted' } as const;

export const SubmenuId = { copyAs: 'qemuMigration.copyAs' } as const;

export const SettingId = {
  sockets: 'qemuMigration.sockets',
  transport: 'qemuMigration.transport',
  discoveryEnabled: 'qemuMigration.discovery.enabled',
  helperPath: 'qemuMigration.helper.path',
  profilesFile: 'qemuMigration.profiles.file',
} as const;
export type SettingId = (typeof SettingId)[keyof typeof SettingId];

/** Context keys with the type of their values. */
export interface ContextValues {
  /** What the search for running QEMUs has come to; chooses the text of the empty view. */
  'qemuMigration.discovery': 'not-searched' | 'searching' | 'searched' | 'failed';
  /** At least one machine answers. */
  'qemuMigration.connected': boolean;
  /** At least one migration of ours is going on. */
  'qemuMigration.migrating': boolean;
  /** The tree shows only some settings: a text is searched for, or only changed ones are shown. */
  'qemuMigration.filtered': boolean;
  'qemuMigration.changedOnly': boolean;
  /** There is a change of settings that can be undone. */
  'qemuMigration.canUndo': boolean;
  /** What can be done with the plan of a live update that is looked at. */
  'qemuMigration.updatePlan': 'none' | 'ready' | 'overrulable' | 'blocked' | 'begun';
}

export const ContextKey = {
  discovery: 'qemuMigration.discovery',
  connected: 'qemuMigration.connected',
  migrating: 'qemuMigration.migrating',
  filtered: 'qemuMigration.filtered',
  changedOnly: 'qemuMigration.changedOnly',
  canUndo: 'qemuMigration.canUndo',
  updatePlan: 'qemuMigration.updatePlan',
} as const satisfies Record<string, keyof ContextValues>;

/** Keys of `globalState`. */
export const StateKey = {
  machines: 'qemuMigration.machines',
  damagedMachines: 'qemuMigration.machines.damaged',
  pairs: 'qemuMigration.pairs',
  damagedPairs: 'qemuMigration.pairs.damaged',
  lastQemu: 'qemuMigration.lastQemu',
  lastFile: 'qemuMigration.lastFile',
} as const;
