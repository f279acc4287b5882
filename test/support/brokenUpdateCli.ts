/**
 * The command-line program; when a journal entry is on disk, or about to be, something is killed with
 * SIGKILL. KILL: `before`, `written` (of facts, which are not synced) or `synced`; KILL_AT: a regular expression for the entry's line; VICTIM: `program`
 * (this one), `source` (pid SOURCE_PID), `target`, `helper`. Alone in a PID namespace: the rest is found by name.
 */
import { writeSync } from 'node:fs';
import { runCli } from '../../src/cli/program';
import { realFiles, type JournalFiles } from '../../src/migration/run/journal/files';
import { pidsOf } from './pidsOf';

const { KILL: when, KILL_AT: at = '^$', VICTIM: victim, SOURCE_PID: source } = process.env;
const pattern = new RegExp(at);

function victims(): readonly number[] {
  switch (victim) {
    case 'source':
      return [Number(source)];
    case 'target':
      return pidsOf(/qemu-system-x86_64$/).filter((pid) => pid !== Number(source));
    case 'helper':
      return pidsOf(/\/fdpass$/);
    case 'program':
    case undefined:
    default:
      return [process.pid];
  }
}

let done = false;

async function strike(): Promise<void> {
  if (done) return;
  done = true;
  const pids = victims();
  // At once: a pipe's buffer dies with its writer.
  writeSync(2, `struck ${victim ?? ''} ${pids.join(' ')}\n`);
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  if (pids.includes(process.pid)) await new Promise(() => undefined);
}

const journalFiles: JournalFiles = {
  ...realFiles,
  open: async (file, which) => {
    const real = await realFiles.open(file, which);
    let last = '';
    return {
      ...real,
      write: async (text) => {
        if (when === 'before' && pattern.test(text)) await strike();
        last = text;
        await real.write(text);
        if (when === 'written' && pattern.test(text)) await strike();
      },
      sync: async () => {
        await real.sync();
        if (when === 'synced' && pattern.test(last)) await strike();
      },
    };
  },
};

void runCli(process.argv.slice(2), {
  ...{ stdout: process.stdout, stderr: process.stderr, cwd: process.cwd(), env: process.env },
  ...{ bundleDirectory: __dirname, signals: process, journalFiles },
}).then((code) => process.exit(code));
