import { Command, CommanderError, Option } from 'commander';
import { join, resolve } from 'node:path';
import { version } from '../../package.json';
import { stateDirectory, type JournalFiles } from '../migration/run/journal/files';
import type { Transport } from '../migration/run/types';
import { sentence } from '../migration/view/sentence';
import { copyForms, type CopyForm } from '../migration/settings/copyAs';
import { apply, defaultProfilesFile, profiles } from './commands/apply';
import { diff } from './commands/diff';
import { list } from './commands/list';
import { migrate } from './commands/migrate';
import { check, type PreflightOptions } from './commands/preflight';
import { resume, runs } from './commands/runs';
import { backendTransfer, set } from './commands/set';
import { caps, params, type SettingsRequest } from './commands/settings';
import { show } from './commands/show';
import { ExitCode, UsageError } from './exitCodes';
import * as help from './help';
import type { SignalSource } from './interrupts';
import { failureResult, type CommandResult } from './result';
import { Session } from './session';
import type { OutputStream } from './terminal';
import { Terminal } from './terminal';
import { toJson } from './text';

/** What the program needs of the process around it. */
export interface Surroundings {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where the bundle lies, the helper in `bin` beside it. */
  readonly bundleDirectory: string;
  readonly signals: SignalSource;
  /** How journals reach the disk; another way in tests. */
  readonly journalFiles?: JournalFiles;
}

interface CommonOptions {
  readonly json?: true;
  readonly verbose?: true;
}

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

interface ApplyFlags extends CommonOptions {
  readonly file?: string;
  readonly dryRun?: true;
}

interface MigrateFlags extends CommonOptions {
  readonly measure?: true;
  readonly transport: Transport;
  readonly backendTransfer?: boolean;
  readonly maxBandwidth?: string;
  readonly helper?: string;
}

/** Runs the program with these arguments (without node and script) and returns its exit code. */
export async function runCli(args: readonly string[], around: Surroundings): Promise<ExitCode> {
  const terminal = new Terminal(around.stdout, around.stderr);
  const exitCode = await dispatch(args, around, terminal);
  await terminal.flush();
  return exitCode;
}

async function dispatch(
  args: readonly string[],
  around: Surroundings,
  terminal: Terminal,
): Promise<ExitCode> {
  let exitCode: ExitCode = ExitCode.ok;

  /** Opens a session, does the work, prints what came of it. */
  const perform = async (
    options: CommonOptions,
    work: (session: Session) => Promise<CommandResult>,
    /** For what is changed: after a lost connection it has to be seen to, and put back. */
    autoReconnect = false,
  ): Promise<void> => {
    const verbose = options.verbose === true;
    const { cwd, signals } = around;
    const session = new Session({
      ...{ cwd, signals, terminal, verbose, autoReconnect },
      stateDirectory: stateDirectory(around.env),
      journalFiles: around.journalFiles,
    });
    let result: CommandResult;
    let failed = false;
    try {
      result = await work(session);
    } catch (error) {
      result = failureResult(error);
      failed = true;
      if (verbose && error instanceof Error) terminal.note(error.stack ?? error.message);
    }
    session.dispose();
    exitCode = result.exitCode;
    if (options.json === true) {
      terminal.document(toJson({ exitCode, ...result.document }));
    } else {
      for (const line of result.lines) {
        if (failed) terminal.note(line);
        else terminal.result(line);
      }
    }
  };

  const program = buildProgram(around, perform);
  program.configureOutput({
    writeOut: (text) => terminal.result(text.trimEnd()),
    writeErr: (text) => terminal.note(text.trimEnd()),
  });
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return ExitCode.ok;
    // What is wrong may be the very option, so it is looked for as it was typed.
    if (args.includes('--json')) {
      const { exitCode: code, document } = failureResult(
        new UsageError(sentence(error.message.replace(/^error: /, ''))),
      );
      terminal.document(toJson({ exitCode: code, ...document }));
    }
    return ExitCode.usage;
  }
  return exitCode;
}

type Perform = (
  options: CommonOptions,
  work: (session: Session) => Promise<CommandResult>,
  autoReconnect?: boolean,
) => Promise<void>;

