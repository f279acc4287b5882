// One tier's mocha in a process of its own: mochaChild.ts RESULTS_FILE TIMEOUT_MS FILE...
import { runMocha, type TestResult } from '../../test/support/mochaRun';
import { writeWhole } from '../lib/steps';

const [resultsFile = '', timeout = '', ...files] = process.argv.slice(2);

/** A test that leaves a timer or a socket behind would let this process hang: name it and fail instead. */
const patienceMs = 5000;

async function main(): Promise<void> {
  const results = await runMocha({ reporter: 'spec', timeoutMs: Number(timeout), files });
  await writeWhole(resultsFile, JSON.stringify(results));
  setTimeout(() => {
    const left = process
      .getActiveResourcesInfo()
      .filter((kind) => !['TTYWrap', 'PipeWrap'].includes(kind));
    const failure: TestResult = {
      title: 'the tests leave nothing open',
      state: 'failed',
      durationMs: patienceMs,
      error: `Still open ${patienceMs} ms after the last test: ${left.join(', ')}`,
    };
    void writeWhole(resultsFile, JSON.stringify([...results, failure])).then(() => process.exit(1));
  }, patienceMs).unref();
}

main().catch((error: unknown) => {
  process.stderr.write(
    `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  process.exit(1);
});
