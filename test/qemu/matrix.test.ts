import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import { provisionQemu, qemuVersions } from '../../scripts/lib/qemu';
import { Arena } from '../matrix/arena';
import { arms } from '../matrix/arms';
import { plan } from '../matrix/cases';
import { judge } from '../matrix/judge';
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

  it('would notice two copies, and a wrong word', async () => {
    // What nobody may ever do, done by hand: the source is continued while the target runs.
    const [kase] = plan({ method: 'precopy-unix', version: '11.1', phase: 'prepare' }).cases;
    assert.ok(kase !== undefined);
    const arena = await Arena.open({ ...kase, breaking: 'cancel', phase: 'transfer' });
    try {
      await arena.reach();
      await arena.release();
      const outcome = await arena.driver.untilOutcome(20_000);
      assert.equal(outcome?.kind, 'completed', outcome?.headline);
      await arena.source.probe('cont');
      const told = { ...outcome, owner: 'source' as const };
      const course = { first: told, last: told, by: 'driver' as const };
      const { runsOn, violations } = await judge(arena, course);
      assert.equal(runsOn, 'both');
      assert.match(violations.join('\n'), /both ran the guest for \d+.*ms/);
      assert.match(violations.join('\n'), /owner source, but the headline/);
      assert.match(violations.join('\n'), /the journal says/);
    } finally {
      await arena.close();
    }
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
