import { updateMethodTitles } from '../view/updateWords';
import { shellWord } from './shellWord';
import type { ArgumentChange, LedgerRow, LiveUpdatePlan, PlanStep } from './types';

/** A plan as Markdown, to be read line by line before it runs. Pure. */
export function planDocument(plan: LiveUpdatePlan): string {
  return [
    `# Live update of ${plain(plan.label)}`,
    summary(plan),
    '## Findings',
    findings(plan),
    '## Ways',
    methods(plan),
    '## Command line',
    ...commandLine(plan),
    '## Steps',
    steps(plan.steps),
    '## Open descriptors',
    ledger(plan.ledger),
  ]
    .join('\n\n')
    .concat('\n');
}

function summary(plan: LiveUpdatePlan): string {
  const { sourceVersion, targetVersion, start, method, why } = plan;
  const blocked = plan.findings.some(({ level }) => level === 'blocks');
  return [
    `- From QEMU ${sourceVersion} (process ${start.like.pid}) to QEMU ${targetVersion ?? 'of an unknown version'}, ${code(start.program)}`,
    `- Method: **${updateMethodTitles[method]}** (${code(method)}). ${why}`,
    `- ${blocked ? '**It cannot begin: see the findings that block.**' : 'Nothing stands in its way.'}`,
  ].join('\n');
}

const levelTitles = { blocks: 'Blocks', warns: 'Warns', tells: 'Tells' } as const;

function findings({ findings: found }: LiveUpdatePlan): string {
  if (found.length === 0) return 'None.';
  return found
    .map(
      ({ level, what, why, nextStep }) =>
        `- **${levelTitles[level]}:** ${plain(what)}\n  ${plain(why)} ${plain(nextStep)}`,
    )
    .join('\n');
}

function methods(plan: LiveUpdatePlan): string {
  return plan.methods
    .map(({ method, offered, reason }) => {
      const mark = method === plan.method ? '**chosen**' : offered ? 'possible' : 'not possible';
      return `- ${updateMethodTitles[method]} (${code(method)}), ${mark}: ${plain(reason)}`;
    })
    .join('\n');
}

function commandLine({ changes, moves, late, pidFile, start }: LiveUpdatePlan): readonly string[] {
  const reasons = changes.flatMap(({ before, after, why }) =>
    why === undefined
      ? []
      : [`- ${code([...(after.length > 0 ? after : before)].join(' '))}: ${plain(why)}`],
  );
  const handed = start.adopt.map(
    ({ sourceFd, targetFd, tap, netdev }) =>
      `- Descriptor ${sourceFd} of the old QEMU is ${targetFd} in the new one${tap === undefined ? '' : `: a queue of the TAP ${plain(tap)}`}${netdev === undefined ? '' : `, for ${code(netdev)}`}`,
  );
  const later = [
    ...moves.map(({ what, from, to }) => `- ${plain(what)}: ${code(from)} becomes ${code(to)}`),
    ...late.map(({ what }) => `- ${plain(what)}`),
    ...(pidFile === undefined ? [] : [`- The new process goes into ${code(pidFile)}`]),
  ];
  return [
    fenced('diff', changes.flatMap(diffLines).join('\n')),
    ...(reasons.length === 0 ? [] : [`Why:\n\n${reasons.join('\n')}`]),
    ...(handed.length === 0 ? [] : [`Handed over at the start:\n\n${handed.join('\n')}`]),
    ...(later.length === 0 ? [] : [`When the old QEMU is gone:\n\n${later.join('\n')}`]),
  ];
}

function diffLines({ kind, before, after }: ArgumentChange): readonly string[] {
  const line = (mark: string, words: readonly string[]): readonly string[] =>
    words.length === 0 ? [] : [`${mark} ${words.map(shellWord).join(' ')}`];
  // An option that became several has a line for each.
  const all = (mark: string, words: readonly string[]): readonly string[] =>
    split(words).flatMap((option) => line(mark, option));
  return kind === 'kept' ? all(' ', after) : [...all('-', before), ...all('+', after)];
}

function split(words: readonly string[]): readonly (readonly string[])[] {
  const options: string[][] = [];
  for (const word of words) {
    const last = options.at(-1);
    if (last === undefined || (word.startsWith('-') && last.length > 1)) options.push([word]);
    else last.push(word);
  }
  return options;
}

const phaseTitles: Readonly<Record<PlanStep['phase'], string>> = {
  before: 'Before: the guest runs in the old QEMU',
  pause: 'Pause: the guest stands still',
  after: 'After: the guest runs in the new QEMU',
};
const sideTitles: Readonly<Record<PlanStep['side'], string>> = {
  source: 'old QEMU',
  target: 'new QEMU',
  host: 'this host',
};

function steps(all: readonly PlanStep[]): string {
  let number = 0;
  return (['before', 'pause', 'after'] as const)
    .map((phase) => {
      const own = all.filter((step) => step.phase === phase);
      const lines = own.map(({ side, what, line }) => {
        number += 1;
        const sent =
          line === undefined
            ? ''
            : `\n\n${indented(fenced(side === 'host' ? 'sh' : 'json', line))}\n`;
        return `${number}. ${sideTitles[side]}: ${plain(what)}${sent}`;
      });
      return `### ${phaseTitles[phase]}\n\n${lines.length === 0 ? 'Nothing.' : lines.join('\n')}`;
    })
    .join('\n\n');
}

const fates: Readonly<Record<LedgerRow['fate'], string>> = {
  'handed-over': 'handed over',
  'opened-anew': 'opened anew',
  unclaimed: '**never claimed**',
  'ends-with-source': 'ends with the old QEMU',
};

function ledger(rows: readonly LedgerRow[]): string {
  if (rows.length === 0) return 'They may not be looked at.';
  return [
    '| Kind | What | Old QEMU | New QEMU | Fate |',
    '| --- | --- | --- | --- | --- |',
    ...rows.map(
      ({ kind, what, sourceFd, targetFd, fate }) =>
        `| ${kind} | ${cell(what)} | ${sourceFd} | ${targetFd ?? ''} | ${fates[fate]} |`,
    ),
  ].join('\n');
}

/** Text that Markdown shows as it is. */
function plain(text: string): string {
  return text.replace(/[\\`*_[\]<>#|]/g, '\\$&').replace(/\s*\n\s*/g, ' ');
}

function cell(text: string): string {
  return plain(text);
}

/** With a fence of ticks that the text does not have. */
function code(text: string): string {
  const ticks = Math.max(0, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(ticks + 1);
  const pad = ticks > 0 ? ' ' : '';
  return `${fence}${pad}${text.replace(/\n/g, ' ')}${pad}${fence}`;
}

function fenced(language: string, text: string): string {
  const ticks = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(ticks + 1);
  return `${fence}${language}\n${text}\n${fence}`;
}

function indented(text: string): string {
  return text
    .split('\n')
    .map((line) => `   ${line}`)
    .join('\n');
}
