import {
  Diagnostic,
  DiagnosticSeverity,
  Disposable,
  EventEmitter,
  type FileChangeEvent,
  FileChangeType,
  type FileStat,
  FileSystemError,
  type FileSystemProvider,
  FileType,
  languages,
  Range,
  type TextDocument,
  Uri,
  ViewColumn,
  window,
  workspace,
} from 'vscode';
import {
  argumentsText,
  ArgumentsTextError,
  parseArguments,
} from '../../migration/liveUpdate/argumentsText';
import type { UpdateDesk } from '../../migration/liveUpdate/desk';
import { LiveUpdateRefusedError, type LiveUpdatePlan } from '../../migration/liveUpdate/types';
import type { Finding } from '../../migration/preflight/types';
import type { MachineId } from '../../vm/types';
import type { CommandRunner } from '../command';
import type { Contribution } from '../contribution';
import { fileName, type PlanDocuments } from './planDocuments';

export const argumentsScheme = 'qemu-migration-arguments';

/** A check starts nothing of the guest's, but asks two programs: not at each key. */
const quietMs = 500;

const head = `# The new QEMU's command line, without the program: one option a line, its value behind the first
# blank, as it is (no quoting by a shell). Saving it puts it into the plan.
`;

/** Arguments of new QEMUs as documents to edit: checked while they are typed, and saved into the plan. */
export class ArgumentDocuments implements FileSystemProvider, Contribution {
  private readonly desk: Pick<UpdateDesk, 'plan'>;
  private readonly plans: PlanDocuments;
  private readonly commands: CommandRunner;
  private readonly contents = new Map<
    string,
    { readonly bytes: Uint8Array; readonly at: number }
  >();
  private readonly changes = new EventEmitter<FileChangeEvent[]>();
  private readonly problems = languages.createDiagnosticCollection('qemu-migration');
  private readonly waiting = new Map<string, NodeJS.Timeout>();
  readonly onDidChangeFile = this.changes.event;

  constructor(desk: Pick<UpdateDesk, 'plan'>, plans: PlanDocuments, commands: CommandRunner) {
    this.desk = desk;
    this.plans = plans;
    this.commands = commands;
  }

  register(): Disposable {
    return Disposable.from(
      workspace.registerFileSystemProvider(argumentsScheme, this, { isCaseSensitive: true }),
      workspace.onDidOpenTextDocument((document) => this.checkSoon(document, 0)),
      workspace.onDidChangeTextDocument(({ document }) => this.checkSoon(document, quietMs)),
      workspace.onDidSaveTextDocument((document) => this.saved(document)),
      workspace.onDidCloseTextDocument(({ uri }) => this.problems.delete(uri)),
      this.problems,
      this.changes,
      { dispose: () => this.waiting.forEach((timer) => clearTimeout(timer)) },
    );
  }

  /** Opens the plan's arguments beside it. */
  async edit(plan: LiveUpdatePlan): Promise<void> {
    const uri = Uri.from({
      scheme: argumentsScheme,
      path: `/Command Line of ${fileName(plan.label)}.conf`,
      query: plan.request.machine,
    });
    const text = Buffer.from(`${head}${argumentsText(plan.start.args)}`);
    const isEdited = workspace.textDocuments.some(
      (document) => document.uri.toString() === uri.toString() && document.isDirty,
    );
    if (!isEdited) {
      this.contents.set(uri.toString(), { bytes: text, at: Date.now() });
      this.changes.fire([{ type: FileChangeType.Changed, uri }]);
    }
    const document = await workspace.openTextDocument(uri);
    await window.showTextDocument(document, { preview: false, viewColumn: ViewColumn.Beside });
  }

  watch(): Disposable {
    return new Disposable(() => undefined);
  }

  stat(uri: Uri): FileStat {
    const { bytes, at } = this.content(uri);
    return { type: FileType.File, ctime: at, mtime: at, size: bytes.length };
  }

