import { takesArgument } from './optionTable';

/** One option of a QEMU's command line. */
export interface CommandOption {
  /** Without dashes; empty for a bare word, which QEMU takes for the first disk. */
  readonly name: string;
  readonly value: string | undefined;
  /** The arguments exactly as they were given. */
  readonly words: readonly string[];
}

/**
 * Splits the arguments behind the program into options, as QEMU does: `-name` and `--name` are one,
 * and an option that takes an argument takes the next word whatever it looks like. An option that
 * is not known is taken to have one, as nearly all have ({@link isKnown}).
 */
export function readCommandLine(args: readonly string[]): readonly CommandOption[] {
  const options: CommandOption[] = [];
  for (let at = 0; at < args.length;) {
    const word = args[at] ?? '';
    const name = /^--?(.+)$/s.exec(word)?.[1];
    const next = args[at + 1];
    if (name === undefined) {
      options.push({ name: '', value: word, words: [word] });
      at += 1;
    } else if (takesArgument(name) === false || next === undefined) {
      options.push({ name, value: undefined, words: [word] });
      at += 1;
    } else {
      options.push({ name, value: next, words: [word, next] });
      at += 2;
    }
  }
  return options;
}

/** The words again, exactly as they were given. */
export function printCommandLine(options: readonly CommandOption[]): readonly string[] {
  return options.flatMap(({ words }) => words);
}

/** Whether QEMU has it, and it has the argument that it needs. */
export function isKnown({ name, value }: CommandOption): boolean {
  if (name === '') return true;
  const takes = takesArgument(name);
  return takes !== undefined && takes === (value !== undefined);
}

/** An option as one would type it. */
export function makeOption(name: string, value?: string): CommandOption {
  return { name, value, words: value === undefined ? [`-${name}`] : [`-${name}`, value] };
}

/** The option with another value; its dashes stay as they were. */
export function withValue(option: CommandOption, value: string): CommandOption {
  if (value === option.value) return option;
  return { name: option.name, value, words: [option.words[0] ?? `-${option.name}`, value] };
}
