import { setTimeout as sleep } from 'node:timers/promises';
import { QmpCommandError } from '../../qmp/errors';
import type { JsonValue } from '../../qmp/json';
import { hasEnded, untilReady } from '../../vm/ready';
import type { MachineHandle } from '../../vm/types';
import { setCapabilities } from '../settings/capabilities';
import { setParameter } from '../settings/parameters';

const patienceMs = 3000;

interface Loan {
  readonly machine: MachineHandle;
  readonly name: string;
  readonly giveBack: () => Promise<unknown>;
  /** Put back after a completed run too, not only when the run did not happen. */
  readonly always: boolean;
}

/** Settings that a run changes, with what they were, so that they can be put back. */
export class BorrowedSettings {
  private readonly loans: Loan[] = [];

  /** Turns capabilities on; those that are on already are left alone. */
  async enable(machine: MachineHandle, names: readonly string[]): Promise<void> {
    const states = new Map(
      machine.snapshot.facts?.capabilities.map(({ name, enabled }) => [name, enabled]),
    );
    const off = names.filter((name) => states.get(name) === false);
    if (off.length === 0) return;
    const all = (state: boolean): Record<string, boolean> =>
      Object.fromEntries(off.map((name) => [name, state]));
    await this.borrow(
      {
        machine,
        name: off.join(', '),
        always: false,
        giveBack: () => setCapabilities(machine, all(false)),
      },
      () => setCapabilities(machine, all(true)),
    );
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
    const giveBack = (): Promise<unknown> => setParameter(machine, name, previous);
    await this.borrow({ machine, name, always, giveBack }, change);
  }

  /** Noted before it is known to be done, for the reply may be lost; what QEMU refused is no loan. */
  private async borrow(loan: Loan, change: () => Promise<unknown>): Promise<void> {
    this.loans.push(loan);
    try {
      await change();
    } catch (error) {
      const refused = error instanceof QmpCommandError && error.command.startsWith('migrate-set-');
      if (refused) this.loans.pop();
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
      if (problem !== undefined) problems.push(problem);
    }
    return problems;
  }
}

/** A QEMU that stands still must not hold up the outcome; it does what was sent when it goes on. */
async function tooLong(): Promise<never> {
  await sleep(patienceMs, undefined, { ref: false });
  throw new Error(`no answer within ${patienceMs / 1000} s.`);
}

async function putBackOne({ machine, name, giveBack }: Loan): Promise<string | undefined> {
  if (!(await untilReady(machine)) && (await hasEnded(machine))) return undefined;
  try {
    await Promise.race([giveBack(), tooLong()]);
    return undefined;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `${name} of ${machine.snapshot.label} could not be put back: ${why}`;
  }
}
