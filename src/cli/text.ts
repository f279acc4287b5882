import { stringify } from 'lossless-json';
import type { ViewNode } from '../migration/view/nodes';

/** Control characters, which in a VM's name could drive the terminal. Line feeds are ours. */
const control = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/** Text of others made harmless for a terminal: control characters show as `\xNN`. */
export function printable(text: string): string {
  return text.replace(control, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** On one line, whatever is in it. */
export function oneLine(text: string): string {
  return printable(text.replaceAll('\n', ' '));
}

function width(text: string): number {
  return Array.from(text).length;
}

/** Cuts to `columns` characters, with an ellipsis where something is missing. */
export function cut(text: string, columns: number): string {
  const characters = Array.from(text);
  if (characters.length <= columns) return text;
  return columns < 1 ? '' : `${characters.slice(0, columns - 1).join('')}…`;
}

/** Rows as aligned columns; no blanks at line ends. */
export function table(rows: readonly (readonly string[])[], indent = ''): string[] {
  const clean = rows.map((row) => row.map(oneLine));
  const widths: number[] = [];
  for (const row of clean) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, width(cell));
    }
  }
  return clean.map((row) => {
    const cells = row.map((cell, column) => {
      const gap = (widths[column] ?? 0) - width(cell);
      return cell + ' '.repeat(Math.max(0, gap));
    });
    return `${indent}${cells.join('  ')}`.trimEnd();
  });
}

/** A text in lines of at most 80 characters, as far as its words allow. */
export function wrap(text: string, indent = ''): string[] {
  const lines: string[] = [];
  for (const word of oneLine(text).split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && width(last) + 1 + width(word) <= 80) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else {
      lines.push(`${indent}${word}`);
    }
  }
  return lines;
}

/** The rows below `node` as indented text: what the sidebar shows, in the same words. */
export function outline(node: ViewNode, indent = ''): string[] {
  const lines: string[] = [];
  let leaves: string[][] = [];
  const flush = (): void => {
    lines.push(...table(leaves, indent));
    leaves = [];
  };
  for (const child of node.children) {
    const mark = child.checked === undefined ? '' : child.checked ? '[x] ' : '[ ] ';
    const row = [`${mark}${child.label}`, child.description ?? ''];
    if (child.children.length === 0) {
      leaves.push(row);
      continue;
    }
    flush();
    if (indent === '' && lines.length > 0) lines.push('');
    lines.push(...table([row], indent), ...outline(child, `${indent}  `));
  }
  flush();
  return lines;
}

/** One JSON document; integers of any size stay exact, members that are `undefined` are left out. */
export function toJson(document: unknown): string {
  return stringify(document, undefined, 2) ?? 'null';
}
