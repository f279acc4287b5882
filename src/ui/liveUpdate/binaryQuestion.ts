import { dirname } from 'node:path';
import { l10n, type Memento } from 'vscode';
import type { QemuBinary, UpdateDesk } from '../../migration/liveUpdate/desk';
import type { MachineId } from '../../vm/types';
import { StateKey } from '../ids';
import { back, type PromptItem, type Prompts } from '../prompts';

/** Asks which QEMU a guest is to run in. */
export class BinaryQuestion {
  private readonly desk: Pick<UpdateDesk, 'binaries'>;
  private readonly prompts: Prompts;
  private readonly state: Memento;

  constructor(desk: Pick<UpdateDesk, 'binaries'>, prompts: Prompts, state: Memento) {
    this.desk = desk;
    this.prompts = prompts;
    this.state = state;
  }

  /** @returns an absolute path; it is the first one in the list the next time */
  async ask(title: string, machine: MachineId): Promise<string | undefined> {
    const last = this.lastUsed;
    const found = await this.prompts.progress(
      { title: l10n.t('Looking for QEMUs'), where: 'view' },
      () => this.desk.binaries(machine),
    );
    const choice = await this.prompts.pick<string>({
      title,
      placeholder: l10n.t('Which QEMU shall the guest run in?'),
      items: [
        ...[...found].sort((a, b) => rank(a, last) - rank(b, last)).map((each) => item(each, last)),
        ...(last === undefined || found.some(({ program }) => program === last)
          ? []
          : [{ label: last, value: last, icon: 'history', description: l10n.t('used last') }]),
        {
          label: l10n.t('Browse...'),
          value: '',
          icon: 'folder-opened',
          description: l10n.t('the program of a build tree, or any other'),
          always: true,
        },
      ],
    });
    if (choice === undefined || choice === back) return undefined;
    const program = choice === '' ? await this.browse(last, found) : choice;
    if (program !== undefined) await this.state.update(StateKey.lastQemu, program);
    return program;
  }

  private get lastUsed(): string | undefined {
    const value: unknown = this.state.get(StateKey.lastQemu);
    return typeof value === 'string' ? value : undefined;
  }

  private browse(
    last: string | undefined,
    [running]: readonly QemuBinary[],
  ): Promise<string | undefined> {
    return this.prompts.choosePlace({
      title: l10n.t('Choose a QEMU'),
      action: l10n.t('Choose'),
      kind: 'file',
      folder: dirname(last ?? running?.program ?? '/usr/bin/qemu'),
    });
  }
}

/** The last one used first, then as they were found. */
function rank({ program }: QemuBinary, last: string | undefined): number {
  return program === last ? 0 : 1;
}

function item(
  { program, origin, versionText, problem }: QemuBinary,
  last: string | undefined,
): PromptItem<string> {
  const origins: Readonly<Record<QemuBinary['origin'], string>> = {
    running: l10n.t('the one that runs now, started anew'),
    replaced: l10n.t('now at the path of the one that runs'),
    installed: l10n.t('installed'),
    'build-tree': l10n.t('build tree'),
  };
  const used = program === last ? ` · ${l10n.t('used last')}` : '';
  return {
    label: versionText === undefined ? program : `QEMU ${versionText}`,
    value: program,
    icon: origin === 'running' ? 'debug-restart' : origin === 'build-tree' ? 'tools' : 'package',
    description: `${origins[origin]}${used}`,
    detail: program,
    ...(problem !== undefined && { refusal: problem, group: l10n.t('not possible') }),
  };
}
