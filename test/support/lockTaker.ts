/**
 * Takes one machine's lock many times, against other processes, and looks whether it is alone then.
 * Now and then it dies while it holds it. Exits with 0, or with 1 when it was not alone.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MachineDrivenError } from '../../src/migration/run/journal/errors';
import { realFiles } from '../../src/migration/run/journal/files';
import { MachineLocks } from '../../src/migration/run/journal/locks';
import { ourselves } from '../../src/migration/run/journal/processes';

const [directory = '', rounds = '0', dies = ''] = process.argv.slice(2);
const inside = join(directory, 'inside');

function livingInside(): string {
  try {
    const pid = readFileSync(inside, 'utf8');
    if (pid === '') return '';
    const state = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1);
    return state?.startsWith('Z') === true ? '' : pid;
  } catch {
    return '';
  }
}

async function main(): Promise<number> {
  const locks = new MachineLocks(join(directory, 'locks'), realFiles);
  const driver = await ourselves('a test');
  const machine = { key: 'one', socket: '/run/one.qmp', label: 'one' };
  for (let taken = 0; taken < Number(rounds);) {
    try {
      const lock = await locks.take(machine, driver);
      taken += 1;
      const other = livingInside();
      if (other !== '') {
        process.stderr.write(`${process.pid} met ${other}\n`);
        return 1;
      }
      writeFileSync(inside, String(process.pid));
      await sleep(Math.random() * 2);
      if (dies !== '' && taken === Number(rounds)) process.kill(process.pid, 'SIGKILL');
      rmSync(inside);
      await lock.release();
    } catch (error) {
      if (!(error instanceof MachineDrivenError)) throw error;
      await sleep(Math.random() * 2);
    }
  }
  return 0;
}

void main().then((code) => process.exit(code));
