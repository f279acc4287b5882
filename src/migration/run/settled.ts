import { stageOf } from './migrationInfo';
import { isPostcopy, type Answered, type SideView } from './ownership';

/** How the source's side of the migration ended. */
export type FollowEnd =
  | { readonly kind: 'completed' | 'failed' | 'cancelled' }
  /** The reply of `migrate` was lost, and the command with it. */
  | { readonly kind: 'failed'; readonly neverBegan: true }
  /** The source's process ended before it told. */
  | { readonly kind: 'source-gone' }
  /** Postcopy was interrupted and could not be recovered; it may be tried again. */
  | { readonly kind: 'interrupted' }
  /** Nobody answered for a minute, or somebody told us to stop watching. */
  | { readonly kind: 'lost-sight' };

/** Both sides have said all that they will say by themselves. */
export function isSettled(
  { kind }: FollowEnd,
  source: SideView,
  target: SideView,
  guestStayed: boolean,
): boolean {
  if (kind === 'lost-sight' || kind === 'interrupted') return true;
  if (kind === 'completed') {
    // QEMU says "completed" a moment before the source has its last run state.
    if (source.kind === 'answered' && !isSteady(source)) return false;
    return target.kind === 'gone' || (isAtRest(target) && !isWaiting(target));
  }
  if (source.kind === 'gone') return isAtRest(target);
  if (source.kind !== 'answered') return false;
  if (isPostcopy(source.migrationStatus)) return target.kind === 'gone';
  // A guest that left may still start on the target.
  return isSteady(source) && (guestStayed || isAtRest(target));
}

/** The target's side of the migration has come to an end, of whatever kind. */
function isAtRest(target: SideView): boolean {
  if (target.kind !== 'answered') return target.kind === 'gone';
  const { migrationStatus } = target;
  return (
    ['completed', 'failed'].includes(stageOf(migrationStatus)) ||
    migrationStatus === 'postcopy-paused'
  );
}

function isWaiting(target: SideView): boolean {
  return target.kind === 'answered' && target.runState.status === 'inmigrate';
}

/** The source is in none of the states that QEMU itself leaves within moments. */
function isSteady({ runState }: Answered): boolean {
  return !['finish-migrate', 'colo', 'unknown'].includes(runState.status);
}
