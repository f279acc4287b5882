/** `npm run matrix`: breaks migrations of every kind in every phase, and looks from outside. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cacheDirectory } from '../../scripts/lib/paths';
import { buildHelper, prepareQemu } from '../../scripts/lib/setup';
import { SetupError, writeWhole } from '../../scripts/lib/steps';
import { plan } from './cases';
import { runAll } from './runAll';
import { describeViolation, printTable } from './table';

const help = `Usage: npm run matrix [-- OPTION...]

Runs real QEMUs, breaks one thing in one phase of each run, and judges from outside: never two running
copies, the guest alive where that is possible, and always the truth told.

  --method NAME     only these (comma-separated): a method or an arm of the matrix
  --version NAME    only these QEMUs
  --phase NAME      only these phases
  --breaking NAME   only these breakings
  --every NUMBER    only each so-manieth of those
  --pairs NUMBER    QEMU pairs at a time, 2 unless told
  --list            only say what would be tried
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      method: { type: 'string' },
      version: { type: 'string' },
      phase: { type: 'string' },
      breaking: { type: 'string' },
      every: { type: 'string' },
      pairs: { type: 'string', default: '2' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  const { cases, impossible } = plan(values);
  if (values.list) {
    process.stdout.write(cases.map(({ title }) => `${title}\n`).join(''));
    return 0;
  }
  if (cases.length === 0) throw new SetupError(`No case is of that kind.\n\n${help}`);
  await buildHelper();
  await prepareQemu();
  const results = await runAll(cases, {
    pairs: Number(values.pairs),
    onResult: (result, done) => {
      const { verdict, durationMs, case: kase } = result;
      const sign = verdict.violations.length > 0 ? '✘' : '✔';
      const seconds = (durationMs / 1000).toFixed(1);
      process.stdout.write(
        `${sign} ${done}/${cases.length} ${kase.title}: ${verdict.runsOn} (${seconds} s)\n`,
      );
      if (verdict.violations.length > 0) {
        process.stdout.write(`${describeViolation(result).join('\n')}\n\n`);
      }
    },
  });
  const table = printTable(results, impossible);
  process.stdout.write(`\n${table}\n`);
  await writeWhole(join(cacheDirectory, 'matrix.txt'), `${table}\n`);
  return results.some(({ verdict }) => verdict.violations.length > 0) ? 1 : 0;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    const text =
      error instanceof SetupError ? error.message : String((error as Error).stack ?? error);
    process.stderr.write(`${text}\n`);
    process.exit(1);
  },
);
