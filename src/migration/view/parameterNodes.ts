import { stringifyJson, type JsonValue } from '../../qmp/json';
import type { MachineSnapshot, VmFacts } from '../../vm/types';
import {
  parameterGroups,
  rangeText,
  type Need,
  type ParameterGroup,
  type ParameterGroupInfo,
  type ParameterInfo,
  type Unit,
} from '../settings/catalogue';
import {
  describeParameters,
  formatParameterValue,
  needsConsent,
  type ParameterDescription,
} from '../settings/parameters';
import { sameValue } from '../settings/values';
import type { PairView } from './context';
import type { ViewNode } from './nodes';
import {
  changeIcon,
  copyTextOf,
  defaultFields,
  explanationOf,
  markWarnings,
  settingDescription,
  settingSpoken,
  sideWords,
  sinceField,
  type Field,
} from './settingText';

/** "Parameters", grouped, with every one that QEMU reports or lets one set. */
export function parametersNode(
  snapshot: MachineSnapshot,
  facts: VmFacts,
  pair: PairView | undefined,
): ViewNode {
  const failure = facts.failures.parameters;
  const all = describeParameters(facts);
  const byGroup = new Map<ParameterGroup, ParameterDescription[]>();
  for (const description of all) {
    const group = description.info?.group ?? 'other';
    byGroup.set(group, [...(byGroup.get(group) ?? []), description]);
  }
  return {
    id: `vm:${snapshot.id}/parameters`,
    kind: 'parameters',
    machineId: snapshot.id,
    label: 'Parameters',
    description: failure === undefined ? String(all.length) : 'could not be read',
    icon: { codicon: failure === undefined ? 'settings' : 'warning' },
    tooltip: {
      title: 'Migration parameters',
      body: 'What QEMU reports now; a click on one edits it. The number at the right tells how many differ from their default.',
      fields: [['QMP', 'query-migrate-parameters']],
      ...(failure !== undefined && { warnings: [failure.message] }),
    },
    expansion: all.length === 0 ? 'leaf' : 'collapsed',
    tags: ['parameters', 'as-text'],
    spoken: `Parameters, ${failure === undefined ? all.length : 'could not be read'}`,
    children: parameterGroups.flatMap((group) => {
      const members = byGroup.get(group.id) ?? [];
      return members.length === 0
        ? []
        : groupNode(
            snapshot,
            group,
            members.map((member) => parameterNode(snapshot, facts, pair, member)),
          );
    }),
  };
}

function groupNode(
  snapshot: MachineSnapshot,
  { id, title, summary }: ParameterGroupInfo,
  children: readonly ViewNode[],
): ViewNode {
  return {
    id: `vm:${snapshot.id}/parameters/${id}`,
    kind: 'parameter-group',
    machineId: snapshot.id,
    subject: id,
    label: title,
    description: String(children.length),
    tooltip: { title, body: summary },
    expansion: 'collapsed',
    tags: ['parameter-group', 'as-text'],
    spoken: `${title}, ${children.length} ${children.length === 1 ? 'parameter' : 'parameters'}`,
    children,
  };
}

function parameterNode(
  snapshot: MachineSnapshot,
  facts: VmFacts,
  pair: PairView | undefined,
  description: ParameterDescription,
): ViewNode {
  const { name, info, editable, value, changed, control } = description;
  const look = { ...description, ...textsOf(description) };
  return {
    id: `vm:${snapshot.id}/parameter/${name}`,
    kind: 'parameter',
    machineId: snapshot.id,
    subject: name,
    label: name,
    description: settingDescription(look),
    icon: changeIcon(changed),
    tooltip: {
      title: name,
      body: explanationOf(
        info,
        'This parameter is new to this extension; QEMU’s own type decides what it takes.',
      ),
      fields: parameterFields(facts, description),
      warnings: [
        ...[description.notEditableReason, needsConsent(name)].filter((text) => text !== undefined),
        ...markWarnings(description),
      ],
    },
    ...(info !== undefined && { keywords: info.summary }),
    expansion: 'leaf',
    tags: [
      'parameter',
      'copyable',
      control,
      ...(editable ? ['editable'] : []),
      ...(changed ? ['changed'] : []),
      ...(pair === undefined ? [] : ['paired']),
      // What is not set cannot be written as a command that sets it.
      ...(editable && value !== undefined ? ['as-text'] : []),
    ],
    spoken: settingSpoken(look),
    copyText: copyTextOf(value),
    ...(editable && { click: 'edit-parameter' as const }),
    children: [],
  };
}

