/** Text of the user and of QEMU as it is, whatever Markdown would make of it. */
export function plain(text: string): string {
  return text
    .trim()
    .replace(/\s+/g, ' ')
    .replace(/[\\`*_{}[\]<>#|~&]/g, '\\$&')
    .replace(/^([-+]|\d+\.)/, '\\$1');
}

/** A word as code. */
export function code(text: string): string {
  return text.includes('`') ? plain(text) : `\`${text}\``;
}

/** A block whose fence is longer than any in the text. */
export function block(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}text\n${text.trim()}\n${fence}`;
}
