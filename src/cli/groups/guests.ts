import { continueMachine, continueSaved, quitMachineCommand } from '../commands/guest';
import { resume, runs } from '../commands/runs';
import * as help from '../help';
import type { CommonOptions, Kit } from './group';
import { watchOptions } from './migrations';

interface ResumeFlags extends CommonOptions {
  readonly all?: true;
  readonly forget?: true;
  readonly interactive?: true;
  readonly helper?: string;
}

/** Commands for what comes after a migration. */
export function addGuestCommands({ command, perform, around }: Kit): void {
  command('runs', 'List the migrations of this host that were written down.', help.runs)
    .option('--unfinished', 'only those whose end is not known')
    .action((options: CommonOptions & { unfinished?: true }) =>
      perform(options, (session) => runs(session, { unfinished: options.unfinished === true })),
    );

  command('resume', 'Take up a migration whose program was killed in the middle.', help.resume)
    .argument('[run]', 'its name, or the end of it; "runs" lists them')
    .option('--all', 'all whose program is gone')
    .option('--forget', 'send nothing; only call it ended')
    .option('--interactive', 'take controls from stdin while it goes on, one a line')
    .option('--helper <path>', 'the fdpass helper (default: $QEMU_MIGRATION_HELPER, else our own)')
    .action((run: string | undefined, flags: ResumeFlags) =>
      perform(
        flags,
        (session) =>
          resume(session, {
            run,
            all: flags.all === true,
            forget: flags.forget === true,
            ...watchOptions(flags, around),
          }),
        true,
      ),
    );

  command('continue', 'Continue a guest that stands still, where that is safe.', help.continueGuest)
    .argument('<socket>', help.socketArgument)
    .option('--discard-saved <file>', 'remove the file that this guest was saved to, first')
    .action((socket: string, options: CommonOptions & { discardSaved?: string }) => {
      const { discardSaved } = options;
      return perform(options, (session) =>
        discardSaved === undefined
          ? continueMachine(session, socket)
          : continueSaved(session, socket, discardSaved),
      );
    });

  command('quit', 'End a QEMU whose guest is elsewhere.', help.quit)
    .argument('<socket>', help.socketArgument)
    .action((socket: string, options: CommonOptions) =>
      perform(options, (session) => quitMachineCommand(session, socket)),
    );
}
