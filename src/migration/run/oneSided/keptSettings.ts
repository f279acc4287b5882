import { QmpCommandError, QmpError } from '../../../qmp/errors';
import type { JsonValue } from '../../../qmp/json';
import type { MachineHandle, VmFacts } from '../../../vm/types';
import { sameValue } from '../../settings/values';
import type { KeptSettings } from '../journal/state';
import { hasParameter, type OneSided } from './common';

/** What a run with `cpr-exec` sets itself; in the old program all else is as it was. */
export const touchedParameters: readonly string[] = ['mode', 'cpr-exec-command', 'max-bandwidth'];

/** All settings of a QEMU that can be set again; the one that replaces it begins with the defaults. */
export function readKept(machine: MachineHandle): KeptSettings {
  const { facts } = machine.snapshot;
  const on = facts?.capabilities.filter(({ enabled }) => enabled) ?? [];
  return {
    capabilities: on.map(({ name }) => name),
    parameters: Object.fromEntries(
      Object.entries(facts?.parameters ?? {}).filter(([name]) => hasParameter(machine, name)),
    ),
  };
}

/**
 * Sets all that differs from what was kept.
 *
 * @param names these parameters only; absent: all
 * @returns what could not be put back, as sentences
 */
export async function putBackKept(
  { gate, machine, log }: OneSided,
  kept: KeptSettings,
  names?: readonly string[],
): Promise<readonly string[]> {
  const { label } = machine.snapshot;
  const problems: string[] = [];
  const sorry = (name: string, why: string): void => {
    problems.push(`${name} of ${label} could not be put back: ${why}`);
  };
  try {
    const facts = await machine.refresh(['capabilities', 'parameters']);
    const wrong = facts.capabilities
      .filter(({ name, enabled }) => enabled !== kept.capabilities.includes(name))
      .map(({ name, enabled }) => ({ capability: name, state: !enabled }));
    const there = new Set(facts.capabilities.map(({ name }) => name));
    for (const name of kept.capabilities) {
      if (!there.has(name)) sorry(name, 'this QEMU does not have it.');
    }
    await each(wrong, async (capabilities) => {
      await gate.send('source', 'migrate-set-capabilities', { capabilities });
    }).then((left) => left.forEach(([{ capability }, why]) => sorry(capability, why)));
    const different = Object.entries(kept.parameters).filter(
      ([name, value]) =>
        (names === undefined || names.includes(name)) &&
        !isSame(facts.parameters[name], value) &&
        (hasParameter(machine, name) || (sorry(name, 'this QEMU does not have it.'), false)),
    );
    await each(different, async (parameters) => {
      await gate.send('source', 'migrate-set-parameters', Object.fromEntries(parameters));
    }).then((left) => left.forEach(([[name], why]) => sorry(name, why)));
    await machine.refresh(['capabilities', 'parameters']);
  } catch (error) {
    log(`settings of ${label}: ${String(error)}`);
    problems.push(
      `The settings of ${label} could not be put back: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  return problems;
}

function isSame(now: JsonValue | undefined, before: JsonValue): boolean {
  return now !== undefined && sameValue(now, before);
}

/**
 * All at once, for they may need each other; one by one where QEMU refuses that.
 *
 * @returns those that it refused, with its words
 */
async function each<T>(
  all: readonly T[],
  send: (some: readonly T[]) => Promise<void>,
): Promise<readonly (readonly [T, string])[]> {
  if (all.length === 0) return [];
  try {
    await send(all);
    return [];
  } catch (error) {
    if (!(error instanceof QmpCommandError)) throw error;
  }
  const refused: (readonly [T, string])[] = [];
  for (const one of all) {
    try {
      await send([one]);
    } catch (error) {
      if (!(error instanceof QmpError)) throw error;
      refused.push([one, error instanceof QmpCommandError ? error.desc : error.message]);
    }
  }
  return refused;
}

/** As `11.1.3`. */
export function versionText({ version }: VmFacts): string {
  return `${version.major}.${version.minor}.${version.micro}`;
}
