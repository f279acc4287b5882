import { printCommandLine, readCommandLine } from '../../vm/commandLine/commandLine';
import { isKnown } from '../../vm/commandLine/commandLine';
import { readValue } from '../../vm/commandLine/optionValue';
import { descriptorsIn } from '../methods/commandLine';
import type { Finding } from '../preflight/types';
import { cprSocketOf } from '../run/checks/cprSocket';
import type { AdoptedDescriptor, ArgumentChange, TargetStart } from './types';

type Needs = Pick<TargetStart, 'qmpSocket' | 'cprSocket' | 'adopt'>;

/** What the update itself needs of arguments that a person has edited. Pure. */
export function editedFindings(args: readonly string[], needs: Needs): readonly Finding[] {
  const options = readCommandLine(args);
  const found: Finding[] = [];
  const missing = (subject: string, what: string, why: string): void => {
    found.push({
      ...{ id: 'live-update-edited', subject, level: 'blocks', side: 'target', what, why },
      nextStep: 'Put it back, or plan anew.',
    });
  };
  const names = options.map(({ name, value }) => [name, value ?? ''] as const);
  const listens = names.some(
    ([name, value]) =>
      ['qmp', 'qmp-pretty', 'mon', 'chardev'].includes(name) && value.includes(needs.qmpSocket),
  );
  if (!listens) {
    missing(
      'qmp',
      `The edited arguments have no QMP socket at ${needs.qmpSocket}.`,
      'Over it the new QEMU is driven.',
    );
  }
  const incoming = names.filter(([name]) => name === 'incoming').map(([, value]) => value);
  if (!incoming.includes('defer')) {
    missing(
      'incoming',
      'The edited arguments have no "-incoming defer".',
      'A QEMU that does not wait would start a second, empty guest on the same disks.',
    );
  }
  if (needs.cprSocket !== undefined && cprSocketOf(args) !== needs.cprSocket) {
    missing(
      'cpr',
      `The edited arguments have no "-incoming" for the CPR channel at ${needs.cprSocket}.`,
      'The memory is handed over there.',
    );
  }
  const wanted = new Set(descriptorsIn(options).map(({ fd }) => fd));
  for (const { targetFd, tap } of needs.adopt) {
    if (wanted.has(targetFd)) continue;
    missing(
      String(targetFd),
      `No option takes descriptor ${targetFd}${tap === undefined ? '' : `, a queue of the TAP ${tap}`}.`,
      'What it is for would end with the old QEMU.',
    );
  }
  for (const option of options) {
    const { name, words } = option;
    const text = words.join(' ');
    if (!isKnown(option)) {
      missing(text, `The option "${text}" is not known.`, 'It may open what one QEMU can have.');
    }
    if (name === 'daemonize' || name === 'pidfile') {
      missing(text, `"${text}" is for the first start.`, 'The update watches the process itself.');
    }
    const value = readValue(option);
    if (['netdev', 'device', 'chardev', 'object'].includes(name) && value === undefined) {
      missing(text, `"${text}" cannot be read.`, 'QEMU would refuse it.');
    }
  }
  return found;
}

/** Adopted descriptors that options of the edited arguments still take. */
export function stillAdopted(
  args: readonly string[],
  adopt: readonly AdoptedDescriptor[],
): readonly AdoptedDescriptor[] {
  const wanted = new Set(descriptorsIn(readCommandLine(args)).map(({ fd }) => fd));
  return adopt.filter(({ targetFd }) => wanted.has(targetFd));
}

/**
 * The difference between two command lines, option by option in their order. What stands in one place in
 * both is kept; what was put in its place is a change where it is the same option. Pure.
 */
export function argumentChanges(
  before: readonly string[],
  after: readonly string[],
  why: (words: readonly string[]) => string | undefined = () => undefined,
): readonly ArgumentChange[] {
  const [old, next] = [before, after].map((args) => readCommandLine(args));
  if (old === undefined || next === undefined) return [];
  const text = (option: (typeof old)[number]): string => printCommandLine([option]).join('\0');
  const [a, b] = [old.map(text), next.map(text)];
  // Longest common subsequence: some hundred options at most.
  const lengths = a.map(() => new Array<number>(b.length + 1).fill(0));
  lengths.push(new Array<number>(b.length + 1).fill(0));
  const at = (i: number, j: number): number => lengths[i]?.[j] ?? 0;
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      const row = lengths[i];
      if (row === undefined) continue;
      row[j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const changes: ArgumentChange[] = [];
  for (let i = 0, j = 0; i < old.length || j < next.length;) {
    const [from, to] = [old[i], next[j]];
    if (from !== undefined && to !== undefined && a[i] === b[j]) {
      changes.push({ kind: 'kept', before: from.words, after: to.words, why: undefined });
      i += 1;
      j += 1;
    } else if (
      from !== undefined &&
      to !== undefined &&
      from.name === to.name &&
      at(i + 1, j + 1) >= Math.max(at(i + 1, j), at(i, j + 1))
    ) {
      changes.push({ kind: 'changed', before: from.words, after: to.words, why: why(to.words) });
      i += 1;
      j += 1;
    } else if (to === undefined || (from !== undefined && at(i + 1, j) >= at(i, j + 1))) {
      if (from !== undefined) {
        changes.push({ kind: 'removed', before: from.words, after: [], why: why(from.words) });
      }
      i += 1;
    } else {
      changes.push({ kind: 'added', before: [], after: to.words, why: why(to.words) });
      j += 1;
    }
  }
  return changes;
}
