import { isatty } from 'node:tty';
import { runCli } from './program';
import { ExitCode } from './exitCodes';

runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: { isTTY: isatty(0), open: () => process.stdin },
  cwd: process.cwd(),
  env: process.env,
  bundleDirectory: __dirname,
  signals: process,
}).then(
  (exitCode) => process.exit(exitCode),
  (error: unknown) => {
    // Only a fault of ours comes here; what QEMU or the user did has been put into words.
    const told = error instanceof Error ? error.message : String(error);
    process.stderr.write(`qemu-migration: unexpected: ${told}\n`);
    process.exit(ExitCode.unexpected);
  },
);
