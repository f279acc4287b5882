import {
  Diagnostic,
  DiagnosticSeverity,
  Disposable,
  languages,
  Range,
  type TextDocument,
  type Uri,
  workspace,
} from 'vscode';
import { parseProfileFile } from '../../migration/profiles/profileFile';
import type { ProfileProblem } from '../../migration/profiles/types';
import type { Contribution } from '../contribution';
import { SettingId, ViewContainerId } from '../ids';
import { isProfilesFile } from './profilesFile';

/** A text that is being typed is looked at after this pause. */
const pauseMs = 200;

/** Squiggles in profile files that are open: what their schema cannot know. */
export class ProfileDiagnostics implements Contribution {
  private readonly collection = languages.createDiagnosticCollection(ViewContainerId.main);
  private readonly timers = new Map<string, NodeJS.Timeout>();

  register(): Disposable {
    const recheckAll = (): void => workspace.textDocuments.forEach((one) => this.check(one));
    recheckAll();
    return Disposable.from(
      this.collection,
      workspace.onDidOpenTextDocument((document) => this.check(document)),
      workspace.onDidChangeTextDocument(({ document }) => this.checkSoon(document)),
      workspace.onDidCloseTextDocument(({ uri }) => this.forget(uri)),
      workspace.onDidGrantWorkspaceTrust(recheckAll),
      workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration(SettingId.profilesFile)) recheckAll();
      }),
      // Others may have found the same meanwhile, or no more.
      languages.onDidChangeDiagnostics(({ uris }) => {
        for (const uri of uris) this.recheck(uri);
      }),
      {
        dispose: () => {
          for (const timer of this.timers.values()) clearTimeout(timer);
        },
      },
    );
  }

  private recheck(uri: Uri): void {
    if (!isProfilesFile(uri)) return;
    const document = workspace.textDocuments.find((one) => one.uri.toString() === uri.toString());
    if (document !== undefined) this.checkSoon(document);
  }

  private checkSoon(document: TextDocument): void {
    if (!isProfilesFile(document.uri)) return;
    const key = document.uri.toString();
    clearTimeout(this.timers.get(key));
    this.timers.set(
      key,
      setTimeout(() => {
        this.timers.delete(key);
        if (!document.isClosed) this.check(document);
      }, pauseMs),
    );
  }

  private check(document: TextDocument): void {
    const { uri, languageId } = document;
    if (!isProfilesFile(uri)) {
      this.collection.delete(uri);
      return;
    }
    if (languageId === 'json') {
      // Only names that the manifest knows get this by themselves. Comments are no mistake here.
      void languages.setTextDocumentLanguage(document, 'jsonc');
      return;
    }
    const others = languages.getDiagnostics(uri).filter(isOfJsonEditor);
    const found = parseProfileFile(document.getText())
      .problems.filter(({ syntax }) => syntax !== true || others.length === 0)
      .map((problem) => toDiagnostic(problem, document))
      // The schema says the same of an unknown member or a wrong type.
      .filter(
        ({ range }) => !others.some((other) => other.range.intersection(range) !== undefined),
      );
    if (!same(found, this.collection.get(uri) ?? [])) this.collection.set(uri, found);
  }

  private forget(uri: Uri): void {
    clearTimeout(this.timers.get(uri.toString()));
    this.timers.delete(uri.toString());
    this.collection.delete(uri);
  }
}

const ownSource = 'QEMU Migration';

/** It names itself where something is no JSON, and nobody where something is against the schema. */
function isOfJsonEditor({ source }: Diagnostic): boolean {
  return source === undefined || source === '' || source === 'json' || source === 'jsonc';
}

function toDiagnostic(
  { offset, length, message, severity }: ProfileProblem,
  document: TextDocument,
): Diagnostic {
  const range = new Range(document.positionAt(offset), document.positionAt(offset + length));
  const diagnostic = new Diagnostic(
    range,
    message,
    severity === 'error' ? DiagnosticSeverity.Error : DiagnosticSeverity.Warning,
  );
  diagnostic.source = ownSource;
  return diagnostic;
}

/** Setting the same again would tell everybody of a change that is none. */
function same(a: readonly Diagnostic[], b: readonly Diagnostic[]): boolean {
  const text = (list: readonly Diagnostic[]): string =>
    JSON.stringify(list.map(({ range, message, severity }) => [range, message, severity]));
  return text(a) === text(b);
}
