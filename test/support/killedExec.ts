/**
 * A program that replaces a QEMU (argument: its socket) and is killed (SIGKILL) at one exact moment, see
 * `dyingFiles.ts`; it knows no other end. STATE is the directory of its journals.
 */
import { dyingFiles } from './dyingFiles';
import { productFor, requestFor } from './inPlace';

async function main(): Promise<void> {
  const socket = process.argv[2] ?? '';
  const { registry, runs } = productFor(process.env['STATE'] ?? '', dyingFiles);
  await registry.connect(socket);
  const outcome = await runs.start(requestFor(socket)).outcome;
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
  process.exit(0);
}

void main();
