import { Option, type Command } from 'commander';
import { copyForms, type CopyForm } from '../../migration/settings/copyAs';
import { list } from '../commands/list';
import { backendTransfer, set } from '../commands/set';
import { caps, params, type SettingsRequest } from '../commands/settings';
import { show } from '../commands/show';
import * as help from '../help';
import { allowExec, type CommonOptions, type Kit } from './group';

interface ListFlags extends CommonOptions {
  readonly connect?: true;
  readonly name?: string;
}

interface SettingsFlags extends CommonOptions {
  readonly changed?: true;
  readonly find?: string;
  readonly reset?: readonly string[];
  readonly resetAll?: true;
  readonly as?: CopyForm;
  readonly allowExec?: true;
}

/** Commands for one machine: what it is, and its settings. */
export function addMachineCommands({ command, perform }: Kit): void {
  command('list', 'List the QEMUs on this host.', help.list)
    .option(
      '--connect',
      'ask each monitor for its status: takes its only client place for a moment',
    )
    .option('--name <text>', 'only those with this in their name')
    .action((options: ListFlags) =>
      perform(options, (session) =>
        list(session, { connect: options.connect === true, name: options.name }),
      ),
    );

  command('show', 'Show status, parameters, capabilities and migration of a machine.', help.show)
    .argument('<socket>', help.socketArgument)
    .action((socket: string, options: CommonOptions) =>
      perform(options, (session) => show(session, socket)),
    );

  command('set', 'Set a migration parameter or capability.', help.set)
    .argument('<socket>', help.socketArgument)
    .argument('<name>', 'name as QEMU spells it, such as max-bandwidth or xbzrle')
    .argument('<value>', 'value with its unit; on or off for switches')
    .addOption(allowExec())
    .action((socket: string, name: string, value: string, options: SettingsFlags) =>
      perform(
        options,
        (session) => set(session, socket, name, value, { allowExec: options.allowExec === true }),
        true,
      ),
    );

  const settingsCommand = (name: string, what: string, example: string, after: string): Command =>
    command(name, `List the migration ${what} of a machine, or set some: all or none.`, after)
      .argument('<socket>', help.socketArgument)
      .argument('[assignment...]', `what to set, such as ${example}`)
      .option('--changed', 'list only those that differ from their default')
      .option('--find <text>', 'list only those with these words in name, value or summary')
      .addOption(new Option('--as <form>', 'print them to paste elsewhere').choices(copyForms))
      .option('--reset <name...>', 'set these back to what a fresh QEMU has')
      .option('--reset-all', 'set all back to what a fresh QEMU has');

  settingsCommand('params', 'parameters', 'max-bandwidth=2GiB/s', help.params)
    .addOption(allowExec())
    .action((socket: string, assignments: readonly string[], flags: SettingsFlags) =>
      perform(
        flags,
        (session) => params(session, settingsRequest(socket, assignments, flags)),
        true,
      ),
    );

  settingsCommand('caps', 'capabilities', 'return-path=on', help.caps).action(
    (socket: string, assignments: readonly string[], flags: SettingsFlags) =>
      perform(flags, (session) => caps(session, settingsRequest(socket, assignments, flags)), true),
  );

  command('backend-transfer', 'Turn backend transfer on or off.', help.backendTransfer)
    .argument('<socket>', help.socketArgument)
    .argument('<on|off>', 'what it shall be')
    .option(
      '--target <socket>',
      'switch the other side too, both or neither, and say what is missing',
    )
    .action((socket: string, value: string, options: CommonOptions & { target?: string }) =>
      perform(options, (session) => backendTransfer(session, socket, value, options.target), true),
    );
}

function settingsRequest(
  socket: string,
  assignments: readonly string[],
  flags: SettingsFlags,
): SettingsRequest {
  return {
    socket,
    assignments,
    reset: flags.reset ?? [],
    resetAll: flags.resetAll === true,
    changed: flags.changed === true,
    find: flags.find,
    as: flags.as,
    allowExec: flags.allowExec === true,
  };
}
