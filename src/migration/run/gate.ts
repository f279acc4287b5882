import type { JsonObject, JsonValue } from '../../qmp/json';
import type { ExecuteOptions } from '../../qmp/connection';
import type { MachineHandle } from '../../vm/types';
import type { SideName } from './journal/entries';
import type { Proof } from './ownership';
import { isAllowed, mayEnter, type RunCommand } from './states';
import type { GuestOwner, RunPhase } from './types';

/** What starts or ends a guest: never without a proof. */
export type GuestCommand = 'cont' | 'stop' | 'quit' | 'migrate_cancel' | 'yank';

/** The state of the run does not allow a command; nothing was sent. */
export class NotAllowedError extends Error {
  override readonly name = 'NotAllowedError';
  readonly state: RunPhase;
  readonly command: RunCommand;

  constructor(state: RunPhase, command: RunCommand) {
    super(`${command} is not allowed in the state ${state}`);
    this.state = state;
    this.command = command;
  }
}

export interface GateOptions {
  readonly sides: Readonly<Record<SideName, MachineHandle>>;
  readonly log: (line: string) => void;
  /** Told of each new state, for the journal and for who watches. */
  readonly onState?: (state: RunPhase, owner: GuestOwner | undefined) => void;
}

/**
 * The one way by which a run sends commands that change something. It knows the state of the run and
 * refuses what that state does not allow; what starts or ends a guest needs a proof besides.
 */
export class Gate {
  private readonly options: GateOptions;
  private current: RunPhase;

  constructor(options: GateOptions, state: RunPhase = 'plan') {
    this.options = options;
    this.current = state;
  }

  get state(): RunPhase {
    return this.current;
  }

  /**
   * Goes on to another state. A way that the table does not know is told to the log, and gone.
   *
   * @param owner who is proven to have the guest; absent: as the table says
   */
  enter(state: RunPhase, owner?: GuestOwner): void {
    if (state === this.current) return;
    if (!mayEnter(this.current, state)) {
      // What QEMU says is the truth; a table that is wrong must not hide it.
      this.options.log(`unexpected: from ${this.current} to ${state}`);
    }
    this.current = state;
    this.options.onState?.(state, owner);
  }

  /**
   * Sends a command that neither starts nor ends a guest.
   *
   * @throws {NotAllowedError} then nothing was sent
   * @throws {QmpError}
   */
  async send(
    side: SideName,
    command: Exclude<RunCommand, GuestCommand>,
    args: JsonObject = {},
    options: ExecuteOptions = {},
  ): Promise<JsonValue> {
    return this.execute(side, command, args, options);
  }

  /**
   * Sends a command that starts or ends a guest, or may do so.
   *
   * @throws {NotAllowedError} then nothing was sent
   * @throws {QmpError}
   */
  async sendProven(
    command: GuestCommand,
    proof: Proof,
    options: ExecuteOptions = {},
  ): Promise<JsonValue> {
    this.options.log(`${command} on the ${proof.side}: ${proof.why}`);
    const args: JsonObject = command === 'yank' ? { instances: [{ type: 'migration' }] } : {};
    return this.execute(proof.side, command, args, options);
  }

  /** For commands that are sent another way, such as `getfd` by the helper. @throws {NotAllowedError} */
  check(command: RunCommand): void {
    if (!isAllowed(this.current, command)) throw new NotAllowedError(this.current, command);
  }

  private async execute(
    side: SideName,
    command: RunCommand,
    args: JsonObject,
    options: ExecuteOptions,
  ): Promise<JsonValue> {
    this.check(command);
    return this.options.sides[side].connection().execute(command, args, options);
  }
}
