/**
 * A program that replaces a QEMU (argument: its socket) and is killed (SIGKILL) at one exact moment, see
 * `killedCli.ts`; it knows no other end. STATE is the directory of its journals.
 */
import { realFiles, type JournalFiles } from '../../src/migration/run/journal/files';
import { productFor, requestFor } from './inPlace';

const when = process.env['KILL'];
const at = new RegExp(process.env['KILL_AT'] ?? '^$');

function die(): Promise<never> {
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => undefined);
}

const files: JournalFiles = {
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

async function main(): Promise<void> {
  const socket = process.argv[2] ?? '';
  const { registry, runs } = productFor(process.env['STATE'] ?? '', files);
  await registry.connect(socket);
  const outcome = await runs.start(requestFor(socket)).outcome;
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
  process.exit(0);
}

void main();
