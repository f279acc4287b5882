import { realFiles, type JournalFiles } from '../../src/migration/run/journal/files';

const when = process.env['KILL'];
const at = new RegExp(process.env['KILL_AT'] ?? '^$');

function die(): Promise<never> {
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => undefined);
}

/**
 * Journal files that kill their own program (SIGKILL) at one exact moment: when it is about to write an
 * entry (KILL=before) or when that is on disk (KILL=synced). KILL_AT is a regular expression for the
 * entry's line. Nothing that the entry announces has been done then.
 */
export const dyingFiles: JournalFiles = {
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
