import type { TestResult } from '../../test/support/mochaRun';
import { buildExtension, buildHelper } from '../lib/setup';
import { say, SetupError } from '../lib/steps';
import { tierNames, tiers, type TierName } from './tiers';
import { bundleTests } from './workbenchTier';

const help = `Usage: npm test [-- TIER...]

Sets up everything the tests need and runs them. Tiers, all unless named:
${tierNames.map((name) => `  ${name.padEnd(10)} ${tiers[name].about}`).join('\n')}

  --bundle   only build what the launch configuration "Extension Tests" runs

Environment:
  TEST_GREP                     only tests whose title matches
  VSCODE_EXECUTABLE_PATH        a desktop VS Code for the workbench tier
  CHROMIUM_PATH                 the browser
  QEMU_MIGRATION_ACCELERATOR    kvm or tcg
  QEMU_MIGRATION_CACHE          share fetched QEMUs between clones
`;

async function main(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(help);
    return 0;
  }
  if (args.includes('--bundle')) {
    await buildHelper();
    await buildExtension();
    await bundleTests();
    return 0;
  }
  const unknown = args.filter((name) => !(tierNames as readonly string[]).includes(name));
  if (unknown.length > 0) throw new SetupError(`No such tier: ${unknown.join(', ')}\n\n${help}`);
  const chosen = args.length === 0 ? tierNames : tierNames.filter((name) => args.includes(name));
  const results: TestResult[] = [];
  for (const name of chosen) {
    results.push(...(await runTier(name)));
  }
  return report(results);
}

async function runTier(name: TierName): Promise<TestResult[]> {
  const tier = tiers[name];
  process.stdout.write(`\n== ${name}: ${tier.about}\n`);
  const start = Date.now();
  let results: TestResult[];
  try {
    await tier.setUp();
    results = await tier.run();
  } catch (error) {
    const text =
      error instanceof SetupError ? error.message : String((error as Error).stack ?? error);
    results = [{ title: 'set-up', state: 'failed', durationMs: 0, error: text }];
  }
  // A tier without tests proves nothing: a wrong path would look like success.
  if (results.length === 0) {
    const error = 'No test ran in this tier.';
    results = [{ title: 'has tests', state: 'failed', durationMs: 0, error }];
  }
  const skipped = count(results, 'skipped');
  const seconds = ((Date.now() - start) / 1000).toFixed(1);
  say(
    `${name}: ${count(results, 'passed')} passed, ${count(results, 'failed')} failed` +
      `${skipped > 0 ? `, ${skipped} skipped` : ''} in ${seconds} s`,
  );
  return results.map((result) => ({ ...result, title: `${name} › ${result.title}` }));
}

function report(results: readonly TestResult[]): number {
  for (const { title, error } of results.filter(({ state }) => state === 'failed')) {
    process.stdout.write(`\nFAILED ${title}\n${error ?? ''}\n`);
  }
  const failed = count(results, 'failed');
  process.stdout.write(`\n${count(results, 'passed')} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

function count(results: readonly TestResult[], state: TestResult['state']): number {
  return results.filter((result) => result.state === state).length;
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    const text =
      error instanceof SetupError ? error.message : String((error as Error).stack ?? error);
    process.stderr.write(`${text}\n`);
    process.exit(1);
  },
);