function buildProgram(around: Surroundings, perform: Perform): Command {
  const program = new Command('qemu-migration')
    .description(help.summary)
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand(false)
    .addHelpText('after', help.afterAll)
    .exitOverride()
    .showHelpAfterError('(see --help)');

  const command = (name: string, summary: string, after: string): Command =>
    program
      .command(name)
      .description(summary)
      .option('--json', 'print one JSON document on stdout, for programs')
      .option('-v, --verbose', 'show log and QMP traffic on stderr')
      .addHelpText('after', after);

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

  command('diff', 'Compare the settings of a source and a target.', help.diff)
    .argument('<source>', 'QMP socket of the QEMU that runs the guest')
    .argument('<target>', 'QMP socket of the QEMU that is to take it over')
    .option('--all', 'what is equal too')
    .action((source: string, target: string, options: CommonOptions & { all?: true }) =>
      perform(options, (session) => diff(session, source, target, { all: options.all === true })),
    );

  command('apply', 'Apply a profile to a machine, or to a source and a target.', help.apply)
    .argument('<profile>', 'name of a profile; "profiles" lists them')
    .argument('<socket...>', help.socketArgument)
    .option('--file <path>', `file with profiles (default: ${defaultProfilesFile})`)
    .option('--dry-run', 'show what would change, and change nothing')
    .action((profile: string, sockets: readonly string[], flags: ApplyFlags) =>
      perform(
        flags,
        (session) =>
          apply(session, {
            profile,
            sockets,
            cwd: around.cwd,
            file: flags.file,
            dryRun: flags.dryRun === true,
          }),
        true,
      ),
    );

  command(
    'profiles',
    'List the profiles that there are, and what is wrong in the file.',
    help.profiles,
  )
    .option('--file <path>', `file with profiles (default: ${defaultProfilesFile})`)
    .action((flags: ApplyFlags) =>
      perform(flags, () => profiles({ cwd: around.cwd, file: flags.file })),
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

  const migrationCommand = (name: string, summary: string, after: string): Command =>
    command(name, summary, after)
      .argument('<source>', 'QMP socket of the QEMU that runs the guest')
      .argument('<target>', 'QMP socket of a QEMU started with -incoming defer')
      .addOption(
        new Option('--transport <how>', 'fd: socket pair passed by the helper; unix: socket file')
          .choices(['fd', 'unix'])
          .default('fd'),
      )
      .option('--backend-transfer', 'turn backend transfer on, on both sides (default: as it is)')
      .option('--no-backend-transfer', 'turn it off, on both sides')
      .option('--max-bandwidth <rate>', 'for this run only: such as 2GiB/s, or unlimited')
      .option(
        '--helper <path>',
        'the fdpass helper (default: $QEMU_MIGRATION_HELPER, else our own)',
      );

  migrationCommand(
    'preflight',
    'Check whether a migration would work, and change nothing.',
    help.preflight,
  )
    .option('--measure', 'measure for one second whether the migration will converge')
    .action((source: string, target: string, flags: MigrateFlags) =>
      perform(flags, (session) =>
        check(session, {
          ...migrationOptions(source, target, flags, around),
          measure: flags.measure === true,
        }),
      ),
    );

  migrationCommand(
    'migrate',
    'Migrate a guest to another QEMU on this host, and watch.',
    help.migrate,
  ).action((source: string, target: string, flags: MigrateFlags) =>
    perform(
      flags,
      (session) =>
        migrate(session, {
          ...migrationOptions(source, target, flags, around),
          verbose: flags.verbose === true,
          signals: around.signals,
        }),
      true,
    ),
  );

  command('runs', 'List the migrations of this host that were written down.', help.runs)
    .option('--unfinished', 'only those whose end is not known')
    .action((options: CommonOptions & { unfinished?: true }) =>
      perform(options, (session) => runs(session, { unfinished: options.unfinished === true })),
    );

  command('resume', 'Take up a migration whose program was killed in the middle.', help.resume)
    .argument('[run]', 'its name, or the end of it; "runs" lists them')
    .option('--all', 'all whose program is gone')
    .option('--forget', 'send nothing; only call it ended')
    .action((run: string | undefined, flags: CommonOptions & { all?: true; forget?: true }) =>
      perform(
        flags,
        (session) =>
          resume(session, {
            run,
            all: flags.all === true,
            forget: flags.forget === true,
            verbose: flags.verbose === true,
            signals: around.signals,
          }),
        true,
      ),
    );
  return program;
}

/** What a migration and its check have in common. */
function migrationOptions(
  source: string,
  target: string,
  flags: MigrateFlags,
  around: Surroundings,
): Omit<PreflightOptions, 'measure'> {
  return {
    source,
    target,
    transport: flags.transport,
    backendTransfer: choice(flags.backendTransfer),
    maxBandwidth: flags.maxBandwidth,
    helper: helperPlace(flags.helper, around),
  };
}

function allowExec(): Option {
  return new Option('--allow-exec', 'allow setting a command that QEMU will execute');
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

function choice(flag: boolean | undefined): 'as-is' | 'on' | 'off' {
  if (flag === undefined) return 'as-is';
  return flag ? 'on' : 'off';
}

function helperPlace(
  flag: string | undefined,
  around: Surroundings,
): { configuredPath?: string; bundledDirectory: string } {
  const bundledDirectory = join(around.bundleDirectory, 'bin');
  const named = flag ?? around.env['QEMU_MIGRATION_HELPER'];
  if (named === undefined || named === '') return { bundledDirectory };
  return { configuredPath: resolve(around.cwd, named), bundledDirectory };
}
