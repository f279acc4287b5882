import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from '../lib/paths';
import { say, writeWhole } from '../lib/steps';
import { withDiagram } from './text';

const file = join(root, 'CONTRIBUTING.md');

async function main(): Promise<void> {
  await writeWhole(file, withDiagram(await readFile(file, 'utf8')));
  say(`Wrote the states of a run into ${file}`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
});
