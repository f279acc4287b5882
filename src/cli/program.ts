import { Command, CommanderError } from 'commander';
import { version } from '../../package.json';
import { stateDirectory } from '../migration/run/journal/files';
import { sentence } from '../migration/view/sentence';
import { ExitCode, UsageError } from './exitCodes';
import { helperPlace, type Kit, type Perform, type Surroundings } from './groups/group';
import { addGuestCommands } from './groups/guests';
import { addMachineCommands } from './groups/machines';
import { addMigrationCommands } from './groups/migrations';
import { addPairCommands } from './groups/pairs';
import { addUpdateCommands } from './groups/updates';
import * as help from './help';
import { failureResult, type CommandResult } from './result';
import { Session } from './session';
import { Terminal } from './terminal';
import { toJson } from './text';

export type { Surroundings } from './groups/group';

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

  const perform: Perform = async (options, work, autoReconnect = false) => {
    const verbose = options.verbose === true;
    const { cwd, signals } = around;
    const session = new Session({
      ...{ cwd, signals, terminal, verbose, autoReconnect },
      stateDirectory: stateDirectory(around.env),
      journalFiles: around.journalFiles,
      helper: helperPlace(options.helper, around),
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

  const { own, execCommand } = splitExecCommand(args);
  const program = buildProgram(around, perform, execCommand);
  program.configureOutput({
    writeOut: (text) => terminal.result(text.trimEnd()),
    writeErr: (text) => terminal.note(text.trimEnd()),
  });
  try {
    await program.parseAsync(own, { from: 'user' });
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

/** What stands behind `--exec-command ... --` belongs to another program, whatever it looks like. */
function splitExecCommand(args: readonly string[]): {
  readonly own: readonly string[];
  readonly execCommand: readonly string[] | undefined;
} {
  const at = args.indexOf('--');
  if (at === -1 || !args.slice(0, at).includes('--exec-command')) {
    return { own: args, execCommand: undefined };
  }
  return { own: args.slice(0, at), execCommand: args.slice(at + 1) };
}

function buildProgram(
  around: Surroundings,
  perform: Perform,
  execCommand: readonly string[] | undefined,
): Command {
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
  const kit: Kit = { around, perform, execCommand, command };
  addMachineCommands(kit);
  addPairCommands(kit);
  addMigrationCommands(kit);
  addUpdateCommands(kit);
  addGuestCommands(kit);
  return program;
}
