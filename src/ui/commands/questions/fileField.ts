import { lstat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { l10n } from 'vscode';
import { methodTitles } from '../../../migration/methods/names';
import { optionOffers } from '../../../migration/methods/offers';
import { restoreObstacles, saveObstacles } from '../../../migration/run/checks/fileChecks';
import { readMethodFacts, type MethodFacts } from '../../../migration/run/checks/methodFacts';
import type { Obstacle } from '../../../migration/run/checks/obstacle';
import { readNote, type SavedNote } from '../../../migration/run/oneSided/savedNote';
import type { FileOptions, MigrationRequest } from '../../../migration/run/types';
import { formatBytes } from '../../../migration/settings/units';
import type { MachineHandle } from '../../../vm/types';
import type { LastFile } from '../../lastFile';
import type { Back, FieldNote, Prompts, Step } from '../../prompts';
import { askField } from '../steps';
import type { Draft } from './draft';

/** What can be got around by opening the file here and handing it over. */
const aboutRights: ReadonlySet<Obstacle['id']> = new Set([
  'file-not-writable',
  'file-not-readable',
  'file-root',
]);

/** `f_type` of a file system that is memory (`linux/magic.h`). */
const inMemory: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/** What is known of a path: what stands at the field, and how QEMU gets at the file. */
interface Judged {
  readonly note: FieldNote | undefined;
  readonly passDescriptor: boolean;
}

/** Asks for the file of a saved guest; whatever a run would refuse about it stands at the field. */
export class FileField {
  private readonly prompts: Prompts;
  private readonly lastFile: LastFile | undefined;

  constructor(prompts: Prompts, lastFile: LastFile | undefined) {
    this.prompts = prompts;
    this.lastFile = lastFile;
  }

  async ask(draft: Draft, machine: MachineHandle, step: Step): Promise<'next' | Back | undefined> {
    const { label } = machine.snapshot;
    const title = l10n.t('{0}: {1}', label, methodTitles[draft.method]);
    const isRestore = draft.method === 'restore';
    // Its layout may have been answered before its path.
    const typed = draft.options.file?.path ?? '';
    let value = typed === '' ? await this.firstPath(draft, machine) : typed;
    for (;;) {
      const browsing: string[] = [];
      const answer = await askField(this.prompts, {
        title,
        prompt: isRestore
          ? l10n.t('The file that the guest was saved to. Enter restores the guest from it')
          : l10n.t('The file to save the guest to. Enter saves it; the guest then stands still'),
        value,
        placeholder: '/var/lib/vm/web-1.qemu-guest',
        selection: nameIn(value),
        judgesAtOnce: true,
        step,
        validate: async (text) => (await judge(draft, machine, text.trim())).note,
        actions: (text) => [
          {
            icon: 'folder-opened',
            tooltip: isRestore ? l10n.t('Browse...') : l10n.t('Browse for a Folder...'),
            // The dialog takes the place of the field, which is asked anew.
            submit: () => {
              browsing.push(text.trim());
              return Promise.resolve(undefined);
            },
          },
        ],
        submit: async (text) => {
          const file = text.trim();
          const { passDescriptor } = await judge(draft, machine, file);
          draft.options.file = fileOptions(draft, file, passDescriptor);
          await this.lastFile?.remember(file);
          return undefined;
        },
      });
      const [browsed] = browsing;
      if (browsed === undefined) return answer;
      value = await this.browse(browsed, title, isRestore);
    }
  }

  /** The path as it was typed where the dialog is left. */
  private async browse(typed: string, title: string, isRestore: boolean): Promise<string> {
    const folder = path.isAbsolute(typed) ? path.dirname(typed) : path.sep;
    const kind = isRestore ? 'file' : 'folder';
    const action = isRestore ? l10n.t('Choose File') : l10n.t('Choose Folder');
    const chosen = await this.prompts.choosePlace({ title, action, kind, folder });
    if (chosen === undefined) return typed;
    return isRestore ? chosen : path.join(chosen, path.basename(typed));
  }

  /** Of a save: a name that is free, where the last one was saved, else beside the machine's socket. */
  private async firstPath({ method }: Draft, machine: MachineHandle): Promise<string> {
    const { label, socketPath } = machine.snapshot;
    const last = this.lastFile?.get();
    const folder = path.dirname(last ?? socketPath);
    if (method === 'restore')
      return last !== undefined && (await isThere(last)) ? last : `${folder}/`;
    const name = label.replaceAll(/[^\w.-]+/g, '-');
    for (let number = 1; ; number++) {
      const file = path.join(folder, `${name}${number === 1 ? '' : `-${number}`}.qemu-guest`);
      if (number === mostNames || !(await isThere(file))) return file;
    }
  }
}

/** Whoever has more saved guests than this of one name types the next. */
const mostNames = 100;

async function isThere(file: string): Promise<boolean> {
  return lstat(file).then(
    () => true,
    () => false,
  );
}

/** Where the name lies in a path, without its ending: what a person changes. */
function nameIn(file: string): readonly [number, number] {
  const { base, name } = path.parse(file);
  const start = file.endsWith('/') ? file.length : file.length - base.length;
  return [start, file.endsWith('/') ? file.length : start + name.length];
}

function fileOptions({ options }: Draft, file: string, passDescriptor: boolean): FileOptions {
  const mappedRam = options.file?.mappedRam === true;
  return {
    path: file,
    ...(mappedRam && { mappedRam }),
    ...(passDescriptor && { passDescriptor }),
  };
}

/** By the checks of the run itself. Never rejects. */
async function judge(draft: Draft, machine: MachineHandle, file: string): Promise<Judged> {
  const problem = (text: string): Judged => ({
    note: { level: 'problem', text },
    passDescriptor: false,
  });
  if (file === '') return problem(l10n.t('The path of a file is needed.'));
  if (!path.isAbsolute(file)) {
    return problem(l10n.t('An absolute path is needed, such as /var/lib/vm/web-1.qemu-guest.'));
  }
  if (file.endsWith('/')) return problem(l10n.t('The name of the file is missing.'));
  let facts: MethodFacts;
  try {
    facts = await readMethodFacts(requestOf(draft, machine, file, false), machine, machine);
  } catch {
    // The run tells why; that a machine was lost meanwhile is no fault of the path.
    return { note: undefined, passDescriptor: false };
  }
  const found = obstacles(draft, machine, file, false, facts);
  const handsOver =
    found.length > 0 &&
    found.every(({ id }) => aboutRights.has(id)) &&
    takesDescriptors(machine) &&
    obstacles(draft, machine, file, true, facts).length === 0;
  const [first] = handsOver ? [] : found;
  if (first !== undefined) return problem(`${first.reason} ${first.nextStep}`);
  return { note: await remark(draft, machine, file, facts, handsOver), passDescriptor: handsOver };
}

function requestOf(
  draft: Draft,
  machine: MachineHandle,
  file: string,
  passDescriptor: boolean,
): MigrationRequest {
  const { method, transport, options } = draft;
  const { ignoreShared } = options;
  return {
    ...{ source: machine.id, target: machine.id, method, transport, backendTransfer: 'as-is' },
    options: {
      file: fileOptions(draft, file, passDescriptor),
      ...(ignoreShared !== undefined && { ignoreShared }),
    },
  };
}

/** Only what is about the file; the rest is no matter of its path, and told before the start. */
function obstacles(
  draft: Draft,
  machine: MachineHandle,
  file: string,
  passDescriptor: boolean,
  facts: MethodFacts,
): readonly Obstacle[] {
  const request = requestOf(draft, machine, file, passDescriptor);
  const check = draft.method === 'restore' ? restoreObstacles : saveObstacles;
  return check(request, machine.snapshot, undefined, facts).filter(
    ({ id }) => id.startsWith('file-') && id !== 'file-without-memory',
  );
}

function takesDescriptors({ snapshot }: MachineHandle): boolean {
  return optionOffers(snapshot, undefined).some(
    ({ option, offered }) => option === 'passDescriptor' && offered,
  );
}

/** What is worth knowing about a path that can be taken. */
async function remark(
  draft: Draft,
  { snapshot: { label } }: MachineHandle,
  file: string,
  { file: facts }: MethodFacts,
  handsOver: boolean,
): Promise<FieldNote | undefined> {
  const handedOver = handsOver
    ? [l10n.t('The user of {0} has no right to it: it is opened here and handed over.', label)]
    : [];
  if (draft.method === 'restore') return savedRemark(file, handedOver);
  if (await liesInMemory(path.dirname(file))) {
    const text = l10n.t(
      'This folder lies in memory: the guest is gone when the host restarts, and takes as much memory until then.',
    );
    return { level: 'warning', text };
  }
  const { freeBytes, neededBytes } = facts ?? {};
  const room =
    freeBytes === undefined || neededBytes === undefined || draft.options.ignoreShared === true
      ? []
      : [
          l10n.t(
            'Takes up to {0}; {1} are free there.',
            formatBytes(neededBytes),
            formatBytes(freeBytes),
          ),
        ];
  // In place of the prompt.
  const next = l10n.t('Enter saves the guest, which then stands still.');
  return { level: 'information', text: [...handedOver, ...room, next].join(' ') };
}

/** What the note beside a saved guest tells. */
async function savedRemark(file: string, parts: readonly string[]): Promise<FieldNote> {
  const reading = await readNote(file);
  if (reading.kind !== 'read') {
    const text = l10n.t(
      'No usable note lies beside it: where the guest came from, and whether it runs elsewhere, is not known.',
    );
    return { level: 'warning', text: [text, ...parts].join(' ') };
  }
  const next = l10n.t('Enter restores it.');
  return { level: 'information', text: [originText(reading.note), ...parts, next].join(' ') };
}

function originText({ source, savedAt, qemuVersion }: SavedNote): string {
  const when = new Date(savedAt).toLocaleString();
  return l10n.t('The guest of {0}, saved by QEMU {1} on {2}.', source.label, qemuVersion, when);
}

async function liesInMemory(folder: string): Promise<boolean> {
  const system = await statfs(folder).catch(() => undefined);
  return system !== undefined && inMemory.has(system.type);
}
