import type { MachineSnapshot, VmFacts } from '../../vm/types';
import { describeCapabilities, type CapabilityDescription } from '../settings/capabilities';
import type { PairView } from './context';
import type { ViewNode } from './nodes';
import { capabilityNow } from './parameterNodes';
import {
  defaultFields,
  explanationOf,
  markWarnings,
  settingDescription,
  settingSpoken,
  sideWords,
  sinceField,
  type Field,
} from './settingText';

/** "Capabilities", each a checkbox. */
export function capabilitiesNode(
  snapshot: MachineSnapshot,
  facts: VmFacts,
  pair: PairView | undefined,
): ViewNode {
  const failure = facts.failures.capabilities;
  const all = describeCapabilities(facts);
  return {
    id: `vm:${snapshot.id}/capabilities`,
    kind: 'capabilities',
    machineId: snapshot.id,
    label: 'Capabilities',
    description: failure === undefined ? String(all.length) : 'could not be read',
    icon: { codicon: failure === undefined ? 'checklist' : 'warning' },
    tooltip: {
      title: 'Migration capabilities',
      body: 'What QEMU reports now; the checkbox turns one on or off. The number at the right tells how many differ from their default.',
      fields: [['QMP', 'query-migrate-capabilities']],
      ...(failure !== undefined && { warnings: [failure.message] }),
    },
    expansion: all.length === 0 ? 'leaf' : 'collapsed',
    tags: ['capabilities', 'as-text'],
    spoken: `Capabilities, ${failure === undefined ? all.length : 'could not be read'}`,
    children: [...all]
      .sort((a, b) => a.name.localeCompare(b.name))
      .map((description) => capabilityNode(snapshot, facts, pair, description)),
  };
}

function capabilityNode(
  snapshot: MachineSnapshot,
  facts: VmFacts,
  pair: PairView | undefined,
  description: CapabilityDescription,
): ViewNode {
  const { name, info, enabled, changed, default: standard } = description;
  const look = {
    ...description,
    text: stateWord(enabled),
    changedFrom: changed && standard.kind === 'known' ? stateWord(standard.value) : undefined,
  };
  return {
    id: `vm:${snapshot.id}/capability/${name}`,
    kind: 'capability',
    machineId: snapshot.id,
    subject: name,
    label: name,
    description: settingDescription(look),
    tooltip: {
      title: name,
      body: explanationOf(info, 'This capability is new to this extension.'),
      fields: capabilityFields(facts, description),
      warnings: markWarnings(description),
    },
    ...(info !== undefined && { keywords: info.summary }),
    expansion: 'leaf',
    tags: [
      'capability',
      'copyable',
      stateWord(enabled).replaceAll(' ', '-'),
      'editable',
      ...(changed ? ['changed'] : []),
      ...(pair === undefined ? [] : ['paired']),
      ...(enabled === undefined ? [] : ['as-text']),
    ],
    checked: enabled === true,
    spoken: settingSpoken(look),
    copyText: stateWord(enabled),
    children: [],
  };
}

function stateWord(state: unknown): string {
  if (state === undefined) return 'not reported';
  return state === true ? 'on' : 'off';
}

function capabilityFields(facts: VmFacts, description: CapabilityDescription): readonly Field[] {
  const { name, info, enabled } = description;
  const fields: Field[] = [['State', stateWord(enabled)]];
  fields.push(...defaultFields(description.default, stateWord));
  if (info !== undefined) {
    fields.push(sinceField(info), ['Sides', sideWords[info.sides]]);
    const now = (names: readonly string[]): string =>
      names.map((other) => `${other} (${capabilityNow(facts, other)})`).join(', ');
    if (info.needs !== undefined) fields.push(['Needs', now(info.needs)]);
    if (info.conflicts !== undefined) fields.push(['Not with', info.conflicts.join(', ')]);
  }
  fields.push(['While a migration runs', 'not then: QEMU refuses it']);
  fields.push(['QMP', `migrate-set-capabilities ${name}`]);
  return fields;
}
