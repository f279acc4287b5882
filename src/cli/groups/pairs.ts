import { apply, defaultProfilesFile, profiles } from '../commands/apply';
import { diff } from '../commands/diff';
import * as help from '../help';
import type { CommonOptions, Kit } from './group';

interface ApplyFlags extends CommonOptions {
  readonly file?: string;
  readonly dryRun?: true;
}

/** Commands that compare two machines, or set several at once. */
export function addPairCommands({ command, perform, around }: Kit): void {
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
}
