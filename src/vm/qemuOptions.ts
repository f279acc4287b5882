import { readCommandLine } from './commandLine/commandLine';
import { parseValue } from './commandLine/optionValue';

/** Stands for the key of a first word; no option has such a key. */
const firstWord = '#';

/**
 * One QEMU option value of any kind: `first,key=value,flag` with `,,` for a comma, or the same as a
 * JSON object. A flag without a value reads as `on`, as QEMU takes it.
 */
export function readOptions(text: string): {
  readonly first: string | undefined;
  readonly options: ReadonlyMap<string, string>;
} {
  const value = parseValue(text, firstWord);
  const options = new Map(value?.entries);
  const first = text === '' ? '' : options.get(firstWord);
  options.delete(firstWord);
  return { first, options };
}

/** The values given for `-NAME`, in their order. */
export function givenOptions(args: readonly string[], name: string): readonly string[] {
  return readCommandLine(args).flatMap((option) =>
    option.name === name && option.value !== undefined ? [option.value] : [],
  );
}
