/**
 * The command-line program, which is killed (SIGKILL) at one exact moment of a run: when it is about to
 * write a journal entry (KILL=before) or when that is on disk (KILL=synced). KILL_AT is a regular
 * expression for the entry's line. Nothing that the entry announces has been done then.
 */
import { realFiles, type JournalFiles } from '../../src/migration/run/journal/files';
import { runCli } from '../../src/cli/program';

const when = process.env['KILL'];
const at = new RegExp(process.env['KILL_AT'] ?? '^$');

function die(): Promise<never> {
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => undefined);
}

const journalFiles: JournalFiles = {
  ...realFiles,
  open: async (file, which) => {
    const real = await realFiles.open(file, which);
    let last = '';
    return {
      ...real,
      write: async (text) => {
        if (when === 'before' && at.test(text)) await die();
        last = text;
        await real.write(text);
      },
      sync: async () => {
        await real.sync();
        if (when === 'synced' && at.test(last)) await die();
      },
    };
  },
};

void runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  cwd: process.cwd(),
  env: process.env,
  bundleDirectory: __dirname,
  signals: process,
  journalFiles,
}).then((code) => process.exit(code));