/** Value and default as people read them, told apart even where both are rounded. */
function textsOf(description: ParameterDescription): {
  readonly text: string;
  readonly changedFrom: string | undefined;
} {
  const { value, changed, default: standard } = description;
  const text = formatParameterValue(description);
  if (!changed || standard.kind === 'unknown') return { text, changedFrom: undefined };
  const changedFrom = formatParameterValue({ ...description, value: standard.value });
  return text === changedFrom
    ? { text: exactText(value), changedFrom: exactText(standard.value) }
    : { text, changedFrom };
}

function exactText(value: JsonValue | undefined): string {
  return value === undefined ? 'not set' : stringifyJson(value);
}

const unitWords: Readonly<Record<Unit, string | undefined>> = {
  bytes: 'bytes',
  'bytes/s': 'bytes a second',
  ms: 'milliseconds',
  percent: 'percent',
  'MB/s': 'MiB a second',
  count: undefined,
  level: undefined,
  none: undefined,
};

function parameterFields(facts: VmFacts, description: ParameterDescription): readonly Field[] {
  const { name, info, unit, choices, control, value } = description;
  const format = (other: JsonValue | undefined): string =>
    formatParameterValue({ ...description, value: other });
  const fields: Field[] = [['Value', format(value)]];
  const unitText = unitWords[unit];
  const type =
    unitText === undefined ? description.typeText : `${description.typeText}, ${unitText}`;
  // The values have a line of their own.
  fields.push(['Type', control === 'enum' ? 'one of several' : type]);
  if (choices.length > 0) fields.push(['Values', choices.join(', ')]);
  if (info !== undefined) fields.push(...rangeFields(info));
  fields.push(...defaultFields(description.default, format));
  if (info !== undefined) {
    fields.push(sinceField(info), ['Sides', sideWords[info.sides]], ...needFields(facts, info));
    fields.push([
      'While a migration runs',
      info.takesEffectWhileRunning === true
        ? 'a change has an effect at once'
        : 'not then: a change has no effect on that migration',
    ]);
  }
  fields.push(['QMP', `migrate-set-parameters ${name}`]);
  return fields;
}

function rangeFields(info: ParameterInfo): Field[] {
  const { powerOfTwo, zeroMeans } = info;
  const range = rangeText(info);
  const parts = range === undefined ? [] : [range];
  if (powerOfTwo === true) parts.push('a power of two');
  if (zeroMeans !== undefined) parts.push(`0 means ${zeroMeans}`);
  return parts.length === 0 ? [] : [['Range', parts.join(', ')]];
}

function needFields(facts: VmFacts, { needs = [] }: ParameterInfo): Field[] {
  const texts = needs.flatMap((need) => needTexts(facts, need));
  return texts.length === 0 ? [] : [['Needs', texts.join('; ')]];
}

/** What must hold for the value to have an effect, and whether it does now. */
function needTexts(facts: VmFacts, { capability, parameter }: Need): readonly string[] {
  const texts: string[] = [];
  if (capability !== undefined) {
    texts.push(`${capability} on (${capabilityNow(facts, capability)})`);
  }
  if (parameter !== undefined) {
    const { name, value } = parameter;
    const now = Object.hasOwn(facts.parameters, name) ? facts.parameters[name] : undefined;
    const state = sameValue(now, value)
      ? 'it is'
      : `now ${now === undefined ? 'not set' : copyTextOf(now)}`;
    texts.push(`${name} = ${copyTextOf(value)} (${state})`);
  }
  return texts;
}

/** Whether a capability is on, in words for a tooltip. */
export function capabilityNow({ capabilities }: VmFacts, name: string): string {
  const found = capabilities.find((capability) => capability.name === name);
  if (found === undefined) return 'not in this QEMU';
  return found.enabled ? 'it is' : 'now off';
}
