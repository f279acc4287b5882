import type * as vscode from 'vscode';

/** Composition root: builds the objects and registers the contributions. */
export function activate(_context: vscode.ExtensionContext): void {
  // Contributions arrive with the rooms that they show.
}
