import type { CommandOption } from '../../../vm/commandLine/commandLine';
import { shown, type Draft, type Remark } from './draft';

/** Where the option keeps an update from being made, or where it is to be got around. */
export const otherWay = 'Migrate to a target that you start yourself, or restart the guest.';

/** Something that exists once, or whose state is only in the source. */
export function blocks(
  draft: Draft,
  option: CommandOption,
  id: string,
  what: string,
  why: string,
  nextStep = otherWay,
): void {
  remark(draft, option, { id, level: 'blocks', what, why, nextStep });
}

/** Something is lost that a person may miss. */
export function warns(
  draft: Draft,
  option: CommandOption,
  id: string,
  what: string,
  why: string,
  nextStep: string,
): void {
  remark(draft, option, { id, level: 'warns', what, why, nextStep });
}

export function tells(
  draft: Draft,
  option: CommandOption,
  id: string,
  what: string,
  why: string,
  nextStep = 'Nothing has to be done.',
): void {
  remark(draft, option, { id, level: 'tells', what, why, nextStep });
}

function remark(draft: Draft, option: CommandOption, found: Omit<Remark, 'subject'>): void {
  draft.find({ ...found, subject: shown(option) });
}
