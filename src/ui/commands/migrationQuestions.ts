import { l10n } from 'vscode';
import { isOneSided, methodTitles } from '../../migration/methods/names';
import {
  bandwidthAdvice,
  migrationSources,
  migrationTargets,
} from '../../migration/run/checks/candidates';
import type { Pairs } from '../../migration/pair/pairs';
import type { MethodName, MigrationRequest, Transport } from '../../migration/run/types';
import { backendTransferOf } from '../../migration/settings/backendTransfer';
import { formatRate } from '../../migration/settings/units';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineHandle, MachineId, MachineSnapshot } from '../../vm/types';
import type { CommandTarget } from '../command';
import type { LastFile } from '../lastFile';
import type { PromptItem, Prompts } from '../prompts';
import { arrivingTargets, type Candidate, candidateItems } from './questions/candidateItems';
import { TcpQuestion, TransportQuestion } from './questions/channelQuestions';
import { CprQuestions } from './questions/cprQuestions';
import { type Draft, isTwoSided, keep, optionsOf, placeholder } from './questions/draft';
import { FileField } from './questions/fileField';
import { FileQuestions } from './questions/fileQuestions';
import { methodItems, methodRefusal } from './questions/methodQuestion';
import { PostcopyQuestion } from './questions/postcopyQuestion';
import { askSteps, type StepQuestion } from './steps';

/** Brings a machine onto the list that is not there yet. */
export interface AnotherMachine {
  connect(target: CommandTarget): Promise<MachineHandle | undefined>;
  /** One that does not answer before the source has begun. */
  expect(): Promise<MachineHandle | undefined>;
}

/** Asks for all that one run needs; what is known already is not asked. */
export class MigrationQuestions {
  private readonly registry: Pick<MachineRegistry, 'machines' | 'get'>;
  private readonly prompts: Prompts;
  private readonly another: AnotherMachine;
  private readonly pairs: Pick<Pairs, 'of'> | undefined;
  private readonly lastFile: LastFile | undefined;

  constructor(
    registry: Pick<MachineRegistry, 'machines' | 'get'>,
    prompts: Prompts,
    another: AnotherMachine,
    pairs?: Pick<Pairs, 'of'>,
    lastFile?: LastFile,
  ) {
    this.registry = registry;
    this.prompts = prompts;
    this.another = another;
    this.pairs = pairs;
    this.lastFile = lastFile;
  }

  /** @param method known already, and not asked for */
  async ask(
    source: MachineId | undefined,
    transport: Transport,
    method?: MethodName,
  ): Promise<MigrationRequest | undefined> {
    const draft: Draft = {
      ...{ transport, backendTransfer: 'as-is', bandwidth: 'keep', options: {} },
      method: method ?? 'precopy',
    };
    if (source !== undefined) draft.source = source;
    const questions: StepQuestion[] = [
      this.sourceQuestion(draft, source === undefined),
      this.methodQuestion(draft, method === undefined),
      this.targetQuestion(draft),
      ...this.methodQuestions(draft),
      this.transportQuestion(draft),
      this.tcpQuestion(draft),
      this.backendTransferQuestion(draft),
      this.bandwidthQuestion(draft),
      this.fileQuestion(draft),
    ];
    if (!(await askSteps(questions))) return undefined;
    return this.requestOf(draft);
  }

  private requestOf(draft: Draft): MigrationRequest | undefined {
    const { source, method, backendTransfer } = draft;
    const target = isTwoSided(draft) ? draft.target : source;
    if (source === undefined || target === undefined) return undefined;
    const advice =
      this.sendsMemory(draft) && draft.bandwidth === 'suggested' ? this.advice(draft) : undefined;
    const options = optionsOf(draft);
    return {
      source,
      target,
      ...(method !== 'precopy' && { method }),
      // Its channel is a UNIX socket, whatever was liked before.
      transport: method === 'cpr-transfer' ? 'unix' : draft.transport,
      backendTransfer: this.offersBackendTransfer(draft) ? backendTransfer : this.noTransfer(draft),
      ...(advice && { maxBandwidthBytesPerSecond: advice.suggestedBytesPerSecond }),
      ...(options !== undefined && { options }),
    };
  }