  readFile(uri: Uri): Uint8Array {
    return this.content(uri).bytes;
  }

  writeFile(uri: Uri, bytes: Uint8Array): void {
    this.content(uri);
    this.contents.set(uri.toString(), { bytes, at: Date.now() });
    this.changes.fire([{ type: FileChangeType.Changed, uri }]);
  }

  readDirectory(): never {
    throw FileSystemError.NoPermissions();
  }

  createDirectory(): never {
    throw FileSystemError.NoPermissions();
  }

  delete(): never {
    throw FileSystemError.NoPermissions();
  }

  rename(): never {
    throw FileSystemError.NoPermissions();
  }

  private content(uri: Uri): { readonly bytes: Uint8Array; readonly at: number } {
    const found = this.contents.get(uri.toString());
    if (found === undefined) throw FileSystemError.FileNotFound(uri);
    return found;
  }

  private checkSoon(document: TextDocument, ms: number): void {
    if (document.uri.scheme !== argumentsScheme) return;
    const key = document.uri.toString();
    clearTimeout(this.waiting.get(key));
    this.waiting.set(
      key,
      setTimeout(() => void this.commands.run('check arguments', () => this.check(document)), ms),
    );
  }

  private saved(document: TextDocument): void {
    if (document.uri.scheme !== argumentsScheme) return;
    void this.commands.run('save arguments', async () => {
      const plan = await this.check(document);
      if (plan !== undefined) this.plans.set(plan);
    });
  }

  /** Puts what is wrong to its lines. @returns the plan with these arguments */
  private async check(document: TextDocument): Promise<LiveUpdatePlan | undefined> {
    const { version, uri } = document;
    const machine: MachineId = uri.query;
    const request = this.plans.planOf(machine)?.request;
    if (request === undefined) return undefined;
    const text = document.getText();
    let args: readonly string[];
    try {
      args = parseArguments(text).map((placed) => placed.text);
    } catch (error) {
      if (!(error instanceof ArgumentsTextError)) throw error;
      this.problems.set(uri, [problem(document, error.line - 1, error.message, 'blocks')]);
      return undefined;
    }
    try {
      const plan = await this.desk.plan({ ...request, args });
      if (document.isClosed || document.version !== version) return undefined;
      const shown = plan.findings.filter(({ level }) => level !== 'tells');
      this.problems.set(
        uri,
        shown.map((finding) => problemOf(document, finding)),
      );
      return plan;
    } catch (error) {
      if (!(error instanceof LiveUpdateRefusedError)) throw error;
      this.problems.set(uri, [
        problem(document, 0, `${error.message} ${error.nextStep}`, 'blocks'),
      ]);
      return undefined;
    }
  }
}

function problemOf(document: TextDocument, finding: Finding): Diagnostic {
  const { what, nextStep, level, subject, id } = finding;
  const text = [what, nextStep].filter((part) => part !== '').join(' ');
  const diagnostic = problem(document, lineOf(document, subject), text, level);
  diagnostic.code = id;
  return diagnostic;
}

/** The line that names what a finding is about, else the first one that is no note. */
function lineOf(document: TextDocument, subject: string | undefined): number {
  const lines = document.getText().split('\n');
  const isArgument = (line: string): boolean => line.trim() !== '' && !line.startsWith('#');
  const named =
    subject === undefined
      ? -1
      : lines.findIndex((line) => isArgument(line) && line.includes(subject));
  return named === -1 ? Math.max(0, lines.findIndex(isArgument)) : named;
}

function problem(
  document: TextDocument,
  line: number,
  text: string,
  level: Finding['level'],
): Diagnostic {
  const { range } = document.lineAt(Math.min(Math.max(0, line), document.lineCount - 1));
  const severity = level === 'blocks' ? DiagnosticSeverity.Error : DiagnosticSeverity.Warning;
  const diagnostic = new Diagnostic(new Range(range.start, range.end), text, severity);
  diagnostic.source = 'QEMU Migration';
  return diagnostic;
}
