import { openWorkbench, themes, type ThemeName } from '../../test/support/workbench';
import { provisionQemu } from '../lib/qemu';
import { startSandbox } from '../lib/sandbox';
import { buildExtension, buildHelper, prepareQemu, prepareVscode } from '../lib/setup';
import { say, SetupError } from '../lib/steps';
import type { GuestVariant } from '../lib/guest';
import type { Stop } from './page';
import { runWalk } from './runWalk';
import { walk } from './walk';

interface Walk {
  readonly stops: readonly Stop[];
  readonly guest: GuestVariant;
}

/** Each in a sandbox of its own. */
const walks: readonly Walk[] = [
  { stops: walk, guest: 'dirtying' },
  { stops: runWalk, guest: 'fast-dirtying' },
];
const stops = walks.flatMap((each) => each.stops);

const names = Object.keys(themes) as ThemeName[];
const help = `Usage: npm run screenshots [-- STOP...]

Walks through the workbench with a sandbox, in each theme (${names.join(', ')}), and saves pictures in
.cache/screenshots/THEME/. Stops, all unless named: ${stops.map(({ name }) => name).join(', ')}
`;

async function main(args: readonly string[]): Promise<void> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(help);
    return;
  }
  const unknown = args.filter((name) => !stops.some((stop) => stop.name === name));
  if (unknown.length > 0) throw new SetupError(`No such stop: ${unknown.join(', ')}\n\n${help}`);
  await buildHelper();
  await buildExtension();
  await prepareQemu(['11.1']);
  await prepareVscode({ browser: true });
  for (const theme of names) {
    for (const each of walks) {
      const isWanted = args.length === 0 || each.stops.some(({ name }) => args.includes(name));
      if (isWanted) await walkThrough(theme, each, args);
    }
  }
}

async function walkThrough(
  theme: ThemeName,
  { stops: visited, guest }: Walk,
  chosen: readonly string[],
): Promise<void> {
  const sandbox = await startSandbox(await provisionQemu('11.1'), guest);
  const ends: (() => Promise<void>)[] = [];
  try {
    const { folder } = sandbox;
    // Other QEMUs of this machine are not to be in the pictures.
    const settings = { ...sandbox.settings, 'qemuMigration.discovery.enabled': false };
    // As if installed: a workbench that is driven by tests shows no messages.
    const workbench = await openWorkbench({ theme, folder, settings, installed: true });
    try {
      for (const { name, visit } of visited) {
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