  private get snapshots(): readonly MachineSnapshot[] {
    return this.registry.machines.map(({ snapshot }) => snapshot);
  }

  private snapshotOf(id: MachineId | undefined): MachineSnapshot | undefined {
    return id === undefined ? undefined : this.registry.get(id)?.snapshot;
  }

  private title(draft: Draft): string {
    const source = this.snapshotOf(draft.source);
    const target = this.snapshotOf(draft.target);
    if (isOneSided(draft.method)) {
      const title = methodTitles[draft.method];
      return source === undefined ? title : l10n.t('{0}: {1}', source.label, title);
    }
    if (source === undefined) return l10n.t('Migrate');
    if (target === undefined) return l10n.t('Migrate {0}', source.label);
    return l10n.t('Migrate {0} to {1}', source.label, target.label);
  }

  private sourceQuestion(draft: Draft, applies: boolean): StepQuestion {
    return {
      applies: () => applies,
      ask: async (step) => {
        const answer = await this.prompts.pick({
          title: this.title(draft),
          placeholder:
            draft.method === 'restore'
              ? l10n.t('Which QEMU takes the guest over?')
              : l10n.t('Which machine is to move?'),
          items: candidateItems(
            draft.method === 'restore'
              ? migrationTargets(undefined, this.snapshots)
              : migrationSources(this.snapshots),
          ),
          active: draft.source,
          step,
        });
        return keep(draft, 'source', answer);
      },
    };
  }

  private methodQuestion(draft: Draft, applies: boolean): StepQuestion {
    return {
      applies: () => applies,
      ask: async (step) => {
        const paired = draft.source === undefined ? undefined : this.pairs?.of(draft.source);
        const answer = await this.prompts.pick<MethodName>({
          title: this.title({ ...draft, method: 'precopy', target: '' }),
          placeholder: l10n.t('By which method?'),
          items: methodItems(
            this.snapshotOf(draft.source),
            this.snapshotOf(draft.target ?? paired?.pair.target),
          ),
          active: draft.method,
          step,
        });
        return keep(draft, 'method', answer);
      },
    };
  }

  /** What single methods ask for. */
  private methodQuestions(draft: Draft): readonly StepQuestion[] {
    const cpr = new CprQuestions(this.prompts);
    const files = new FileQuestions(this.prompts);
    const postcopy = new PostcopyQuestion(this.prompts);
    const here = (): MachineSnapshot | undefined => this.snapshotOf(draft.source);
    return [
      {
        applies: () => draft.method === 'cpr-transfer',
        ask: (step) => cpr.socket(draft, this.title(draft), this.snapshotOf(draft.target), step),
      },
      {
        applies: () => draft.method === 'cpr-exec',
        ask: (step) => cpr.program(draft, this.title(draft), here(), step),
      },
      {
        applies: () => draft.method === 'cpr-exec',
        ask: (step) => cpr.consent(draft, this.title(draft), here(), step),
      },
      {
        applies: () => draft.method === 'postcopy',
        ask: (step) => postcopy.ask(draft, this.title(draft), step),
      },
      {
        applies: () => isInFile(draft) && files.layoutApplies(draft, here()),
        ask: (step) => files.layout(draft, this.title(draft), step),
      },
      {
        applies: () => isInFile(draft) && files.memoryApplies(draft, here()),
        ask: (step) => files.memory(draft, this.title(draft), step),
      },
    ];
  }

  /** Last: its answer begins the run. */
  private fileQuestion(draft: Draft): StepQuestion {
    const field = new FileField(this.prompts, this.lastFile);
    return {
      applies: () => isInFile(draft),
      ask: (step) => {
        const machine = draft.source === undefined ? undefined : this.registry.get(draft.source);
        return machine === undefined ? Promise.resolve(undefined) : field.ask(draft, machine, step);
      },
    };
  }

