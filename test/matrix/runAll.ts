import type { Case } from './cases';
import { runCase, type CaseResult } from './runCase';

/** Runs the cases, `pairs` of them at a time, and returns their results in the order of the cases. */
export async function runAll(
  cases: readonly Case[],
  options: {
    readonly pairs: number;
    readonly onResult?: (result: CaseResult, done: number) => void;
  },
): Promise<readonly CaseResult[]> {
  const results: CaseResult[] = [];
  let next = 0;
  let done = 0;
  const work = async (): Promise<void> => {
    for (let index = next++; index < cases.length; index = next++) {
      const kase = cases[index];
      if (kase === undefined) return;
      const result = await runCase(kase);
      results[index] = result;
      options.onResult?.(result, ++done);
    }
  };
  await Promise.all(Array.from({ length: options.pairs }, work));
  return results;
}
