/** Splits at single commas; `,,` stands for a comma (QemuOpts). */
function splitOptions(text: string): string[] {
  return text
    .replaceAll(',,', '\0')
    .split(',')
    .map((part) => part.replaceAll('\0', ','));
}

/**
 * One QEMU option value: `first,key=value,flag` with `,,` for a comma, or the same as a JSON object.
 * A flag without a value reads as `on`, as QEMU takes it.
 */
export function readOptions(text: string): {
  readonly first: string | undefined;
  readonly options: ReadonlyMap<string, string>;
} {
  if (text.startsWith('{')) return { first: undefined, options: readJsonOptions(text) };
  const [head = '', ...rest] = splitOptions(text);
  const options = new Map<string, string>();
  for (const part of head.includes('=') ? [head, ...rest] : rest) {
    const at = part.indexOf('=');
    if (at < 0) options.set(part, 'on');
    else options.set(part.slice(0, at), part.slice(at + 1));
  }
  return { first: head.includes('=') ? undefined : head, options };
}

function readJsonOptions(text: string): ReadonlyMap<string, string> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return new Map();
    return new Map(
      Object.entries(value).flatMap(([key, entry]): [string, string][] =>
        typeof entry === 'string' || typeof entry === 'boolean'
          ? [[key, entry === true ? 'on' : String(entry)]]
          : [],
      ),
    );
  } catch {
    return new Map();
  }
}

/** The values given for `-NAME`, in their order. */
export function givenOptions(args: readonly string[], name: string): readonly string[] {
  return args.filter((_, index) => {
    const before = args[index - 1];
    return before === `-${name}` || before === `--${name}`;
  });
}
