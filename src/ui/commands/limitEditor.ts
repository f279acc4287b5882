import { l10n } from 'vscode';
import { parametersActingIn } from '../../migration/run/controls';
import type { Run } from '../../migration/run/runs';
import type { RunPhase } from '../../migration/run/types';
import {
  describeParameters,
  editText,
  formatParameterValue,
  parseParameterInput,
  type ParameterDescription,
} from '../../migration/settings/parameters';
import { sameValue } from '../../migration/settings/values';
import { explain } from '../../migration/view/words';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineHandle, VmFacts } from '../../vm/types';
import { back, type Prompts } from '../prompts';
import { fieldNote, promptText, suggestions } from './parameterField';

/** These first: they are what a person changes when a migration does not end. */
const first = ['max-bandwidth', 'downtime-limit', 'max-postcopy-bandwidth'];

/** Changes parameters that act on a migration under way, for the rest of that run. */
export class LimitEditor {
  private readonly registry: Pick<MachineRegistry, 'get'>;
  private readonly prompts: Prompts;

  constructor(registry: Pick<MachineRegistry, 'get'>, prompts: Prompts) {
    this.registry = registry;
    this.prompts = prompts;
  }

  async edit(run: Run): Promise<void> {
    const source = this.registry.get(run.record.request.source);
    const facts = source?.snapshot.facts;
    if (source === undefined || facts === undefined) return;
    const offered = changeable(facts, run.record.progress.phase);
    const name = await this.prompts.pick({
      title: l10n.t('{0}: limits of the migration', source.snapshot.label),
      placeholder: l10n.t('Which one? It is put back after the run'),
      items: offered.map((description) => ({
        label: description.name,
        value: description.name,
        description: formatParameterValue(description),
        ...(description.info !== undefined && { detail: description.info.summary }),
      })),
    });
    if (name === undefined || name === back) return;
    const description = offered.find((each) => each.name === name);
    if (description !== undefined) await this.ask(run, source, description);
  }

  private async ask(
    run: Run,
    source: MachineHandle,
    description: ParameterDescription,
  ): Promise<void> {
    const { name } = description;
    await this.prompts.input({
      title: l10n.t('{0}: {1} for this run', source.snapshot.label, name),
      prompt: promptText(description),
      value: editText(description),
      placeholder: l10n.t('New value'),
      suggestions: suggestions(description, undefined),
      validate: (text) => fieldNote(source.snapshot.facts, description, text),
      submit: async (text) => {
        const result = parseParameterInput(description, text);
        if (!result.ok) return result.problem;
        if (sameValue(result.value, description.value)) return undefined;
        try {
          await run.control({ id: 'set-parameters', parameters: { [name]: result.value } });
          return undefined;
        } catch (error) {
          const { headline, nextStep } = explain(error);
          return nextStep === undefined ? headline : `${headline} ${nextStep}`;
        }
      },
    });
  }
}

/** Those that QEMU looks at in this state of the run. */
function changeable(facts: VmFacts, phase: RunPhase): readonly ParameterDescription[] {
  const acting = new Set(parametersActingIn(phase));
  const rank = (name: string): number => {
    const index = first.indexOf(name);
    return index === -1 ? first.length : index;
  };
  return describeParameters(facts)
    .filter(({ name, editable, control }) => {
      return editable && control === 'integer' && acting.has(name);
    })
    .sort((a, b) => rank(a.name) - rank(b.name) || a.name.localeCompare(b.name));
}
