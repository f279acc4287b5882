import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, link, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { guestAddresses } from '../../scripts/lib/guest';
import { root } from '../../scripts/lib/paths';
import { provisionQemu } from '../../scripts/lib/qemu';
import {
  foldersLeft,
  goesOn,
  programOf,
  settingsOf,
  startInPlace,
  type InPlace,
  type InPlaceOptions,
} from '../support/inPlace';

describe('replacing QEMU in its process (cpr-exec)', () => {
  let place: InPlace | undefined;

  const start = async (options: InPlaceOptions = {}): Promise<InPlace> => {
    place = await startInPlace(options);
    return place;
  };

  afterEach(async () => {
    await place?.dispose();
    place = undefined;
  });

  /** The guest was not touched, nor was anything else. */
  const unchanged = async (
    { qemu, journals }: InPlace,
    rounds: number,
    settings: unknown,
  ): Promise<void> => {
    await goesOn(qemu, rounds);
    assert.deepEqual(await settingsOf(qemu), settings);
    assert.deepEqual(
      (await journals.list()).runs.filter(({ state }) => !state.ended),
      [],
    );
  };

  it('keeps guest, process and settings, and can do it again', async () => {
    const { qemu, replace, machine, directory } = await start();
    await qemu.waitForRounds(2);
    await qemu.probe('migrate-set-parameters', {
      'downtime-limit': 777,
      'max-bandwidth': 65536,
      'cpu-throttle-initial': 33,
    });
    await qemu.probe('migrate-set-capabilities', {
      capabilities: ['auto-converge', 'return-path', 'mapped-ram'].map((capability) => ({
        ...{ capability, state: true },
      })),
    });
    const before = await settingsOf(qemu);
    for (const attempt of [1, 2]) {
      const { pid } = qemu;
      const rounds = await roundsOf(qemu);
      const outcome = await replace();
      assert.equal(outcome.kind, 'completed', JSON.stringify({ attempt, ...outcome }));
      assert.equal(outcome.owner, 'target');
      assert.equal(outcome.guestRunning, true);
      assert.match(outcome.details.join('\n'), new RegExp(`pid ${pid}\\b`));
      await goesOn(qemu, rounds);
      assert.deepEqual(await settingsOf(qemu), before);
      assert.ok(machine.snapshot.process?.args.some((word) => word.startsWith('file:')));
      assert.deepEqual(await foldersLeft(directory), []);
    }
  });

  it('leaves a paused guest paused', async () => {
    const { qemu, replace } = await start();
    await qemu.waitForRounds(2);
    await qemu.probe('stop');
    const rounds = await roundsOf(qemu);
    const outcome = await replace();
    assert.equal(outcome.kind, 'completed', JSON.stringify(outcome));
    assert.equal(outcome.guestRunning, false);
    assert.equal(await qemu.guestStatus(), 'paused');
    assert.equal(await roundsOf(qemu), rounds);
    await qemu.probe('cont');
    await goesOn(qemu, rounds);
  });

  it('lets the guest run on where it was started with "-S"', async () => {
    const { qemu, replace } = await start({ extraArgs: ['-S'] });
    await qemu.probe('cont');
    await qemu.waitForRounds(2);
    const rounds = await roundsOf(qemu);
    const outcome = await replace();
    assert.equal(outcome.guestRunning, true, JSON.stringify(outcome));
    await goesOn(qemu, rounds);
  });

  it('takes another program, which has been tried with the options before', async () => {
    const { qemu, replace, directory } = await start();
    const program = join(directory, 'qemu-other');
    await link(qemu.build.binary, program);
    await qemu.waitForRounds(2);
    const rounds = await roundsOf(qemu);
    const execCommand = [program, ...qemu.commandLine.slice(1)];
    const outcome = await replace({ options: { execCommand } });
    assert.equal(outcome.kind, 'completed', JSON.stringify(outcome));
    assert.equal(await programOf(qemu), program);
    await goesOn(qemu, rounds);
  });

  it('refuses a program that does not take the options', async () => {
    const running = await start();
    const { qemu, replace } = running;
    await qemu.waitForRounds(2);
    const rounds = await roundsOf(qemu);
    const settings = await settingsOf(qemu);
    const { binary } = await provisionQemu('10.0');
    const execCommand = [binary, ...qemu.commandLine.slice(1)];
    const outcome = await replace({
      options: { execCommand },
      force: { reason: 'only a test, nothing more' },
    });
    assert.equal(outcome.kind, 'refused', JSON.stringify(outcome));
    assert.match(outcome.details.join('\n'), /does not come up with these options/);
    await unchanged(running, rounds, settings);
  });

  for (const [name, prepare, words] of [
    ['is not there', () => Promise.resolve(), /There is no program at/],
    [
      'may not be executed',
      async (file: string) => {
        await writeFile(file, '');
        await chmod(file, 0o600);
      },
      /may not be executed/,
    ],
  ] as const) {
    it(`refuses a program that ${name}`, async () => {
      const running = await start();
      const { qemu, replace, directory } = running;
      await qemu.waitForRounds(2);
      const rounds = await roundsOf(qemu);
      const settings = await settingsOf(qemu);
      const program = join(directory, 'qemu-none');
      await prepare(program);
      const execCommand = [program, ...qemu.commandLine.slice(1)];
      const outcome = await replace({ options: { execCommand } });
      assert.equal(outcome.kind, 'refused', JSON.stringify(outcome));
      assert.match(outcome.details.join('\n'), words);
      await unchanged(running, rounds, settings);
    });
  }

  it('tells that the guest runs on when the program goes away in the last moment', async () => {
    const running = await start();
    const { qemu, runs, request, directory } = running;
    const program = join(directory, 'qemu-gone');
    await link(qemu.build.binary, program);
    await qemu.waitForRounds(2);
    const rounds = await roundsOf(qemu);
    const settings = await settingsOf(qemu);
    const execCommand = [program, ...qemu.commandLine.slice(1)];
    const run = runs.start(request({ options: { execCommand } }));
    let removed: Promise<void> | undefined;
    run.onDidChange(({ progress }) => {
      if (progress.phase === 'prepare') removed ??= rm(program);
    });
    const outcome = await run.outcome;
    await removed;
    assert.equal(outcome.kind, 'failed', JSON.stringify(outcome));
    assert.equal(outcome.owner, 'source');
    assert.equal(outcome.guestRunning, true);
    assert.match(outcome.sourceError ?? '', /execvp/);
    await unchanged(running, rounds, settings);
    assert.deepEqual(await foldersLeft(directory), []);
  });

  it('refuses a sandbox that denies it; forced, QEMU fails and the guest runs on', async () => {
    const running = await start({ extraArgs: ['-sandbox', 'on,spawn=deny'] });
    const { qemu, replace } = running;
    await qemu.waitForRounds(2);
    const settings = await settingsOf(qemu);
    const rounds = await roundsOf(qemu);
    const refused = await replace();
    assert.equal(refused.kind, 'refused', JSON.stringify(refused));
    assert.match(refused.details.join('\n'), /spawn=deny/);
    await unchanged(running, rounds, settings);
    const forced = await replace({ force: { reason: 'to see how it fails' } });
    assert.equal(forced.kind, 'failed', JSON.stringify(forced));
    assert.equal(forced.owner, 'source');
    assert.equal(forced.guestRunning, true);
    await unchanged(running, rounds, settings);
  });

  it('refuses memory that is not shared, which QEMU would not', async () => {
    const running = await start({ sharedMemory: false });
    const { qemu, replace } = running;
    await qemu.waitForRounds(2);
    const settings = await settingsOf(qemu);
    const rounds = await roundsOf(qemu);
    const outcome = await replace({ force: { reason: 'nothing helps' } });
    assert.equal(outcome.kind, 'refused', JSON.stringify(outcome));
    assert.match(outcome.nextStep, /share=on/);
    await unchanged(running, rounds, settings);
  });

  it('refuses a device that was plugged in since the start, and names it', async () => {
    const running = await start({ extraArgs: ['-device', 'pcie-root-port,id=rp0'] });
    const { qemu, replace } = running;
    await qemu.waitForRounds(2);
    await qemu.probe('device_add', { driver: 'virtio-balloon-pci', id: 'late', bus: 'rp0' });
    await qemu.probe('object-add', { 'qom-type': 'iothread', id: 'later' });
    const settings = await settingsOf(qemu);
    const rounds = await roundsOf(qemu);
    const outcome = await replace({ force: { reason: 'nothing helps' } });
    assert.equal(outcome.kind, 'refused', JSON.stringify(outcome));
    assert.match(outcome.details.join('\n'), /\blate\b[^]*\blater\b/);
    await unchanged(running, rounds, settings);
  });

  it('refuses a disk with a snapshot that the command line does not know', async () => {
    const running = await start();
    const { qemu, replace, directory } = running;
    await qemu.waitForRounds(2);
    await qemu.probe('blockdev-snapshot-sync', {
      device: 'boot',
      'snapshot-file': join(directory, 'overlay.qcow2'),
    });
    const settings = await settingsOf(qemu);
    const rounds = await roundsOf(qemu);
    const outcome = await replace({ force: { reason: 'nothing helps' } });
    assert.equal(outcome.kind, 'refused', JSON.stringify(outcome));
    assert.match(outcome.details.join('\n'), /overlay\.qcow2/);
    await unchanged(running, rounds, settings);
  });

  it('refuses a TAP that was opened by its name', async () => {
    // unshare: a network namespace of its own, in which the other half runs.
    const script = join(root, 'test/support/tapExec.ts');
    const child = spawn('unshare', ['-n', process.execPath, '--import', 'tsx', script], {
      ...{ cwd: root, stdio: ['ignore', 'inherit', 'inherit'] },
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    assert.equal(code, 0);
  });

  it('does not begin when the cancel comes first', async () => {
    const running = await start();
    const { qemu, runs, request } = running;
    await qemu.waitForRounds(2);
    const settings = await settingsOf(qemu);
    const rounds = await roundsOf(qemu);
    const run = runs.start(request());
    run.onDidChange(({ progress }) => {
      if (progress.phase === 'prepare') run.cancel();
    });
    const outcome = await run.outcome;
    assert.equal(outcome.kind, 'cancelled', JSON.stringify(outcome));
    assert.equal(outcome.owner, 'source');
    await unchanged(running, rounds, settings);
  });

  it('says that the guest is lost where a forced command cannot take it over', async () => {
    const { qemu, replace } = await start();
    await qemu.waitForRounds(2);
    const without = qemu.commandLine.filter((word, at, all) => {
      const isDisk = (text: string | undefined): boolean => text?.startsWith('virtio-blk') === true;
      return !isDisk(word) && !(word === '-device' && isDisk(all[at + 1]));
    });
    const refused = await replace({ options: { execCommand: without } });
    assert.equal(refused.kind, 'refused', JSON.stringify(refused));
    assert.equal(await qemu.guestStatus(), 'running');
    const force = { reason: 'to see how it is lost' };
    const notIn = await replace({ options: { execCommand: without }, force });
    assert.equal(notIn.kind, 'refused', 'a device that the command leaves out cannot be forced');
    // A device too many is taken by QEMU, and so is a disk that the guest believes to be elsewhere.
    const moved = qemu.commandLine.map((word) =>
      word.startsWith('virtio-blk') ? `${word},addr=0x9` : word,
    );
    const lost = await replace({ options: { execCommand: moved }, force });
    assert.equal(lost.kind, 'failed', JSON.stringify(lost));
    assert.equal(lost.owner, 'nobody');
    assert.match(lost.headline, /lost/);
    await qemu.exited;
  });

  for (const version of ['7.2', '10.0'] as const) {
    it(`is refused by name of what is missing on QEMU ${version}`, async () => {
      const running = await start({ version, sharedMemory: false });
      const { qemu, replace } = running;
      await qemu.waitForRounds(2);
      const settings = await settingsOf(qemu);
      const rounds = await roundsOf(qemu);
      const outcome = await replace();
      assert.equal(outcome.kind, 'refused', JSON.stringify(outcome));
      assert.match(outcome.details.join('\n'), /cpr-exec/);
      await unchanged(running, rounds, settings);
    });
  }

  describe('when the program that drives it is killed', () => {
    const kind = (name: string): RegExp => new RegExp(`"kind":"${name}"`);
    const phase = (name: string): RegExp => new RegExp(`"kind":"phase","phase":"${name}"`);

    const killAt = async (
      { qemu, directory }: InPlace,
      when: 'before' | 'synced',
      entry: RegExp,
    ): Promise<void> => {
      const script = join(root, 'test/support/killedExec.ts');
      const child = spawn(process.execPath, ['--import', 'tsx', script, qemu.qmpSocket], {
        cwd: root,
        stdio: ['ignore', 'pipe', 'inherit'],
        env: {
          ...process.env,
          ...{ STATE: join(directory, 'state'), KILL: when, KILL_AT: entry.source },
          TMPDIR: directory,
        },
      });
      let said = '';
      child.stdout.on('data', (data: Buffer) => (said += data.toString()));
      const signal = await new Promise((resolve) =>
        child.once('close', (_code, name) => resolve(name)),
      );
      assert.equal(signal, 'SIGKILL', said);
    };

    const takeUp = async (running: InPlace): ReturnType<InPlace['replace']> => {
      const { journals, runs, registry, qemu } = running;
      const open = (await journals.list()).runs.filter(({ state }) => !state.ended);
      assert.equal(open.length, 1);
      const run = await runs.recover(open[0]!.id, () => registry.connect(qemu.qmpSocket));
      return run.outcome;
    };

    const arrange = async (): Promise<{
      readonly running: InPlace;
      readonly rounds: number;
      readonly settings: unknown;
    }> => {
      const running = await start();
      const { qemu, registry } = running;
      // The monitor serves one client, which is the other program for now.
      await registry.disconnect(qemu.qmpSocket);
      await qemu.waitForRounds(2);
      await qemu.probe('migrate-set-parameters', { 'downtime-limit': 777 });
      await qemu.probe('migrate-set-capabilities', {
        capabilities: [{ capability: 'auto-converge', state: true }],
      });
      return { running, rounds: await roundsOf(qemu), settings: await settingsOf(qemu) };
    };

    for (const [when, entry] of [
      ['synced', kind('kept')],
      ['synced', kind('channel')],
      ['before', kind('migrate')],
      ['synced', kind('migrate')],
    ] as const) {
      it(`${when} ${entry.source}: the guest stays, and all is put back`, async () => {
        const { running, rounds, settings } = await arrange();
        await killAt(running, when, entry);
        const outcome = await takeUp(running);
        assert.equal(outcome.kind, 'failed', JSON.stringify(outcome));
        assert.equal(outcome.owner, 'source');
        await unchanged(running, rounds, settings);
        assert.deepEqual(await foldersLeft(running.directory), []);
      });
    }

    for (const name of ['transfer', 'switch-over', 'settle']) {
      it(`before the phase ${name}: the guest comes back by itself, and the settings later`, async () => {
        const { running, rounds, settings } = await arrange();
        await killAt(running, 'before', phase(name));
        await untilItAnswers(running.qemu);
        await goesOn(running.qemu, rounds);
        const outcome = await takeUp(running);
        assert.equal(outcome.kind, 'completed', JSON.stringify(outcome));
        assert.equal(outcome.owner, 'target');
        await unchanged(running, rounds, settings);
        assert.deepEqual(await foldersLeft(running.directory), []);
      });
    }
  });
});

async function roundsOf({ guestWord }: InPlace['qemu']): Promise<number> {
  return guestWord(guestAddresses.rounds);
}

/** The other half's program was killed while QEMU replaced itself, and all its connections end. */
async function untilItAnswers(qemu: InPlace['qemu']): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const status = await qemu.guestStatus().catch((error: unknown) => {
      if (attempt > 100) throw error;
      return undefined;
    });
    // The old program stands still for a moment before it goes away.
    if (status === 'running' && (await isReplaced(qemu))) return;
    assert.ok(attempt <= 100, `it is ${status ?? 'silent'}`);
    await sleep(50);
  }
}

async function isReplaced({ pid }: InPlace['qemu']): Promise<boolean> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).includes('-incoming');
}
