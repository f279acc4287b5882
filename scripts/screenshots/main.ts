import { openWorkbench, themes, type ThemeName } from '../../test/support/workbench';
import { provisionQemu } from '../lib/qemu';
import { startSandbox } from '../lib/sandbox';
import { buildExtension, buildHelper, prepareQemu, prepareVscode } from '../lib/setup';
import { say, SetupError } from '../lib/steps';
import { walk } from './walk';

const names = Object.keys(themes) as ThemeName[];
const help = `Usage: npm run screenshots [-- STOP...]

Walks through the workbench with a sandbox, in each theme (${names.join(', ')}), and saves pictures in
.cache/screenshots/THEME/. Stops, all unless named: ${walk.map(({ name }) => name).join(', ')}
`;

async function main(args: readonly string[]): Promise<void> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(help);
    return;
  }
  const unknown = args.filter((name) => !walk.some((stop) => stop.name === name));
  if (unknown.length > 0) throw new SetupError(`No such stop: ${unknown.join(', ')}\n\n${help}`);
  await buildHelper();
  await buildExtension();
  await prepareQemu(['11.1']);
  await prepareVscode({ browser: true });
  for (const theme of names) await walkThrough(theme, args);
}

async function walkThrough(theme: ThemeName, chosen: readonly string[]): Promise<void> {
  const sandbox = await startSandbox(await provisionQemu('11.1'));
  const ends: (() => Promise<void>)[] = [];
  try {
    const { folder } = sandbox;
    // Other QEMUs of this machine are not to be in the pictures.
    const settings = { ...sandbox.settings, 'qemuMigration.discovery.enabled': false };
    // As if installed: a workbench that is driven by tests shows no messages.
    const workbench = await openWorkbench({ theme, folder, settings, installed: true });
    try {
      for (const { name, visit } of walk) {
        await visit(workbench, sandbox, (end) => ends.push(end));
        // Hovers and spinners of the last click settle; a picture, unlike a test, cannot wait for a state.
        await workbench.page.waitForTimeout(500);
        if (chosen.length > 0 && !chosen.includes(name)) continue;
        say(await workbench.screenshot(`${theme}/${name}`));
      }
    } finally {
      await workbench.close();
    }
  } finally {
    await Promise.all(ends.map((end) => end()));
    await sandbox.stop();
  }
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
