import { Emitter, type Event } from '../../qmp/emitter';
import { Turns } from '../../qmp/turns';
import { isSameProcess } from '../../vm/process';
import { hasEnded } from '../../vm/ready';
import type { MachineHandle, MachineId, VmFacts } from '../../vm/types';
import {
  applyChanges,
  SettingsNotAppliedError,
  type AppliedChange,
  type ChangeRequest,
} from './change';
import { parameterValueText } from './parameters';
import { readAgain } from './sendChange';
import { reportedCapability, reportedParameter, restorationTo } from './settingsState';
import { sameValue } from './values';

/** One action of the user, on however many machines. */
export interface SettingsStep {
  /** Such as `max-bandwidth of web-1`; for "Undo {title}". */
  readonly title: string;
  readonly sides: readonly AppliedChange[];
}

/** Why a step cannot simply be undone. */
export class UndoConflictError extends Error {
  override readonly name = 'UndoConflictError';
  readonly title: string;
  /** Settings that have another value now than the step gave them. */
  readonly conflicts: readonly {
    readonly label: string;
    readonly name: string;
    /** As people read it. */
    readonly now: string;
    readonly expected: string;
  }[];

  constructor(title: string, conflicts: UndoConflictError['conflicts']) {
    super(`${title}: changed since`);
    this.title = title;
    this.conflicts = conflicts;
  }
}

/** There is nothing to undo, or the machine is not the one that was changed. */
export class UndoImpossibleError extends Error {
  override readonly name = 'UndoImpossibleError';
  readonly reason: 'nothing' | 'machine-gone' | 'another-process';
  readonly label: string | undefined;
  /** The other machines of the step: to undo once more puts them back. */
  readonly others: readonly string[];

  constructor(
    reason: UndoImpossibleError['reason'],
    label?: string,
    others: readonly string[] = [],
  ) {
    super(`undo is not possible: ${reason}`);
    this.reason = reason;
    this.label = label;
    this.others = others;
  }
}

const mostSteps = 50;

interface Remembered {
  readonly step: SettingsStep;
  /** By machine: tells two QEMUs apart where `/proc` does not. */
  readonly uuids: ReadonlyMap<MachineId, string | undefined>;
}

/**
 * All changes of settings go through here: one step per action, with the exact values before it.
 * Kept in memory: a QEMU may be another after a restart. Actions run one after the other.
 */
export class SettingsHistory {
  private readonly changes = new Emitter<void>();
  readonly onDidChange: Event<void> = this.changes.event;
  private readonly registry: { get(id: MachineId): MachineHandle | undefined };
  private readonly turns = new Turns();
  private steps: readonly Remembered[] = [];

  constructor(registry: { get(id: MachineId): MachineHandle | undefined }) {
    this.registry = registry;
  }

  /** The step that `undo` would undo. */
  get last(): SettingsStep | undefined {
    return this.steps.at(-1)?.step;
  }

  /**
   * `applyChanges`, remembered as one step.
   *
   * @returns the step; `undefined` when everything had its value already
   * @throws whatever `applyChanges` throws; what it could not put back is remembered as a step
   */
  perform(title: string, requests: readonly ChangeRequest[]): Promise<SettingsStep | undefined> {
    return this.performPlanned(() => Promise.resolve({ title, requests }));
  }

  /** The same for changes that depend on what QEMU has: planned when no other action is under way. */
  performPlanned(
    plan: () => Promise<{ readonly title: string; readonly requests: readonly ChangeRequest[] }>,
  ): Promise<SettingsStep | undefined> {
    return this.inTurn(async () => {
      const { title, requests } = await plan();
      try {
        return this.remember(title, await applyChanges(requests));
      } catch (error) {
        if (error instanceof SettingsNotAppliedError) this.remember(title, error.remaining);
        throw error;
      }
    });
  }

  /**
   * Puts the last step's values back, all or none, and forgets the step. Parameters that were not
   * set before it are emptied instead, where their type has an empty value.
   *
   * The part of a step whose machine has left the list or whose QEMU has ended is forgotten too: it
   * can never be undone. What the step changed elsewhere is left for another attempt, and so is all of
   * it after any other failure.
   *
   * @returns the step that was undone
   * @throws {UndoConflictError} when a value has been changed since; `evenIfChanged` overrides
   * @throws {UndoImpossibleError} gone, restarted, or nothing to undo
   * @throws {NotConnectedError} when a machine is not connected for the moment
   * @throws whatever `applyChanges` throws
   */
  undo(options: { readonly evenIfChanged?: boolean } = {}): Promise<SettingsStep> {
    return this.inTurn(async () => {
      const remembered = this.steps.at(-1);
      if (remembered === undefined) throw new UndoImpossibleError('nothing');
      const { step } = remembered;
      const sides = await this.findAll(remembered);
      const conflicts = sides.flatMap(conflictsOf);
      if (conflicts.length > 0 && options.evenIfChanged !== true) {
        throw new UndoConflictError(step.title, conflicts);
      }
      await applyChanges(
        sides.map(({ machine, facts, side }) => ({
          machine,
          change: restorationTo(side.before, facts).change,
        })),
      );
      this.replace(remembered, []);
      return step;
    });
  }

