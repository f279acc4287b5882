import { stringifyJson } from '../../qmp/json';
import type { MachineSnapshot, VmFacts } from '../../vm/types';
import {
  capabilityInfo,
  parameterGroups,
  type ParameterGroup,
  type Sides,
} from '../settings/catalogue';
import {
  describeParameters,
  formatParameterValue,
  type ParameterDescription,
} from '../settings/parameters';
import { formatQuantity, maxUint64 } from '../settings/units';
import type { ViewNode } from './nodes';

const sideWords: Readonly<Record<Sides, string>> = {
  'both-equal': 'must be equal on both sides',
  source: 'only the source’s value matters',
  target: 'only the target’s value matters',
  either: 'each side’s value stands for itself',
};

/** "Parameters", grouped, with every one that QEMU reports or lets one set. */
export function parametersNode(snapshot: MachineSnapshot, facts: VmFacts): ViewNode {
  const base = `vm:${snapshot.id}/parameters`;
  const failure = facts.failures.parameters;
  const all = describeParameters(facts);
  const byGroup = new Map<ParameterGroup, ParameterDescription[]>();
  for (const description of all) {
    const group = description.info?.group ?? 'other';
    byGroup.set(group, [...(byGroup.get(group) ?? []), description]);
  }
  const groups = parameterGroups.flatMap(({ id, title, summary }): ViewNode[] => {
    const members = byGroup.get(id);
    if (members === undefined) return [];
    return [
      {
        id: `${base}/${id}`,
        kind: 'parameter-group',
        machineId: snapshot.id,
        subject: id,
        label: title,
        description: String(members.length),
        tooltip: { title, body: summary },
        expansion: 'collapsed',
        tags: ['parameter-group'],
        spoken: `${title}, ${members.length} parameters`,
        children: members.map((member) => parameterNode(snapshot, member)),
      },
    ];
  });
  return {
    id: base,
    kind: 'parameters',
    machineId: snapshot.id,
    label: 'Parameters',
    description: failure === undefined ? String(all.length) : 'could not be read',
    icon: { codicon: failure === undefined ? 'settings' : 'warning' },
    tooltip: {
      title: 'Migration parameters',
      body: 'What QEMU reports now; a click on one edits it.',
      fields: [['QMP', 'query-migrate-parameters']],
      ...(failure !== undefined && { warnings: [failure.message] }),
    },
    expansion: 'collapsed',
    tags: ['parameters'],
    spoken: `Parameters, ${all.length}`,
    children: groups,
  };
}

function parameterNode(snapshot: MachineSnapshot, description: ParameterDescription): ViewNode {
  const { name, info, editable, value } = description;
  const text = formatParameterValue(description);
  const marks = [
    ...(description.unstable ? ['unstable'] : []),
    ...(description.deprecated ? ['deprecated'] : []),
  ];
  return {
    id: `vm:${snapshot.id}/parameter/${name}`,
    kind: 'parameter',
    machineId: snapshot.id,
    subject: name,
    label: name,
    description: [text, ...marks].join(' · '),
    tooltip: {
      title: name,
      body:
        info?.details ??
        'This parameter is new to this extension; QEMU’s own type decides what it takes.',
      fields: parameterFields(description),
      ...(description.notEditableReason !== undefined && {
        warnings: [description.notEditableReason],
      }),
    },
    expansion: 'leaf',
    tags: ['parameter', 'copyable', description.control, ...(editable ? ['editable'] : [])],
    spoken: `${name}, ${[text, ...marks].join(', ')}`,
    copyText: value === undefined ? '' : typeof value === 'string' ? value : stringifyJson(value),
    ...(editable && { click: 'edit-parameter' as const }),
    children: [],
  };
}

function parameterFields(
  description: ParameterDescription,
): readonly (readonly [string, string])[] {
  const { name, info, choices, unit } = description;
  const fields: (readonly [string, string])[] = [];
  if (info?.range !== undefined) {
    const { min, max } = info.range;
    const least = formatQuantity(min, unit);
    // The end of the type is no limit that anybody meets.
    const range =
      max === maxUint64 ? `${least} or more` : `${least} to ${formatQuantity(max, unit)}`;
    fields.push(['Range', range]);
  }
  if (choices.length > 0) fields.push(['Values', choices.join(', ')]);
  if (info !== undefined) {
    const until = info.until === undefined ? '' : `, gone in ${info.until}`;
    fields.push([
      'Since',
      info.since === 'patched' ? 'patched builds' : `QEMU ${info.since}${until}`,
    ]);
    fields.push(['Sides', sideWords[info.sides]]);
    const needs = (info.needs ?? []).flatMap(({ capability, parameter }) => [
      ...(capability === undefined ? [] : [capability]),
      ...(parameter === undefined ? [] : [`${parameter.name}=${String(parameter.value)}`]),
    ]);
    if (needs.length > 0) fields.push(['Needs', needs.join(', ')]);
  }
  fields.push(['QMP', `migrate-set-parameters ${name}`]);
  return fields;
}

/** "Capabilities", each a checkbox. */
export function capabilitiesNode(snapshot: MachineSnapshot, facts: VmFacts): ViewNode {
  const failure = facts.failures.capabilities;
  const { capabilities } = facts;
  const on = capabilities.filter(({ enabled }) => enabled).length;
  const description =
    failure === undefined ? `${capabilities.length} · ${on} on` : 'could not be read';
  return {
    id: `vm:${snapshot.id}/capabilities`,
    kind: 'capabilities',
    machineId: snapshot.id,
    label: 'Capabilities',
    description,
    icon: { codicon: failure === undefined ? 'checklist' : 'warning' },
    tooltip: {
      title: 'Migration capabilities',
      body: 'What QEMU reports now; the checkbox turns one on or off.',
      fields: [['QMP', 'query-migrate-capabilities']],
      ...(failure !== undefined && { warnings: [failure.message] }),
    },
    expansion: 'collapsed',
    tags: ['capabilities'],
    spoken: `Capabilities, ${capabilities.length}, ${on} on`,
    children: [...capabilities]
      .sort((a, b) => a.name.localeCompare(b.name))
      .map(({ name, enabled }) => capabilityNode(snapshot, name, enabled)),
  };
}

function capabilityNode(snapshot: MachineSnapshot, name: string, enabled: boolean): ViewNode {
  const info = capabilityInfo(name);
  const state = enabled ? 'on' : 'off';
  const marks = info?.unstable === true ? ' · unstable' : '';
  const fields: (readonly [string, string])[] = [];
  if (info !== undefined) {
    fields.push(['Since', info.since === 'patched' ? 'patched builds' : `QEMU ${info.since}`]);
    fields.push(['Sides', sideWords[info.sides]]);
    if (info.needs !== undefined) fields.push(['Needs', info.needs.join(', ')]);
    if (info.conflicts !== undefined) fields.push(['Not with', info.conflicts.join(', ')]);
  }
  fields.push(['QMP', `migrate-set-capabilities ${name}`]);
  return {
    id: `vm:${snapshot.id}/capability/${name}`,
    kind: 'capability',
    machineId: snapshot.id,
    subject: name,
    label: name,
    description: `${state}${marks}`,
    tooltip: {
      title: name,
      body: info?.details ?? 'This capability is new to this extension.',
      fields,
    },
    expansion: 'leaf',
    tags: ['capability', 'copyable', state],
    checked: enabled,
    spoken: `${name}, ${state}`,
    copyText: state,
    children: [],
  };
}
