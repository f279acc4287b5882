import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { locateHelper, type LocateOptions, type MissingReason } from '../../../src/fdpass/locate';
import { FakeHelpers } from './support';

describe('locateHelper', () => {
  const helpers = new FakeHelpers();
  after(() => helpers.dispose());

  const here = { platform: 'linux', arch: 'x64', bundledDirectory: helpers.directory } as const;
  const good = helpers.script('[ "$1" = --version ] && echo fdpass 1.4.2');

  async function isMissing(options: Partial<LocateOptions>, reason: MissingReason): Promise<void> {
    const location = await locateHelper({ ...here, ...options });
    assert.equal(location.kind, 'missing');
    assert.equal(location.reason, reason, location.sentence);
    assert.match(location.sentence, /UNIX socket path works without it\.$/);
  }

  it('prefers the one that is set', async () => {
    const location = await locateHelper({ ...here, configuredPath: good });
    assert.deepEqual(location, {
      kind: 'found',
      origin: 'configured',
      path: good,
      version: '1.4.2',
    });
  });

  it('takes the bundled one otherwise', async () => {
    const bundledDirectory = path.join(helpers.directory, 'bin');
    mkdirSync(bundledDirectory);
    copyFileSync(good, path.join(bundledDirectory, 'fdpass'));
    const location = await locateHelper({ ...here, bundledDirectory, configuredPath: '' });
    assert.equal(location.kind, 'found');
    assert.equal(location.origin, 'bundled');
    // A set one that does not work is not passed over.
    await isMissing({ bundledDirectory, configuredPath: '/nonexistent' }, 'notFound');
  });

  it('says why there is none', async () => {
    await isMissing({}, 'notFound');
    await isMissing({ platform: 'darwin' }, 'unsupportedPlatform');
    await isMissing({ configuredPath: 'fdpass' }, 'notAbsolute');
    await isMissing({ configuredPath: '/etc/hosts/fdpass' }, 'notFound');
    await isMissing({ configuredPath: helpers.directory }, 'notExecutable');
    await isMissing({ configuredPath: helpers.script('exit 0', 0o644) }, 'notExecutable');
    await isMissing({ configuredPath: helpers.script('echo hello') }, 'probeFailed');
    await isMissing({ configuredPath: helpers.script('exit 5') }, 'probeFailed');
    await isMissing({ configuredPath: helpers.script('kill -9 $$') }, 'probeFailed');
    await isMissing({ configuredPath: helpers.script('echo fdpass 2.0.0') }, 'wrongVersion');
  });

  it('knows a program for another processor without running it', async () => {
    const file = helpers.script('');
    const header = Buffer.alloc(64);
    header.write('\x7fELF', 'latin1');
    header.writeUInt16LE(183, 18);
    writeFileSync(file, header);
    await isMissing({ configuredPath: file, arch: 'x64' }, 'wrongPlatform');
    await isMissing({ configuredPath: file, arch: 'riscv64' }, 'wrongPlatform');
  });

  it('does not wait for one that hangs', async () => {
    const started = performance.now();
    await isMissing({ configuredPath: helpers.script('exec sleep 100') }, 'probeFailed');
    assert.ok(performance.now() - started < 3500);
  }).timeout(5000);
});
