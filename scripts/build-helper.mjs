// `npm run helper`: builds the host's fdpass and puts it where the built extension looks for it.
// Plain JavaScript without dependencies, so that it works in any state of the checkout.
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Ends with this message; the extension works without the helper, so say what is missing. */
function giveUp(why) {
  console.error(`The helper was not built: ${why}`);
  console.error('Without it, local migration goes over a UNIX socket path; all else works.');
  process.exit(1);
}

if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
  giveUp(`it exists for linux-x64 and linux-arm64, not for ${process.platform}-${process.arch}.`);
}
for (const program of ['make', 'cc']) {
  if (spawnSync(program, ['--version'], { stdio: 'ignore' }).error !== undefined) {
    giveUp(`there is no ${program}. On Debian: apt-get install make gcc libc6-dev musl-tools`);
  }
}
const source = join(root, 'native', 'fdpass');
const { status } = spawnSync('make', ['-s', '-C', source], {
  stdio: ['ignore', 'inherit', 'inherit'],
});
if (status !== 0) giveUp('see the messages of make above.');

const target = join(root, 'dist', 'bin', 'fdpass');
mkdirSync(dirname(target), { recursive: true });
// Renamed into place: a helper that runs right now is not overwritten.
copyFileSync(join(source, 'build', `linux-${process.arch}`, 'fdpass'), `${target}.${process.pid}`);
chmodSync(`${target}.${process.pid}`, 0o755);
renameSync(`${target}.${process.pid}`, target);