  private tcpQuestion(draft: Draft): StepQuestion {
    const tcp = new TcpQuestion(this.prompts);
    return {
      applies: () =>
        isTwoSided(draft) && draft.transport === 'tcp' && draft.method !== 'cpr-transfer',
      ask: (step) => {
        const sides = [draft.source, draft.target].map((id) => this.snapshotOf(id));
        return tcp.ask(draft, this.title(draft), sides, step);
      },
    };
  }

  private targetQuestion(draft: Draft): StepQuestion {
    return {
      applies: () => isTwoSided(draft),
      ask: async (step) => {
        for (;;) {
          const another: PromptItem<string> = {
            label: l10n.t('Connect to another QEMU...'),
            value: '',
            icon: 'add',
            detail:
              draft.method === 'cpr-transfer'
                ? l10n.t('One that waits at its "cpr" socket; it is connected when it comes up')
                : l10n.t('The target is a QEMU started like the source, with "-incoming defer"'),
            group: l10n.t('not in the list'),
            always: true,
          };
          const candidates = this.candidates(draft);
          const answer = await this.prompts.pick({
            title: this.title({ ...draft, target: '' }),
            placeholder: l10n.t('Which QEMU takes the guest over?'),
            items: [...this.targetItems(draft.source, candidates), another],
            active: draft.target ?? (candidates.some(({ usable }) => usable) ? undefined : ''),
            step,
          });
          if (answer !== another.value) return keep(draft, 'target', answer);
          const machine = await (draft.method === 'cpr-transfer'
            ? this.another.expect()
            : this.another.connect({}));
          if (machine !== undefined) draft.target = machine.id;
        }
      },
    };
  }

  /** Those that can take the guest by this method, and why the others cannot. */
  private candidates({ source, method }: Draft): readonly Candidate[] {
    const from = this.snapshotOf(source);
    if (method === 'cpr-transfer') return arrivingTargets(from, this.snapshots);
    return migrationTargets(from, this.snapshots).map((candidate) => {
      const why =
        candidate.usable && from !== undefined
          ? methodRefusal(method, from, candidate.snapshot)
          : undefined;
      return why === undefined ? candidate : { ...candidate, usable: false, reason: why };
    });
  }

  /** The one that the source is paired with first, if it can be taken. */
  private targetItems(
    source: MachineId | undefined,
    candidates: readonly Candidate[],
  ): readonly PromptItem<string>[] {
    const found = source === undefined ? undefined : this.pairs?.of(source);
    const items = candidateItems(candidates);
    const paired = items.find(
      ({ value, refusal }) => refusal === undefined && value === found?.pair.target,
    );
    if (paired === undefined) return items;
    const notes = [paired.description, l10n.t('paired')];
    const description = notes.filter((note) => note !== undefined).join(' · ');
    return [{ ...paired, description }, ...items.filter((item) => item !== paired)];
  }

  /** With a way to the options, which few need, and back. */
  private transportQuestion(draft: Draft): StepQuestion {
    const question = new TransportQuestion(this.prompts);
    return {
      applies: () => isTwoSided(draft),
      ask: (step) => {
        const sides = {
          source: this.snapshotOf(draft.source),
          target: this.snapshotOf(draft.target),
        };
        return question.ask(draft, this.title(draft), sides, step);
      },
    };
  }

