import { Option } from 'commander';
import { openUpdateDesk } from '../../migration/liveUpdate/openDesk';
import type { LiveUpdateRequest } from '../../migration/liveUpdate/types';
import { updateMethodTitles } from '../../migration/view/updateWords';
import { count, quantity, reasonOf, runOptions } from '../commands/migrationOptions';
import { parseBandwidth } from '../commands/bandwidth';
import { liveUpdate, type LiveUpdateOptions } from '../commands/liveUpdate';
import * as help from '../help';
import type { Session } from '../session';
import { helperPlace, type CommonOptions, type Kit } from './group';

interface Flags extends CommonOptions {
  readonly qemu?: string;
  readonly method: LiveUpdateRequest['method'];
  readonly dryRun?: true;
  readonly script?: true;
  readonly printArgs?: true;
  readonly args?: string;
  readonly force?: string;
  readonly canaryLimit?: string;
  readonly atATime: string;
  readonly downtimeLimit?: string;
  readonly maxBandwidth?: string;
  readonly multifd?: string;
  readonly autoConverge?: true;
  readonly guardSwitchover?: boolean;
  readonly helper?: string;
}

const methods = ['auto', ...Object.keys(updateMethodTitles)];

/** A new QEMU under a running guest. */
export function addUpdateCommands({ command, perform, around }: Kit): void {
  command('live-update', 'Put a new QEMU under a running guest.', help.liveUpdate)
    .argument('<socket...>', 'QMP sockets of the machines; the first one is updated alone')
    .option(
      '--qemu <path>',
      'the QEMU to run from now on (default: what is at the path of the running one)',
    )
    .addOption(
      new Option('--method <how>', 'how (default: the best that both QEMUs offer)')
        .choices(methods)
        .default('auto'),
    )
    .option('--dry-run', 'print the plan, and change nothing')
    .option('--script', 'print the plan as a shell script, and change nothing')
    .option('--print-args', "print the new QEMU's arguments for --args, and change nothing")
    .option('--args <file>', 'use the arguments in this file instead of the planned ones')
    .option('--force <reason>', 'go on where that can be forced; the reason goes into the journal')
    .option('--canary-limit <time>', 'several: stop at the first pause longer than this')
    .option('--at-a-time <n>', 'several: so many at once, after the first', '1')
    .option('--downtime-limit <time>', 'for this run only: such as 300ms')
    .option('--max-bandwidth <rate>', 'for this run only: such as 2GiB/s, or unlimited')
    .option('--multifd <n>', 'several connections, that many')
    .option('--auto-converge', 'slow the guest when it writes too fast')
    .option('--guard-switchover', 'start the guest in the new QEMU only on proof; some ms of pause')
    .option('--no-guard-switchover', 'let the new QEMU start it by itself')
    .option('--helper <path>', 'the fdpass helper (default: $QEMU_MIGRATION_HELPER, else our own)')
    .action((sockets: readonly string[], flags: Flags) =>
      perform(
        flags,
        (session) =>
          liveUpdate(session, {
            sockets,
            request: requestOf(session, flags),
            argsFile: flags.args === undefined ? undefined : session.path(flags.args, '--args'),
            dryRun: flags.dryRun === true,
            script: flags.script === true,
            printArgs: flags.printArgs === true,
            canaryLimitMs: quantity('--canary-limit', flags.canaryLimit, 'ms'),
            atATime: count('--at-a-time', flags.atATime, 100) ?? 1,
            verbose: flags.verbose === true,
            signals: around.signals,
            helper: helperPlace(flags.helper, around),
            openDesk: around.openUpdateDesk ?? openUpdateDesk,
          }),
        true,
      ),
    );
}

/** @throws {UsageError} */
function requestOf(session: Session, flags: Flags): LiveUpdateOptions['request'] {
  const options = runOptions(flags, undefined, session);
  const bandwidth = parseBandwidth(flags.maxBandwidth);
  return {
    ...(flags.qemu !== undefined && { program: session.path(flags.qemu, '--qemu') }),
    method: flags.method,
    ...(Object.keys(options).length > 0 && { options }),
    ...(bandwidth !== undefined && { maxBandwidthBytesPerSecond: bandwidth }),
    ...(flags.force !== undefined && { force: { reason: reasonOf(flags.force) } }),
  };
}
