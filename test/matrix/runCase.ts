import { Arena, NotReachedError } from './arena';
import type { Case } from './cases';
import { judge, type Verdict } from './judge';
import { perform, type Course } from './perform';

/** One case, from two fresh QEMUs to the verdict. */
export interface CaseResult {
  readonly case: Case;
  readonly course: Course | undefined;
  readonly verdict: Verdict;
  readonly durationMs: number;
  /** For whoever has to find out what happened. */
  readonly report: readonly string[];
}

/** How often the arena may miss a phase, which lasts only moments, before that counts. */
const attempts = 3;

/** Never rejects: what goes wrong is a violation. */
export async function runCase(kase: Case): Promise<CaseResult> {
  const startedAt = Date.now();
  for (let attempt = 1; ; attempt += 1) {
    try {
      const result = await tryCase(kase);
      return { ...result, durationMs: Date.now() - startedAt };
    } catch (error) {
      if (error instanceof NotReachedError && attempt < attempts) continue;
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      return {
        case: kase,
        course: undefined,
        verdict: { runsOn: 'nowhere', violations: [`the case could not be tried: ${text}`] },
        durationMs: Date.now() - startedAt,
        report: [],
      };
    }
  }
}

async function tryCase(kase: Case): Promise<Omit<CaseResult, 'durationMs'>> {
  const arena = await Arena.open(kase);
  try {
    await arena.reach();
    const { driver } = arena;
    const course = await perform(arena);
    const verdict = await judge(arena, course);
    const { source, target } = arena.seats;
    const events = [source, target].map(({ watcher }) => {
      const seen = watcher.events.map(
        ({ name, status, at }) => `${(at % 100_000).toFixed(0)} ${status ?? name}`,
      );
      return `${watcher.name}: ${seen.join(', ')}`;
    });
    return {
      ...{ case: kase, course, verdict },
      report: [
        `phases: ${driver.phases.join(', ')}`,
        ...events,
        ...driver.told,
        ...(course.last === undefined
          ? []
          : [course.last.headline, ...course.last.details, course.last.nextStep]),
      ],
    };
  } finally {
    await arena.close();
  }
}
