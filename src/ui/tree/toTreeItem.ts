import {
  l10n,
  MarkdownString,
  ThemeColor,
  ThemeIcon,
  TreeItem,
  TreeItemCheckboxState,
  TreeItemCollapsibleState,
  type Command,
} from 'vscode';
import type { NodeClick, Tooltip, ViewNode } from '../../migration/view/nodes';
import { CommandId } from '../ids';
import { changeResource } from './changeDecorations';
import type { NodeHandle } from './nodeHandle';

const collapsibleStates = {
  leaf: TreeItemCollapsibleState.None,
  collapsed: TreeItemCollapsibleState.Collapsed,
  expanded: TreeItemCollapsibleState.Expanded,
} as const;

/** A click opens or edits; nothing here migrates. */
const clickCommands: Readonly<Record<NodeClick, CommandId>> = {
  'edit-parameter': CommandId.setParameter,
  connect: CommandId.connectMachine,
  retry: CommandId.refreshMachine,
  'apply-remedy': CommandId.applyRemedy,
};

/**
 * One row of the tree as VS Code draws it, without its tooltip.
 *
 * @param open whether it was opened or closed before; `undefined`: neither
 */
export function toTreeItem(node: ViewNode, handle: NodeHandle, open?: boolean): TreeItem {
  const wanted = open === undefined ? node.expansion : open ? 'expanded' : 'collapsed';
  // A row that has nothing below it now gets no arrow, whatever it may hold later.
  const expansion = node.children.length === 0 ? 'leaf' : wanted;
  const item = new TreeItem(node.label, collapsibleStates[expansion]);
  item.id = node.id;
  item.contextValue = `;${node.tags.join(';')};`;
  item.accessibilityInformation = { label: node.spoken };
  if (node.description !== undefined) item.description = node.description;
  const resource = changeResource(node);
  if (resource !== undefined) item.resourceUri = resource;
  if (node.icon !== undefined) {
    const { codicon, color } = node.icon;
    item.iconPath = new ThemeIcon(codicon, color === undefined ? undefined : new ThemeColor(color));
  }
  if (node.checked !== undefined) {
    item.checkboxState = {
      state: node.checked ? TreeItemCheckboxState.Checked : TreeItemCheckboxState.Unchecked,
      tooltip: node.checked
        ? l10n.t('Turn {0} off', node.label)
        : l10n.t('Turn {0} on', node.label),
      accessibilityInformation: { label: node.spoken, role: 'checkbox' },
    };
  }
  if (node.click !== undefined) item.command = toCommand(node.click, handle);
  return item;
}

function toCommand(click: NodeClick, handle: NodeHandle): Command {
  return { command: clickCommands[click], title: '', arguments: [handle] };
}

/** Text of the user and of QEMU goes in as text, never as Markdown; nothing in it is trusted. */
export function toMarkdown(tooltip: Tooltip): MarkdownString {
  const markdown = new MarkdownString('', true);
  markdown.isTrusted = false;
  markdown.appendMarkdown('**');
  appendWords(markdown, tooltip.title.trim());
  markdown.appendMarkdown('**');
  if (tooltip.body !== undefined) markdown.appendMarkdown(`\n\n${tooltip.body}`);
  if (tooltip.note !== undefined) {
    markdown.appendMarkdown('\n\n');
    appendProse(markdown, tooltip.note);
  }
  for (const warning of tooltip.warnings ?? []) {
    markdown.appendMarkdown('\n\n$(warning) ');
    appendProse(markdown, warning);
  }
  if (tooltip.stepsTitle !== undefined) markdown.appendMarkdown(`\n\n${tooltip.stepsTitle}`);
  for (const [index, step] of (tooltip.steps ?? []).entries()) {
    markdown.appendMarkdown(index === 0 ? '\n\n1. ' : `\n${index + 1}. `);
    appendProse(markdown, step);
  }
  const fields = tooltip.fields ?? [];
  if (fields.length > 0) markdown.appendMarkdown('\n\n---\n\n');
  for (const [index, [name, value]] of fields.entries()) {
    if (index > 0) markdown.appendMarkdown('  \n');
    appendWords(markdown, name);
    markdown.appendMarkdown(': ');
    appendWords(markdown, value);
  }
  return markdown;
}

/** Sentences, in which what is to be typed stands between backticks; all else is taken as text. */
function appendProse(markdown: MarkdownString, text: string): void {
  for (const [token] of text.trim().matchAll(/`[^`]+`|\s+|[^\s`]+|`/g)) {
    // Nothing has a meaning within a code span but the backtick that ends it.
    if (/^`[^`]*[^`\s][^`]*`$/.test(token)) markdown.appendMarkdown(token.replace(/\s+/g, ' '));
    else appendWords(markdown, token);
  }
}

/** `appendText` makes every space unbreakable; long texts should wrap all the same. */
function appendWords(markdown: MarkdownString, text: string): void {
  for (const [index, word] of text.split(/\s+/).entries()) {
    if (index > 0) markdown.appendMarkdown(' ');
    if (word !== '') markdown.appendText(word);
  }
}
