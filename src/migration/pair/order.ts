import { allCapabilities, allParameters, parameterGroups } from '../settings/catalogue';

const groupRanks = new Map(parameterGroups.map(({ id }, index) => [id, index]));
const parameterRanks = ranksOf(
  [...allParameters].sort((a, b) => groupRank(a.group) - groupRank(b.group)),
);
const capabilityRanks = ranksOf(allCapabilities);

/** Parameters as a person reads them: group by group; those that we do not know last, by name. */
export function byParameterOrder(a: string, b: string): number {
  return compare(parameterRanks, a, b);
}

/** Capabilities in the order of the catalogue; those that we do not know last, by name. */
export function byCapabilityOrder(a: string, b: string): number {
  return compare(capabilityRanks, a, b);
}

function groupRank(group: (typeof parameterGroups)[number]['id']): number {
  return groupRanks.get(group) ?? groupRanks.size;
}

function ranksOf(infos: readonly { readonly name: string }[]): ReadonlyMap<string, number> {
  return new Map(infos.map(({ name }, index) => [name, index]));
}

function compare(ranks: ReadonlyMap<string, number>, a: string, b: string): number {
  const byRank = (ranks.get(a) ?? ranks.size) - (ranks.get(b) ?? ranks.size);
  // By code unit, not by locale: the same everywhere.
  return byRank !== 0 ? byRank : a < b ? -1 : a > b ? 1 : 0;
}
