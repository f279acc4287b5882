import { spawn } from 'node:child_process';
import { cliBundle } from './cliProcess';
import { dyingDriverVariable, type DyingDriver } from './dyingDriver';

/** Runs it in a process of its own, to its death. Rejects when it ended in any other way. */
export async function dieAt(wishes: DyingDriver): Promise<void> {
  const bundle = await cliBundle('test/support/dyingDriver.ts');
  await new Promise<void>((resolve, reject) => {
    const child = spawn(process.execPath, [bundle], {
      env: { ...process.env, [dyingDriverVariable]: JSON.stringify(wishes) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (said += text));
    }
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (signal === 'SIGKILL') resolve();
      else reject(new Error(`it ended by itself (${code ?? signal}): ${said}`));
    });
  });
}
