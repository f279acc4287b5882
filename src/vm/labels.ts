import type { MachineId } from './types';

/**
 * What tells machines of one name apart: the end of the socket's path, as long as it has to be. A
 * source and its target usually have the same `-name`, and a monitor's path is all that differs.
 *
 * @returns the label of each, by id: `web-1`, or `web-1 (web-1-new.qmp)`
 */
export function distinctLabels(
  machines: readonly { readonly id: MachineId; readonly name: string }[],
): ReadonlyMap<MachineId, string> {
  const byName = new Map<string, MachineId[]>();
  for (const { id, name } of machines) byName.set(name, [...(byName.get(name) ?? []), id]);
  return new Map(
    machines.map(({ id, name }) => {
      const same = byName.get(name) ?? [];
      return [id, same.length < 2 ? name : `${name} (${shortestEnd(id, same)})`];
    }),
  );
}

/** The fewest last parts of the path that no other of these paths ends with. */
function shortestEnd(id: MachineId, all: readonly MachineId[]): string {
  const parts = id.split('/');
  for (let count = 1; count < parts.length; count += 1) {
    const end = parts.slice(-count).join('/');
    if (all.filter((other) => `/${other}`.endsWith(`/${end}`)).length === 1) return end;
  }
  return id;
}