  private backendTransferQuestion(draft: Draft): StepQuestion {
    return {
      applies: () => this.offersBackendTransfer(draft),
      ask: async (step) => {
        const [source, target] = [this.isOn(draft.source), this.isOn(draft.target)];
        const both = (on: boolean): Draft['backendTransfer'] =>
          source === on && target === on ? 'as-is' : on ? 'on' : 'off';
        const item = (on: boolean): PromptItem<Draft['backendTransfer']> => ({
          label: on ? l10n.t('On for both sides') : l10n.t('Off for both sides'),
          value: both(on),
          description: both(on) === 'as-is' ? l10n.t('as it is') : sideNote(on, source, target),
          detail: on
            ? l10n.t('Open TAP devices and other back ends go over to the target as they are')
            : l10n.t('The target opens its own back ends'),
        });
        const answer = await this.prompts.pick({
          title: this.title(draft),
          placeholder: placeholder(l10n.t('Backend transfer'), step),
          items: source && target ? [item(true), item(false)] : orderedByUse(item, source, target),
          active: draft.backendTransfer,
          step,
        });
        return keep(draft, 'backendTransfer', answer);
      },
    };
  }

  private bandwidthQuestion(draft: Draft): StepQuestion {
    return {
      applies: () => this.sendsMemory(draft) && this.advice(draft) !== undefined,
      ask: async (step) => {
        const advice = this.advice(draft);
        if (advice === undefined) return 'next';
        const { currentBytesPerSecond: current, suggestedBytesPerSecond: suggested } = advice;
        // One line of a picker is short: why it is slow stands with what is, the risk with what could be.
        const [why = '', ...risk] = advice.explanation.split(/(?<=\.) /);
        const answer = await this.prompts.pick<Draft['bandwidth']>({
          title: this.title(draft),
          placeholder: placeholder(l10n.t('How fast may it go?'), step),
          items: [
            {
              label: l10n.t('Keep {0}', formatRate(current)),
              value: 'keep',
              icon: 'dashboard',
              description: 'max-bandwidth',
              detail: why,
            },
            {
              label:
                suggested === 0n
                  ? l10n.t('No limit for this run')
                  : l10n.t('{0} for this run', formatRate(suggested)),
              value: 'suggested',
              icon: 'rocket',
              description: l10n.t('risks a longer pause'),
              detail: risk.join(' '),
            },
          ],
          active: draft.bandwidth,
          step,
        });
        return keep(draft, 'bandwidth', answer);
      },
    };
  }

  /** Off where it is on: a file, TCP and a QEMU that is not there yet take over no open device. */
  private noTransfer({ source, target }: Draft): Draft['backendTransfer'] {
    return this.isOn(source) || this.isOn(target) ? 'off' : 'as-is';
  }

  private offersBackendTransfer({ source, target, method, transport }: Draft): boolean {
    if (isOneSided(method) || method === 'cpr-transfer' || transport === 'tcp') return false;
    return [source, target].every((id) => {
      const snapshot = this.snapshotOf(id);
      return snapshot !== undefined && backendTransferOf(snapshot)?.kind === 'boolean';
    });
  }

  private isOn(id: MachineId | undefined): boolean {
    const snapshot = this.snapshotOf(id);
    const offer = snapshot && backendTransferOf(snapshot);
    return offer?.kind === 'boolean' && offer.enabled;
  }

  /** Whether speed is a question at all. */
  private sendsMemory({ method }: Draft): boolean {
    return method === 'precopy' || method === 'postcopy';
  }

  private advice({ source }: Draft): ReturnType<typeof bandwidthAdvice> {
    const facts = this.snapshotOf(source)?.facts;
    return facts && bandwidthAdvice(facts);
  }
}

/** The guest stays in, or comes from, a file. */
function isInFile({ method }: Draft): boolean {
  return method === 'save' || method === 'restore' || method === 'cpr-reboot';
}

/** The sides' present state first; where they differ, on first, for somebody wanted it. */
function orderedByUse<T>(item: (on: boolean) => T, source: boolean, target: boolean): T[] {
  return source || target ? [item(true), item(false)] : [item(false), item(true)];
}

function sideNote(on: boolean, source: boolean, target: boolean): string {
  if (source === target) return on ? l10n.t('now off') : l10n.t('now on');
  return source ? l10n.t('now on at the source only') : l10n.t('now on at the target only');
}
