import { methodOf } from '../methods/names';
import { modeOf } from '../methods/planned';
import { changeToMatch, compareMachines } from '../pair/compare';
import { isEmptyChange } from '../settings/change';
import type { Obstacle } from '../run/checks/obstacle';
import { mainMemoryOf } from './memory';
import { isOn, switching, type Finding, type PreflightInput, type PreflightSide } from './types';

/** Settings that differ, that a run changes, or that this host may not carry. */
export function settingFindings(
  input: PreflightInput,
  /** The same with the settings that the run makes before it begins. */
  planned: PreflightInput,
  obstacles: readonly Obstacle[],
): readonly Finding[] {
  return [
    ...differenceFindings(planned, obstacles),
    ...postcopyFinding(input),
    ...returnPathFinding(input),
    ...modeFinding(input),
  ];
}

/** What should be equal beyond what forbids a run. */
function differenceFindings(
  { source, target }: PreflightInput,
  obstacles: readonly Obstacle[],
): readonly Finding[] {
  const told = new Set(obstacles.map(({ subject }) => subject));
  const problems = compareMachines(source.snapshot, target.snapshot)?.problems ?? [];
  return problems
    .filter(({ kind, name }) => (kind === 'parameter' || kind === 'capability') && !told.has(name))
    .map((row): Finding => {
      const { name } = row;
      const { change } = changeToMatch(source.snapshot, target.snapshot, new Set([name]));
      return {
        id: 'setting-differs',
        subject: name,
        level: 'warns',
        side: 'both',
        what: `${name} differs: ${row.source.text} and ${row.target.text}.`,
        why: row.note ?? 'It should be the same on both sides.',
        nextStep: 'Make both sides equal.',
        ...(!isEmptyChange(change) && {
          fix: { title: `Give the target the source's ${name}`, target: change },
        }),
      };
    });
}

function postcopyFinding({ request, source, target, host }: PreflightInput): readonly Finding[] {
  if (!isOn(source.facts, 'postcopy-ram') && !isOn(target.facts, 'postcopy-ram')) return [];
  // With the method it is a matter of its own, which forbids the run.
  if (methodOf(request) === 'postcopy') return [];
  if (host.anyUserfaultfd !== false || target.snapshot.process?.uid === 0) return [];
  return [
    {
      id: 'userfaultfd',
      level: 'warns',
      side: 'host',
      what: 'postcopy-ram is on, and this host lets root alone handle page faults (vm.unprivileged_userfaultfd is 0).',
      why: 'A target without /dev/userfaultfd fails when postcopy begins, with the guest paused.',
      nextStep:
        'Set "sysctl vm.unprivileged_userfaultfd=1", give QEMU access to /dev/userfaultfd, or turn postcopy-ram off.',
      fix: {
        title: 'Turn postcopy-ram off on both sides',
        source: switching({ 'postcopy-ram': false }),
        target: switching({ 'postcopy-ram': false }),
      },
    },
  ];
}

function returnPathFinding({ source, target }: PreflightInput): readonly Finding[] {
  const off = [source, target].filter(({ facts }) => !isOn(facts, 'return-path'));
  if (off.length === 0) return [];
  const change = switching({ 'return-path': true });
  return [
    {
      id: 'return-path',
      level: 'tells',
      side: 'both',
      what: `return-path is off at ${off.map(({ snapshot }) => snapshot.label).join(' and ')}; a run turns it on.`,
      why: 'Without it the source says "completed" even when the target failed to take the guest.',
      nextStep: 'Nothing; turn it on yourself before you migrate by other means.',
      fix: {
        title: 'Turn return-path on at both sides',
        ...(off.includes(source) && { source: change }),
        ...(off.includes(target) && { target: change }),
      },
    },
  ];
}

function modeFinding({ request, source }: PreflightInput): readonly Finding[] {
  const { mode } = source.facts.parameters;
  if (typeof mode !== 'string' || mode === modeOf(request)) return [];
  return [
    {
      id: 'mode',
      level: 'tells',
      side: 'source',
      what: `mode is ${mode} at the source; a run sets it to normal.`,
      why: cprMemory(mode, source),
      nextStep: 'Nothing; with mode normal the memory is copied.',
      fix: {
        title: 'Set mode to normal',
        source: { parameters: { mode: 'normal' }, capabilities: {} },
      },
    },
  ];
}

/** Whether the modes that keep the memory in place could be used at all. */
function cprMemory(mode: string, side: PreflightSide): string {
  const arguments_ = 'QEMU ends when such a mode meets the arguments of a plain migration.';
  if (mode !== 'cpr-transfer' && mode !== 'cpr-exec') return arguments_;
  const main = mainMemoryOf(side);
  return main === undefined || main.shared
    ? arguments_
    : `${arguments_} This guest could not use it: its memory "${main.id}" was started without share=on.`;
}
