import { methodOf } from '../../methods/names';
import type { Obstacle, ObstacleId } from './obstacle';
import type { MigrationRequest } from '../types';

/** The QEMU that is asked refuses at once, or the channel is not made: no guest stands still. */
const refusedAtOnce: ReadonlySet<ObstacleId> = new Set([
  'machine-type',
  'memory-size',
  'uuid',
  'ram-block',
  'tls-creds',
  'unix-path-users',
  'unix-path-root',
  'zero-copy-unix',
  'dirty-limit-ring',
  'tcp-port-taken',
  'userfaultfd',
]);

/** The target refuses when the guest arrives; over a return path the guest then goes on at the source. */
const refusedLate: ReadonlySet<ObstacleId> = new Set([
  'vcpu-count',
  'device-missing',
  'device-differs',
]);

/**
 * Whether a person may overrule it: only what at worst makes a QEMU refuse, or fail with the guest
 * back at the source. What hangs, ends a QEMU, loses or doubles a guest cannot be forced.
 */
export function isForceable({ id }: Pick<Obstacle, 'id'>, request: MigrationRequest): boolean {
  switch (methodOf(request)) {
    case 'precopy':
      return refusedAtOnce.has(id) || refusedLate.has(id);
    case 'postcopy':
      // A target that fails late may have pages already that the source does not have any more.
      return refusedAtOnce.has(id);
    case 'save':
      // The file is removed, and the guest goes on where it was.
      return id === 'file-space' || id === 'dirty-limit-ring';
    case 'cpr-exec':
      // Nobody has tried it: whoever insists may lose the guest, and is told so.
      return id === 'exec-unproven';
    case 'shared-ram':
    case 'cpr-transfer':
    case 'restore':
      // Only the user knows whether the file is whole, or the disks were put back with it.
      return id === 'saved-unfinished' || id === 'restored-before';
    case 'cpr-reboot':
      // A target that fails may have written to the memory that it shares; a file is the only copy.
      return false;
  }
}

const shortestReason = 10;

/** Why the reason does not serve, as a sentence; `undefined` when it does. */
export function reasonProblem(reason: string): string | undefined {
  const text = reason.trim();
  if (/\p{Cc}|\p{Cs}|\p{Co}|\p{Cn}/u.test(text)) {
    return 'The reason for going on all the same holds characters that cannot be printed.';
  }
  if (Array.from(text).length < shortestReason) {
    return `The reason for going on all the same is too short: it takes at least ${shortestReason} characters.`;
  }
  return undefined;
}

/** What of these a reason cannot overrule, and what it does. */
export function applyForce(
  request: MigrationRequest,
  obstacles: readonly Obstacle[],
): { readonly remaining: readonly Obstacle[]; readonly overridden: readonly Obstacle[] } {
  const { force } = request;
  const overridden = obstacles.filter((obstacle) => isForceable(obstacle, request));
  if (force === undefined || overridden.length === 0) {
    return { remaining: obstacles, overridden: [] };
  }
  const problem = reasonProblem(force.reason);
  if (problem !== undefined) {
    const bad: Obstacle = {
      id: 'force-reason',
      side: 'both',
      reason: problem,
      nextStep: 'Say why it may go on, in some words; they are kept in the journal.',
    };
    return { remaining: [...obstacles, bad], overridden: [] };
  }
  return { remaining: obstacles.filter((each) => !overridden.includes(each)), overridden };
}
