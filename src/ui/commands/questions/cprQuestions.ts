import path from 'node:path';
import { env, l10n } from 'vscode';
import * as z from 'zod/mini';
import type { MachineSnapshot } from '../../../vm/types';
import { back, type Back, type Prompts, type Step } from '../../prompts';
import { askField } from '../steps';
import type { Draft } from './draft';

/** Longer paths do not fit into a socket's address. */
const longestSocketBytes = 107;

/** Asks for what the two ways of a live update need beside the machines. */
export class CprQuestions {
  private readonly prompts: Prompts;

  constructor(prompts: Prompts) {
    this.prompts = prompts;
  }

  /** The socket of the `cpr` channel, as it stands in the target's command line. */
  async socket(
    draft: Draft,
    title: string,
    target: MachineSnapshot | undefined,
    step: Step,
  ): Promise<'next' | Back | undefined> {
    const found = cprSocketsIn(target?.process?.args ?? []);
    return askField(this.prompts, {
      title,
      prompt: l10n.t(
        'The socket of the "cpr" channel, as in the target\'s command line: -incoming with "channel-type": "cpr"',
      ),
      value: draft.options.cprSocket ?? found[0] ?? '',
      placeholder: '/run/vm/cpr.sock',
      suggestions: found.map((text) => ({
        icon: 'search',
        tooltip: l10n.t('From the command line of the target: {0}', text),
        text,
      })),
      step,
      validate: pathProblem,
      submit: (text) => {
        const problem = pathProblem(text);
        if (problem === undefined) draft.options.cprSocket = text.trim();
        return Promise.resolve(problem);
      },
    });
  }

  /** The program that QEMU executes in its place. */
  async program(
    draft: Draft,
    title: string,
    machine: MachineSnapshot | undefined,
    step: Step,
  ): Promise<'next' | Back | undefined> {
    const args = machine?.process?.args ?? [];
    return askField(this.prompts, {
      title,
      prompt: l10n.t('The program that takes the place of this QEMU, with the same arguments'),
      value: draft.options.execCommand?.[0] ?? programOf(machine),
      placeholder: '/usr/bin/qemu-system-x86_64',
      step,
      validate: programProblem,
      submit: (text) => {
        const problem = programProblem(text);
        if (problem === undefined) {
          draft.options.execCommand = [text.trim(), ...withoutIncoming(args.slice(1))];
        }
        return Promise.resolve(problem);
      },
    });
  }

  /** Consent to it. What is safe comes first: Enter alone executes nothing. */
  async consent(
    draft: Draft,
    title: string,
    machine: MachineSnapshot | undefined,
    step: Step,
  ): Promise<'next' | Back | undefined> {
    const command = draft.options.execCommand ?? [];
    const [program = '', ...args] = command;
    const answer = await this.prompts.pick<'execute' | 'leave'>({
      title,
      placeholder: l10n.t(
        'Let {0} execute this program in its place? A wrong one loses the guest',
        machine?.label ?? '',
      ),
      items: [
        {
          label: l10n.t('Do Not Execute'),
          value: 'leave',
          icon: 'close',
          detail: l10n.t('Nothing is sent; the guest goes on as it is'),
        },
        {
          label: l10n.t('Execute {0}', path.basename(program)),
          value: 'execute',
          icon: 'run',
          description:
            program === programOf(machine)
              ? l10n.t('runs now · same {0} arguments', args.length)
              : l10n.t('another program · same {0} arguments', args.length),
          detail: program,
          button: {
            icon: 'copy',
            tooltip: l10n.t('Copy the Whole Command'),
            press: () => void env.clipboard.writeText(command.map(quoted).join(' ')),
          },
        },
      ],
      step,
    });
    if (answer === undefined || answer === back) return answer;
    return answer === 'execute' ? 'next' : undefined;
  }
}

/** Of a program that was replaced since it was started the kernel says so. */
function programOf(machine: MachineSnapshot | undefined): string {
  const { process: qemu } = machine ?? {};
  return (qemu?.executable ?? qemu?.args[0] ?? '').replace(/ \(deleted\)$/, '');
}

/** As a shell reads it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

const channelShape = z.object({
  'channel-type': z.literal('cpr'),
  addr: z.object({ path: z.string() }),
});

/** The sockets of `cpr` channels that a QEMU was told to listen at: absolute paths. */
export function cprSocketsIn(args: readonly string[]): readonly string[] {
  return args.flatMap((argument, index) => {
    const value = args[index + 1];
    if (!/^--?incoming$/.test(argument) || value === undefined) return [];
    const found = value.trimStart().startsWith('{') ? jsonSocket(value) : dottedSocket(value);
    return found !== undefined && path.isAbsolute(found) ? [found] : [];
  });
}

function jsonSocket(value: string): string | undefined {
  try {
    const parsed = z.safeParse(channelShape, JSON.parse(value));
    return parsed.success ? parsed.data.addr.path : undefined;
  } catch {
    return undefined;
  }
}

/** `channel-type=cpr,addr.transport=socket,addr.type=unix,addr.path=PATH` */
function dottedSocket(value: string): string | undefined {
  const fields = new Map(
    value.split(',').map((field) => {
      const at = field.indexOf('=');
      return [field.slice(0, at), field.slice(at + 1)] as const;
    }),
  );
  return fields.get('channel-type') === 'cpr' ? fields.get('addr.path') : undefined;
}

function withoutIncoming(args: readonly string[]): readonly string[] {
  return args.filter(
    (argument, index) =>
      !/^--?incoming$/.test(argument) && !/^--?incoming$/.test(args[index - 1] ?? ''),
  );
}

function pathProblem(text: string): string | undefined {
  const value = text.trim();
  if (!path.isAbsolute(value)) return l10n.t('An absolute path is needed.');
  const bytes = Buffer.byteLength(value);
  return bytes > longestSocketBytes
    ? l10n.t(
        'Too long for a socket: {0} bytes, and {1} is the most.',
        bytes,
        String(longestSocketBytes),
      )
    : undefined;
}

function programProblem(text: string): string | undefined {
  return path.isAbsolute(text.trim()) ? undefined : l10n.t('An absolute path is needed.');
}
