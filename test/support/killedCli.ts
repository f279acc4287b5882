/** The command-line program, which is killed at one exact moment of a run: see `dyingFiles.ts`. */
import { runCli } from '../../src/cli/program';
import { dyingFiles } from './dyingFiles';

void runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  cwd: process.cwd(),
  env: process.env,
  bundleDirectory: __dirname,
  signals: process,
  journalFiles: dyingFiles,
}).then((code) => process.exit(code));
