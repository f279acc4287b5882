import type { Remedy } from '../../migration/run/pace/convergence';
import type { ControlId, ControlRequest } from '../../migration/run/controls';
import { parameterInfo } from '../../migration/settings/catalogue';
import { checkChange } from '../../migration/settings/findings';
import {
  describeParameter,
  needsConsent,
  parseParameterInput,
} from '../../migration/settings/parameters';
import { editableQuantity } from '../../migration/settings/units';
import type { JsonValue } from '../../qmp/json';
import type { VmFacts } from '../../vm/types';

/** What one typed line asks for. */
export type ControlLine =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'help' }
  | {
      readonly kind: 'request';
      readonly request: ControlRequest;
      readonly notes: readonly string[];
    }
  /** It makes no sense; nothing is sent. */
  | { readonly kind: 'problem'; readonly text: string };

/** What is typed for each control. */
export const controlWords: Readonly<Record<ControlId, string>> = {
  'start-postcopy': 'postcopy',
  'release-switchover': 'release',
  'set-parameters': 'set',
  cancel: 'cancel',
  yank: 'yank',
  'pause-postcopy': 'pause',
  'recover-postcopy': 'recover',
};

export const controlHint =
  'Controls: type one and Enter: help, cancel, set NAME=VALUE, postcopy, release, pause, recover, yank. "help" explains them.';

/** @param source as it answered last; absent: nothing can be set */
export function parseControlLine(line: string, source: VmFacts | undefined): ControlLine {
  const [word = '', ...rest] = line.trim().split(/\s+/);
  if (word === '') return { kind: 'nothing' };
  const name = word.toLowerCase();
  if (name === 'set') return parseSet(line.trim().slice(word.length).trim(), source);
  if (rest.length > 0) return problem(`"${name}" stands alone on its line.`);
  if (name === 'help' || name === '?') return { kind: 'help' };
  for (const [id, typed] of Object.entries(controlWords) as [ControlId, string][]) {
    if (typed === name && id !== 'set-parameters') {
      return { kind: 'request', request: { id }, notes: [] };
    }
  }
  const said = word.length > 40 ? `${word.slice(0, 40)}...` : word;
  return problem(`"${said}" is no control; "help" lists them.`);
}

function parseSet(text: string, source: VmFacts | undefined): ControlLine {
  if (text === '') return problem('Type what to set, such as: set max-bandwidth=2GiB/s');
  if (source === undefined) return problem('The source has not told its parameters.');
  const parameters: Record<string, JsonValue> = {};
  // A value may have a blank before its unit.
  for (const assignment of text.split(/\s+(?=[\w-]+=)/)) {
    const at = assignment.indexOf('=');
    if (at < 1) return problem(`"${assignment}" is not NAME=VALUE.`);
    const name = assignment.slice(0, at).trim();
    const description = describeParameter(source, name);
    if (description === undefined)
      return problem(`This QEMU has no migration parameter "${name}".`);
    if (needsConsent(name) !== undefined) {
      return problem(`${name} is nothing to change while a migration goes on.`);
    }
    const parsed = parseParameterInput(description, assignment.slice(at + 1));
    if (!parsed.ok) return problem(`${name}: ${parsed.problem}`);
    parameters[name] = parsed.value;
  }
  const findings = checkChange(source, { parameters, capabilities: {} });
  const refused = findings.filter(({ level }) => level === 'refuse');
  if (refused.length > 0) return problem(refused.map((finding) => finding.text).join(' '));
  return {
    kind: 'request',
    request: { id: 'set-parameters', parameters },
    notes: findings.map((finding) => finding.text),
  };
}

function problem(text: string): ControlLine {
  return { kind: 'problem', text };
}

/** What to type for a remedy. */
export function lineOfRemedy({ id, parameters }: Remedy): string {
  if (id === 'start-postcopy') return controlWords['start-postcopy'];
  const assignments = Object.entries(parameters).map(([name, value]) => {
    const unit = parameterInfo(name)?.unit;
    const text = unit === undefined ? String(value) : editableQuantity(BigInt(value), unit);
    return `${name}=${text.replaceAll(' ', '')}`;
  });
  return `set ${assignments.join(' ')}`;
}
