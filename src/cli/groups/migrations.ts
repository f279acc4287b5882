import { Option, type Command } from 'commander';
import { methodNames } from '../../migration/methods/names';
import { methods } from '../commands/methods';
import { migrate } from '../commands/migrate';
import { migrationOptions, type MigrationFlags } from '../commands/migrationOptions';
import { check } from '../commands/preflight';
import type { WatchOptions } from '../commands/watch';
import * as help from '../help';
import { allowExec, helperPlace, type CommonOptions, type Kit, type Surroundings } from './group';

interface Flags extends CommonOptions, MigrationFlags {
  readonly measure?: true;
  readonly helper?: string;
  readonly interactive?: true;
  readonly allowExec?: true;
}

/** Commands that move a guest, and those that look before. */
export function addMigrationCommands(kit: Kit): void {
  const { command, perform, around, execCommand } = kit;

  command('methods', 'List the ways in which a guest can be moved, and why not.', help.methods)
    .argument('<socket...>', 'QMP socket of the source, and of the target if there is one')
    .action((sockets: readonly string[], flags: CommonOptions) =>
      perform(flags, (session) => methods(session, sockets)),
    );

  withMigrationOptions(
    command(
      'preflight',
      'Check whether a migration would work, and change nothing.',
      help.preflight,
    ),
  )
    .option('--measure', 'measure for one second whether the migration will converge')
    .action((sockets: readonly string[], flags: Flags) =>
      perform(flags, (session) =>
        check(session, {
          ...migrationOptions(sockets, flags, execCommand, session),
          helper: helperPlace(flags.helper, around),
          measure: flags.measure === true,
        }),
      ),
    );

  withMigrationOptions(
    command('migrate', 'Migrate, save, restore or update a guest, and watch.', help.migrate),
  )
    .option('--interactive', 'take controls from stdin while it goes on, one a line')
    .addOption(allowExec())
    .action((sockets: readonly string[], flags: Flags) =>
      perform(
        flags,
        (session) =>
          migrate(session, {
            ...migrationOptions(sockets, flags, execCommand, session),
            ...watchOptions(flags, around),
            allowExec: flags.allowExec === true,
          }),
        true,
      ),
    );
}

export function watchOptions(
  flags: Pick<Flags, 'verbose' | 'interactive' | 'helper'>,
  around: Surroundings,
): WatchOptions {
  return {
    verbose: flags.verbose === true,
    signals: around.signals,
    stdin: around.stdin,
    interactive: flags.interactive === true,
    helper: helperPlace(flags.helper, around),
  };
}

/** What a migration and its check have in common. */
function withMigrationOptions(command: Command): Command {
  return command
    .argument(
      '<socket...>',
      'SOURCE and TARGET; one SOCKET for save, restore, cpr-exec, cpr-reboot',
    )
    .addOption(new Option('--method <how>', 'how (default: precopy)').choices(methodNames))
    .addOption(
      new Option('--transport <how>', 'fd: socket pair (default); unix: socket file; tcp').choices([
        'fd',
        'unix',
        'tcp',
      ]),
    )
    .option('--listen <host:port>', 'TCP: where the target listens; port 0: a free one')
    .option('--host <host>', "TCP: the target's host as the source sees it (default: of --listen)")
    .option(
      '--allow-plain-tcp',
      'TCP without TLS: everybody on the way can read and change the guest',
    )
    .option('--file <path>', 'where the guest is saved, or restored from')
    .option('--mapped-ram', 'file: each page has its place in it')
    .option('--pass-descriptor', 'file: open it here and hand it over; QEMU needs no right to it')
    .option('--ignore-shared', 'leave memory that is in a shared file there')
    .option('--multifd <n>', 'several connections, that many')
    .option('--compress <how>', 'multifd: zlib, zstd, or what this QEMU has')
    .option('--xbzrle', 'send only what changed in a page')
    .option('--auto-converge', 'slow the guest when it writes too fast')
    .option('--dirty-limit <rate>', 'bound what each virtual CPU writes, such as 100MB/s')
    .option('--downtime-limit <time>', 'for this run only: such as 300ms')
    .option('--max-bandwidth <rate>', 'for this run only: such as 2GiB/s, or unlimited')
    .option('--postcopy-after <pass>', 'postcopy: start it by itself after that pass')
    .option('--preempt', 'postcopy: pages that the guest waits for overtake the others')
    .option('--hold-switchover', 'stand still before the switchover until "release" is typed')
    .option(
      '--guard-switchover',
      'start the guest on the target only on proof; some ms of pause (default, except over fd for precopy)',
    )
    .option(
      '--no-guard-switchover',
      'let the target start by itself, though the channel may break then',
    )
    .option('--cpr-socket <path>', 'cpr-transfer: the "cpr" channel of the target\'s command line')
    .option('--exec-command', 'cpr-exec: run what follows "--" (default: the running command line)')
    .option('--backend-transfer', 'turn backend transfer on, on both sides (default: as it is)')
    .option('--no-backend-transfer', 'turn it off, on both sides')
    .option('--force <reason>', 'go on where that can be forced; the reason goes into the journal')
    .option('--helper <path>', 'the fdpass helper (default: $QEMU_MIGRATION_HELPER, else our own)');
}
