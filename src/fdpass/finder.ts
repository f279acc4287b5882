import { FdPassHelper } from './helper';
import type { HelperLocation } from './locate';

/** How long a helper that was found is taken for granted. */
const keepMs = 30_000;

/** Finds the helper, and asks again at most every half a minute: many machines connect at once. */
export function helperFinder(
  locate: () => Promise<HelperLocation>,
): () => Promise<FdPassHelper | undefined> {
  let last: { readonly at: number; readonly found: Promise<FdPassHelper | undefined> } | undefined;
  return () => {
    const now = performance.now();
    if (last === undefined || now - last.at > keepMs) {
      const found = locate().then(
        (location) => (location.kind === 'found' ? new FdPassHelper(location.path) : undefined),
        () => undefined,
      );
      last = { at: now, found };
    }
    return last.found;
  };
}
