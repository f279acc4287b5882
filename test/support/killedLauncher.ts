// Run by test/qemu/liveHandOver.test.ts, and killed by it: starts a QEMU like another one.
import { launchLike } from '../../src/vm/launch';
import { readProcess } from '../../src/vm/process';

async function main(): Promise<void> {
  const [helperPath = '', pid = '', logFile = '', program = '', ...args] = process.argv.slice(2);
  const source = await readProcess(Number(pid));
  if (source === undefined) throw new Error(`no process ${pid}`);
  const launched = await launchLike(source, { helperPath, logFile, program, args });
  process.stdout.write(`${launched.process.pid}\n`);
  setInterval(() => undefined, 1000);
}

void main();
