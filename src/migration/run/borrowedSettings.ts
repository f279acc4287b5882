import { setTimeout as sleep } from 'node:timers/promises';
import { QmpCommandError } from '../../qmp/errors';
import type { JsonValue } from '../../qmp/json';
import { hasEnded, untilReady } from '../../vm/ready';
import type { MachineHandle, VmFacts } from '../../vm/types';
import { setCapabilities } from '../settings/capabilities';
import { setParameter } from '../settings/parameters';
import { sameValue } from '../settings/values';
import type { Gate } from './gate';
import type { LoanWhat, SideName } from './journal/entries';
import { noRecorder, type Recorder } from './journal/recorder';
import type { OpenLoan } from './journal/state';

const patienceMs = 3000;

type Loan = OpenLoan & {
  readonly machine: MachineHandle;
  /** Of a run that was taken up again: who knows what has been set since. */
  readonly isOld: boolean;
};

/** Settings that a run changes, with what they were, so that they can be put back. */
export class BorrowedSettings {
  private readonly loans: Loan[] = [];
  private readonly sides: Readonly<Record<SideName, MachineHandle>>;
  private readonly recorder: Recorder;
  private readonly gate: Pick<Gate, 'check'> | undefined;
  private nextLoan = 1;

  constructor(
    sides: Readonly<Record<SideName, MachineHandle>>,
    recorder: Recorder = noRecorder,
    /** What an earlier driver of the same run borrowed. */
    earlier: readonly OpenLoan[] = [],
    gate?: Pick<Gate, 'check'>,
  ) {
    this.gate = gate;
    this.sides = sides;
    this.recorder = recorder;
    for (const loan of earlier) {
      this.loans.push({ ...loan, machine: sides[loan.side], isOld: true });
      this.nextLoan = Math.max(this.nextLoan, loan.loan + 1);
    }
  }

  /**
   * Turns capabilities on; those that are on already are left alone.
   *
   * @param always put back after a completed run too
   */
  async enable(machine: MachineHandle, names: readonly string[], always = false): Promise<void> {
    await this.turn(machine, names, true, always);
  }

  /** Turns capabilities off; those that are off already, or not known, are left alone. */
  async disable(machine: MachineHandle, names: readonly string[]): Promise<void> {
    await this.turn(machine, names, false, false);
  }

  private async turn(
    machine: MachineHandle,
    wanted: readonly string[],
    state: boolean,
    always: boolean,
  ): Promise<void> {
    const states = new Map(
      machine.snapshot.facts?.capabilities.map(({ name, enabled }) => [name, enabled]),
    );
    const names = wanted.filter((name) => states.get(name) === !state);
    if (names.length === 0) return;
    const what = { type: 'capabilities', names, ...(!state && { turnedOff: true }) } as const;
    await this.borrow(machine, what, always, () => setCapabilities(machine, allOf(names, state)));
  }

  /**
   * Sets a parameter, also when it has that value already (it may have been set since it was read).
   *
   * @param always put back after a completed run too
   */
  async set(
    machine: MachineHandle,
    name: string,
    value: JsonValue,
    always: boolean,
  ): Promise<void> {
    const change = (): Promise<unknown> => setParameter(machine, name, value);
    const previous = machine.snapshot.facts?.parameters[name];
    if (previous === undefined || previous === value) {
      await change();
      return;
    }
    const what = { type: 'parameter', name, old: previous, now: value } as const;
    await this.borrow(machine, what, always, change);
  }

  /** Noted before it is known to be done, for the reply may be lost; what QEMU refused is no loan. */
  private async borrow(
    machine: MachineHandle,
    what: LoanWhat,
    always: boolean,
    change: () => Promise<unknown>,
  ): Promise<void> {
    this.gate?.check(
      what.type === 'parameter' ? 'migrate-set-parameters' : 'migrate-set-capabilities',
    );
    const side = machine === this.sides.source ? 'source' : 'target';
    const loan: OpenLoan = { loan: this.nextLoan++, side, always, what };
    this.loans.push({ ...loan, machine, isOld: false });
    await this.recorder.record({ kind: 'loan', ...loan });
    try {
      await change();
    } catch (error) {
      const refused = error instanceof QmpCommandError && error.command.startsWith('migrate-set-');
      if (refused) {
        this.loans.pop();
        this.recorder.jot({ kind: 'loan-end', loan: loan.loan });
      }
      throw error;
    }
  }

  /**
   * Puts back, last first.
   *
   * @returns what could not be put back, as sentences; a QEMU that has ended is left out
   */
  async putBack(which: 'all' | 'always'): Promise<readonly string[]> {
    const problems: string[] = [];
    for (const loan of this.loans.splice(0).reverse()) {
      if (which === 'always' && !loan.always) continue;
      const problem = await putBackOne(loan);
      if (problem === undefined) this.recorder.jot({ kind: 'loan-end', loan: loan.loan });
      else problems.push(problem);
    }
    return problems;
  }
}

function allOf(names: readonly string[], state: boolean): Record<string, boolean> {
  return Object.fromEntries(names.map((name) => [name, state]));
}

function nameOf(what: LoanWhat): string {
  return what.type === 'parameter' ? what.name : what.names.join(', ');
}

/** A QEMU that stands still must not hold up the outcome; it does what was sent when it goes on. */
async function tooLong(): Promise<never> {
  await sleep(patienceMs, undefined, { ref: false });
  throw new Error(`no answer within ${patienceMs / 1000} s.`);
}

async function putBackOne(loan: Loan): Promise<string | undefined> {
  const { machine, what } = loan;
  if (!(await untilReady(machine)) && (await hasEnded(machine))) return undefined;
  try {
    return await Promise.race([giveBack(loan), tooLong()]);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `${nameOf(what)} of ${machine.snapshot.label} could not be put back: ${why}`;
  }
}

/** @returns why not, if it is better left as it is */
async function giveBack({ machine, what, isOld }: Loan): Promise<string | undefined> {
  const facts = isOld ? await machine.refresh(['parameters', 'capabilities']) : undefined;
  if (what.type === 'capabilities') {
    const before = what.turnedOff === true;
    const names = what.names.filter((name) => facts === undefined || isOn(facts, name) !== before);
    if (names.length > 0) await setCapabilities(machine, allOf(names, before));
    return undefined;
  }
  const { name, old, now } = what;
  const current = facts?.parameters[name];
  if (current !== undefined) {
    if (sameValue(current, old)) return undefined;
    if (!sameValue(current, now)) {
      return `${name} of ${machine.snapshot.label} has been changed since, and was left so.`;
    }
  }
  await setParameter(machine, name, old);
  return undefined;
}

function isOn({ capabilities }: VmFacts, name: string): boolean {
  return capabilities.some((capability) => capability.name === name && capability.enabled);
}
