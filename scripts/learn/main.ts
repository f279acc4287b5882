import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import type { LearntDefaults } from '../../src/migration/settings/defaults';
import { root } from '../lib/paths';
import { provisionQemu, qemuVersions } from '../lib/qemu';
import { say, SetupError, writeWhole } from '../lib/steps';
import { learnPatched, learnVersion } from './learn';

const file = join(root, 'src/migration/settings/learntDefaults.json');
const help = `Usage: npm run learn-defaults

Starts a fresh QEMU of each version (${qemuVersions.join(', ')}), without a guest, and writes the migration parameters
and capabilities that it reports, and which of them a machine type changes, to
src/migration/settings/learntDefaults.json. Running it again gives the same file.
`;

async function main(args: readonly string[]): Promise<void> {
  if (args.length > 0) {
    if (args.some((arg) => arg !== '--help' && arg !== '-h')) throw new SetupError(help);
    process.stdout.write(help);
    return;
  }
  const versions: Record<string, LearntDefaults['versions'][string]> = {};
  for (const version of qemuVersions) {
    const build = await provisionQemu(version);
    say(`Asking QEMU ${build.version}`, 'one fresh process for each machine type');
    versions[version] = await learnVersion(build);
  }
  const learnt: LearntDefaults = { versions, patched: learnPatched(versions) };
  const options = await resolveConfig(file);
  await writeWhole(file, await format(JSON.stringify(learnt), { ...options, filepath: file }));
  say(`Wrote ${file}`);
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error: unknown) => {
    const text =
      error instanceof SetupError ? error.message : String((error as Error).stack ?? error);
    process.stderr.write(`${text}\n`);
    process.exit(1);
  },
);
