import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import { provisionQemu, qemuVersions } from '../../scripts/lib/qemu';
import { arms } from '../matrix/arms';
import { plan } from '../matrix/cases';
import { breakings } from '../matrix/names';
import { runAll } from '../matrix/runAll';
import type { CaseResult } from '../matrix/runCase';
import { sample } from '../matrix/sample';
import { describeViolation, printTable } from '../matrix/table';
import { cliBundle } from '../support/cliProcess';

describe('a migration that is broken (a sample of "npm run matrix")', () => {
  const cases = sample();
  let results: ReadonlyMap<string, CaseResult>;

  before(async function () {
    this.timeout(600_000);
    for (const version of qemuVersions) await provisionQemu(version);
    await Promise.all([cliBundle(), cliBundle('test/matrix/driver.ts')]);
    // Together and not in the tests, for most of a case is waiting.
    const all = await runAll(cases, { pairs: 2 });
    results = new Map(all.map((result) => [result.case.title, result]));
  });

  after(() => {
    process.stdout.write(`\n${printTable([...results.values()], plan().impossible)}\n`);
  });

  it('tries each way to migrate and each breaking, on every version', () => {
    const tried = <Name>(
      names: readonly Name[],
      of: (one: (typeof cases)[number]) => Name,
    ): void => {
      const missing = names.filter((name) => !cases.some((one) => of(one) === name));
      assert.deepEqual(missing, []);
    };
    tried(
      arms.map(({ name }) => name),
      ({ arm }) => arm.name,
    );
    tried(breakings, ({ breaking }) => breaking);
    tried(qemuVersions, ({ version }) => version);
  });

  for (const { title } of cases) {
    it(`keeps the guest, or says why it cannot: ${title}`, () => {
      const result = results.get(title);
      assert.ok(result !== undefined);
      assert.deepEqual(result.verdict.violations, [], describeViolation(result).join('\n'));
    });
  }
});
