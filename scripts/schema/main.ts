import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { profileJsonSchema } from '../../src/migration/profiles/jsonSchema';
import { root } from '../lib/paths';
import { say, writeWhole } from '../lib/steps';

/** Named in package.json under `jsonValidation`. */
const file = join(root, 'schemas/qemu-migration.schema.json');

async function main(): Promise<void> {
  const options = await resolveConfig(file);
  const text = await format(JSON.stringify(profileJsonSchema()), { ...options, filepath: file });
  await mkdir(dirname(file), { recursive: true });
  await writeWhole(file, text);
  say(`Wrote ${file}`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
});
