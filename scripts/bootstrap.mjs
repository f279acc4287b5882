// What a fresh clone needs before any TypeScript of ours can run. Plain JavaScript without dependencies.
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`Node ${process.versions.node} is too old: Node 20.19 or newer is needed.`);
  process.exit(1);
}

/** Installs the npm packages when they are missing or belong to another lock file. */
function installPackages() {
  const lock = createHash('sha256').update(readFileSync('package-lock.json')).digest('hex');
  const stamp = join('node_modules', '.lock-installed');
  if (read(stamp) === lock) return;
  // What `npm install` leaves behind counts as well: it is never older than the lock file it wrote or read.
  if (modified('node_modules/.package-lock.json') >= modified('package-lock.json')) return;
  console.log(
    '- Installing npm packages (node_modules is missing or older than package-lock.json)',
  );
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status, signal } = spawnSync('npm', args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) process.exit(signal === 'SIGINT' ? 130 : 1);
  writeFileSync(stamp, lock);
}

function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function modified(file) {
  try {
    return statSync(file).mtimeMs;
  } catch {
    return 0;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) installPackages();

/** Runs the TypeScript module in this very process, so that signals reach it without a go-between. */
export async function runTypeScript(module) {
  installPackages();
  await import('tsx');
  await import(pathToFileURL(join(root, module)).href);
}
