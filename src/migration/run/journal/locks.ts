import { createHash, randomBytes } from 'node:crypto';
import path from 'node:path';
import * as z from 'zod/mini';
import { parseJson } from '../../../qmp/json';
import { printJson } from './printJson';
import type { Driver, MachineIdentity } from './entries';
import { MachineDrivenError } from './errors';
import { hasCode, type JournalFiles } from './files';
import { hostId, mayDrive } from './processes';

interface LockRecord extends Driver {
  /** Tells this record apart from all others; the next one in a chain is named after it. */
  readonly nonce: string;
}

const integer = z.pipe(
  z.union([z.int(), z.bigint()]),
  z.transform((value: number | bigint) => BigInt(value)),
);
const recordShape = z.object({
  pid: z.int(),
  startTicks: integer,
  boot: z.string(),
  program: z.string(),
  host: z.string(),
  nonce: z.string().check(z.regex(/^[0-9a-f]+$/)),
});

/** What one driver at a time may have: a machine, or the file of a saved guest. */
export type Lockable = Pick<MachineIdentity, 'key' | 'label'>;

/** One machine is ours until this is released. */
export interface MachineLock {
  release(): Promise<void>;
}

/**
 * One driver a machine, across processes.
 *
 * A lock is a chain of files: `KEY.lock`, then `KEY.after-NONCE` for a record NONCE whose process is
 * gone. The lock belongs to the last record of the chain if its process lives. Each file is made by
 * `link`, whole and only if it is not there, so that of two who find the same dead record one succeeds;
 * nobody ever replaces or removes the record of a living process but that process. The holder takes the
 * chain away from its head on; who has linked to a chain that is being taken away sees that its own
 * record cannot be reached from the head, and begins anew.
 */
export class MachineLocks {
  private readonly directory: string;
  private readonly files: JournalFiles;

  constructor(directory: string, files: JournalFiles) {
    this.directory = directory;
    this.files = files;
  }

  /**
   * Takes the machine. Never waits for another holder.
   *
   * @throws {MachineDrivenError} who has it
   */
  async take(machine: Lockable, driver: Driver): Promise<MachineLock> {
    await this.files.makeDirectory(this.directory);
    const { key, label } = machine;
    for (;;) {
      const chain = await this.follow(key);
      const last = chain.at(-1);
      if (last !== undefined && (await mayDrive(last.record))) {
        throw new MachineDrivenError(label, last.record);
      }
      const nonce = randomBytes(8).toString('hex');
      const file = last === undefined ? this.headOf(key) : this.successorOf(key, last.record.nonce);
      if (!(await this.put(file, { ...driver, nonce }))) continue;
      const now = await this.follow(key);
      if (now.at(-1)?.record.nonce === nonce) {
        if (now.length === 1) await this.sweep(key, nonce);
        return { release: () => this.release(key, nonce) };
      }
      await this.files.remove(file);
    }
  }

  /** Who has the machine now. */
  async holder(machine: MachineIdentity): Promise<Driver | undefined> {
    const record = (await this.follow(machine.key)).at(-1)?.record;
    return record !== undefined && (await mayDrive(record)) ? record : undefined;
  }

  private async release(key: string, nonce: string): Promise<void> {
    const chain = await this.follow(key);
    if (chain.at(-1)?.record.nonce !== nonce) return;
    // From the head on, the own record last: see above.
    for (const { file } of chain) await this.files.remove(file).catch(() => undefined);
  }

  /** The records from the head to the last one. */
  private async follow(key: string): Promise<{ file: string; record: LockRecord }[]> {
    const chain: { file: string; record: LockRecord }[] = [];
    for (let file = this.headOf(key); ;) {
      const text = await this.files.read(file);
      if (text === undefined) return chain;
      const record = await readRecord(text, path.basename(file));
      chain.push({ file, record });
      file = this.successorOf(key, record.nonce);
    }
  }

  /** Makes the file whole or not at all; false when it is there already. */
  private async put(file: string, record: LockRecord): Promise<boolean> {
    const temporary = path.join(this.directory, `new-${record.nonce}`);
    const handle = await this.files.open(temporary, 'new');
    try {
      try {
        await handle.write(printJson(record));
      } finally {
        await handle.close();
      }
      await this.files.link(temporary, file);
      return true;
    } catch (error) {
      if (hasCode(error, 'EEXIST')) return false;
      throw error;
    } finally {
      await this.files.remove(temporary);
    }
  }

  /** What a holder left that was killed while it released: no chain leads there any more. */
  private async sweep(key: string, nonce: string): Promise<void> {
    const own = path.basename(this.successorOf(key, nonce));
    for (const name of await this.files.list(this.directory)) {
      const file = path.join(this.directory, name);
      const orphan = name.startsWith(`${key}.after-`) && name !== own;
      if (orphan || (name.startsWith('new-') && (await this.isLeft(file)))) {
        await this.files.remove(file);
      }
    }
  }

  /** A record that was never put in its place, and whose process is gone. */
  private async isLeft(file: string): Promise<boolean> {
    const record = await readRecord((await this.files.read(file)) ?? '', file);
    // One that cannot be read may be in the making.
    return record.pid !== 0 && !(await mayDrive(record));
  }

  private headOf(key: string): string {
    return path.join(this.directory, `${key}.lock`);
  }

  private successorOf(key: string, nonce: string): string {
    return path.join(this.directory, `${key}.after-${nonce}`);
  }
}

/** What cannot be read was made by nobody who lives: `link` makes whole files. */
async function readRecord(text: string, name: string): Promise<LockRecord> {
  try {
    return recordShape.parse(parseJson(text));
  } catch {
    const host = await hostId();
    const nonce = createHash('sha256').update(`${name}\n${text}`).digest('hex').slice(0, 16);
    return { pid: 0, startTicks: 0n, boot: '', program: '', host, nonce };
  }
}