  /** Leaves out a step that shall not, or cannot, be undone; then `undo` means the one before it. */
  forget(step: SettingsStep): void {
    this.steps = this.steps.filter((other) => other.step !== step);
    this.changes.fire();
  }

  dispose(): void {
    this.changes.dispose();
  }

  private async inTurn<T>(act: () => Promise<T>): Promise<T> {
    const end = await this.turns.take();
    try {
      return await act();
    } finally {
      end();
    }
  }

  private remember(title: string, sides: readonly AppliedChange[]): SettingsStep | undefined {
    if (sides.length === 0) return undefined;
    const step = { title, sides };
    const uuids = new Map(
      sides.map(({ machineId }) => [machineId, this.registry.get(machineId)?.snapshot.facts?.uuid]),
    );
    this.steps = [...this.steps, { step, uuids }].slice(-mostSteps);
    this.changes.fire();
    return step;
  }

  /** Nothing left of it: the step is forgotten. */
  private replace(remembered: Remembered, sides: readonly AppliedChange[]): void {
    const left = sides.length === 0 ? [] : [{ ...remembered, step: { ...remembered.step, sides } }];
    this.steps = this.steps.flatMap((other) => (other === remembered ? left : [other]));
    this.changes.fire();
  }

  /** The machines of a step; those that are gone are taken out of it. @throws {UndoImpossibleError} */
  private async findAll(remembered: Remembered): Promise<readonly Found[]> {
    const { sides } = remembered.step;
    const looked = await Promise.allSettled(sides.map((side) => this.find(remembered, side)));
    const isGone = (result: PromiseSettledResult<Found>): boolean =>
      result.status === 'rejected' && result.reason instanceof UndoImpossibleError;
    const left = sides.filter((_, index) => looked[index] && !isGone(looked[index]));
    const failures = looked.flatMap((result): unknown[] =>
      result.status === 'rejected' ? [result.reason] : [],
    );
    const gone = failures.find((reason) => reason instanceof UndoImpossibleError);
    if (gone !== undefined) {
      this.replace(remembered, left);
      throw new UndoImpossibleError(
        gone.reason,
        gone.label,
        left.map(({ label }) => label),
      );
    }
    if (failures.length > 0) throw failures[0];
    return looked.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  }

  /** The machine with what it has now, if it is the one that was changed. */
  private async find({ uuids }: Remembered, side: AppliedChange): Promise<Found> {
    const { machineId, label, process } = side;
    const machine = this.registry.get(machineId);
    if (machine === undefined) throw new UndoImpossibleError('machine-gone', label);
    if (machine.snapshot.state.kind !== 'ready' && (await hasEnded(machine))) {
      throw new UndoImpossibleError('machine-gone', label);
    }
    const facts = await readAgain(machine, ['parameters', 'capabilities']);
    const now = await machine.identify();
    const uuid = uuids.get(machineId);
    // Behind a forwarded socket the process is the forwarder's, whatever QEMU answers.
    const isAnother =
      (process !== undefined && now !== undefined && !isSameProcess(process, now)) ||
      (uuid !== undefined && facts.uuid !== undefined && uuid !== facts.uuid);
    if (isAnother) throw new UndoImpossibleError('another-process', label);
    return { machine, facts, side };
  }
}

interface Found {
  readonly machine: MachineHandle;
  readonly facts: VmFacts;
  readonly side: AppliedChange;
}

/** What has neither the value that the step gave it nor the one that it had before. */
function conflictsOf({ facts, side }: Found): UndoConflictError['conflicts'] {
  const { label, before, after } = side;
  const parameters = Object.keys(before.parameters).flatMap((name) => {
    const now = reportedParameter(facts, name);
    const expected = after.parameters[name];
    if (sameValue(now, expected) || sameValue(now, before.parameters[name])) return [];
    const say = (value: typeof now): string => parameterValueText(facts, name, value);
    return [{ label, name, now: say(now), expected: say(expected) }];
  });
  const capabilities = Object.keys(before.capabilities).flatMap((name) => {
    const now = reportedCapability(facts, name);
    // There are but two states: the other one is the one before.
    if (now !== undefined) return [];
    return [{ label, name, now: 'not there', expected: after.capabilities[name] ? 'on' : 'off' }];
  });
  return [...parameters, ...capabilities];
}
