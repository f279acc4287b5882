import { states } from '../../src/migration/run/states';
import type { GuestOwner, RunPhase } from '../../src/migration/run/types';

const begin = '<!-- states of a run: begin (npm run diagram) -->';
const end = '<!-- states of a run: end -->';

const names = Object.keys(states) as RunPhase[];

const owners: Readonly<Record<GuestOwner, string>> = {
  source: 'source',
  target: 'target',
  'neither-yet': 'neither yet',
  file: 'file',
  nobody: 'nobody',
  unknown: 'what is proven',
};

/**
 * The document with the states of a run between its markers.
 *
 * @throws {Error} the markers are not there, each once and in order
 */
export function withDiagram(document: string): string {
  const [before, rest, ...more] = document.split(begin);
  const [, after, ...evenMore] = rest?.split(end) ?? [];
  if (before === undefined || after === undefined || more.length > 0 || evenMore.length > 0) {
    throw new Error(`The document needs "${begin}" and, below it, "${end}", each once.`);
  }
  return `${before}${begin}\n\n${diagram()}\n\n${table()}\n\n${end}${after}`;
}

/** Mermaid: each state with its owner, each way out of it. */
function diagram(): string {
  return [
    '```mermaid',
    'stateDiagram-v2',
    ...names.map((name) => `  state "${name}: ${states[name].words}" as ${idOf(name)}`),
    `  [*] --> ${idOf('plan')}`,
    ...names.flatMap((name) =>
      states[name].exits.map((exit) => `  ${idOf(name)} --> ${idOf(exit)}`),
    ),
    ...names
      .filter((name) => states[name].exits.length === 0)
      .map((name) => `  ${idOf(name)} --> [*]`),
    '```',
  ].join('\n');
}

function table(): string {
  const rows = names.map((name) => {
    const { owner, commands } = states[name];
    const allowed = commands.map((command) => `\`${command}\``).join(', ');
    return `| ${name} | ${owners[owner]} | ${allowed === '' ? 'none' : allowed} |`;
  });
  return [
    '| State | May run the guest | May be sent (queries always) |',
    '| --- | --- | --- |',
    ...rows,
  ].join('\n');
}

/** A hyphen would end a name of mermaid's. */
function idOf(name: RunPhase): string {
  return name.replaceAll('-', '_');
}
