import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it } from 'mocha';
import { qemuVersions, type QemuProcess } from '../../scripts/lib/qemu';
import { locateHelper } from '../../src/fdpass/locate';
import { methodOffers, optionOffers } from '../../src/migration/methods/offers';
import { preflight } from '../../src/migration/preflight/preflight';
import type { Finding } from '../../src/migration/preflight/types';
import type { MethodName, MigrationRequest, RunOptions } from '../../src/migration/run/types';
import type { MachineHandle } from '../../src/vm/types';
import { sharedMemory, startCprPair, type CprPair } from '../support/cprPair';
import { helperDirectory, startPair, type Pair, type PairOptions } from '../support/pair';

async function look(
  source: MachineHandle,
  target: MachineHandle,
  request: MigrationRequest,
): Promise<readonly Finding[]> {
  const { platform, arch } = process;
  const places = { bundledDirectory: helperDirectory, platform, arch };
  const report = await preflight(source, target, request, {
    locateHelper: () => locateHelper(places),
  });
  return report.findings;
}

function blocking(findings: readonly Finding[]): readonly string[] {
  return findings.filter(({ level }) => level === 'blocks').map(({ id }) => id);
}

async function isTaken(
  qemu: QemuProcess,
  command: string,
  args: Readonly<Record<string, unknown>>,
): Promise<boolean> {
  return qemu.probe(command, args).then(
    () => true,
    () => false,
  );
}

describe('what each method needs, on real QEMUs', () => {
  let pair: Pair | undefined;
  let cpr: CprPair | undefined;
  const start = async (options: PairOptions): Promise<Pair> => (pair = await startPair(options));

  afterEach(async () => {
    await Promise.all([pair?.dispose(), cpr?.dispose()]);
    pair = undefined;
    cpr = undefined;
  });

  for (const version of qemuVersions) {
    it(`${version}: what is offered is what QEMU takes`, async () => {
      const { source, sourceMachine, targetMachine } = await start({ version });
      const pictures = [sourceMachine.snapshot, targetMachine.snapshot] as const;
      const offered = new Map(
        methodOffers(...pictures).map((offer) => {
          assert.equal(offer.why === '', offer.offered, offer.method);
          return [offer.method, offer.offered];
        }),
      );
      const modes: readonly MethodName[] = ['cpr-reboot', 'cpr-transfer', 'cpr-exec'];
      for (const mode of modes) {
        const taken = await isTaken(source, 'migrate-set-parameters', { mode });
        assert.equal(offered.get(mode), taken, mode);
      }
      await isTaken(source, 'migrate-set-parameters', { mode: 'normal' });
      // A folder that is not there: QEMUs without the protocol do not come as far.
      const error = await source
        .probe('migrate', { uri: 'file:/nowhere/at/all' })
        .then(() => '', String);
      assert.equal(offered.get('save'), !/migration protocol/.test(error), error);
      for (const { option, offered: isOffered } of optionOffers(...pictures)) {
        const capability = new Map([
          ['multifdChannels', 'multifd'],
          ['xbzrle', 'xbzrle'],
          ['autoConverge', 'auto-converge'],
          ['holdSwitchover', 'pause-before-switchover'],
          ['mappedRam', 'mapped-ram'],
        ]).get(option);
        if (capability === undefined) continue;
        const set = (state: boolean): Promise<boolean> =>
          isTaken(source, 'migrate-set-capabilities', { capabilities: [{ capability, state }] });
        assert.equal(isOffered, await set(true), option);
        await set(false);
      }
      const [compression] = optionOffers(...pictures).filter(({ values }) => values !== undefined);
      for (const value of ['none', 'zlib', 'zstd', 'qatzip', 'qpl', 'lz4']) {
        const taken = await isTaken(source, 'migrate-set-parameters', {
          'multifd-compression': value,
        });
        assert.equal(compression?.values?.includes(value), taken, value);
      }
    });

    it(`${version}: memory in one file may stay there, in two of them not`, async () => {
      const directory = join(tmpdir(), `qemu-migration-checks-${process.pid}`);
      const memory = (file: string): string[] => [
        ...['-object', `memory-backend-file,id=ram0,size=256M,mem-path=${file},share=on`],
        ...['-machine', 'memory-backend=ram0'],
      ];
      await mkdir(directory, { recursive: true });
      try {
        const file = join(directory, 'ram');
        await start({
          version,
          source: { extraArgs: memory(file) },
          target: { extraArgs: memory(file) },
        });
        const request = pair!.request({ method: 'shared-ram' });
        assert.deepEqual(
          blocking(await look(pair!.sourceMachine, pair!.targetMachine, request)),
          [],
        );
        await pair!.dispose();

        pair = await startPair({
          version,
          source: { extraArgs: memory(file) },
          target: { extraArgs: memory(join(directory, 'other')) },
        });
        const found = await look(pair.sourceMachine, pair.targetMachine, {
          ...request,
          source: pair.sourceMachine.id,
          target: pair.targetMachine.id,
        });
        assert.deepEqual(blocking(found), ['memory-file-differs']);
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    });
  }

  it('plain memory is refused for what leaves it where it is', async () => {
    const { sourceMachine, targetMachine, request } = await start({ version: '11.1' });
    const shared = await look(sourceMachine, targetMachine, request({ method: 'shared-ram' }));
    assert.deepEqual(blocking(shared), ['memory-not-shared', 'memory-not-shared']);
    const alone = { target: sourceMachine.id, method: 'cpr-exec' } as const;
    const exec = await look(sourceMachine, sourceMachine, request(alone));
    assert.deepEqual(blocking(exec), ['memory-not-shared', 'aux-ram-share']);
  });

  it('a live update in place takes the running command line, not one without a device', async () => {
    const { source, sourceMachine, request } = await start({
      version: '11.1',
      source: { extraArgs: [...sharedMemory, '-device', 'virtio-rng-pci,id=rng0'] },
    });
    const exec = (execCommand?: readonly string[]): MigrationRequest =>
      request({
        ...{ target: sourceMachine.id, method: 'cpr-exec' },
        ...(execCommand && { options: { execCommand } }),
      });
    const found = (given?: readonly string[]) => look(sourceMachine, sourceMachine, exec(given));
    assert.deepEqual(blocking(await found()), []);
    assert.deepEqual(blocking(await found(source.commandLine)), []);
    const without = source.commandLine.filter(
      (each, index, all) => !/rng0/.test(each) && !/rng0/.test(all[index + 1] ?? ''),
    );
    const missing = await found(without);
    assert.deepEqual(blocking(missing), [
      ...['exec-command-differs', 'exec-unproven', 'exec-hot-plugged'],
    ]);
  });

  it('a file is never written over, and must be one where a guest comes from', async () => {
    const { source, sourceMachine, targetMachine, request } = await start({ version: '11.1' });
    const file = (path: string): RunOptions => ({ file: { path } });
    const save = (path: string): Promise<readonly Finding[]> =>
      look(
        sourceMachine,
        sourceMachine,
        request({ target: sourceMachine.id, method: 'save', options: file(path) }),
      );
    const restore = (path: string): Promise<readonly Finding[]> =>
      look(
        targetMachine,
        targetMachine,
        request({ source: targetMachine.id, method: 'restore', options: file(path) }),
      );
    const path = join(source.directory, 'guest');
    const fresh = await save(path);
    assert.deepEqual(blocking(fresh), []);
    assert.ok(fresh.some(({ id }) => id === 'file-size'));
    assert.deepEqual(blocking(await save(join(path, 'below'))), ['file-missing']);
    assert.deepEqual(blocking(await restore(path)), ['file-missing']);
    await source.waitForRounds(1);
    await source.probe('migrate', { uri: `file:${path}` });
    for (let waits = 0; (await source.guestStatus()) !== 'postmigrate'; waits++) {
      assert.ok(waits < 500, 'the save takes too long');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.deepEqual(blocking(await restore(path)), []);
    assert.deepEqual(blocking(await save(path)), ['source-gave-away']);
    await writeFile(path, 'something else');
    assert.deepEqual(blocking(await restore(path)), ['file-not-a-migration']);
  });

  for (const version of ['10.0', '11.1'] as const) {
    it(`${version}: a target that waits for a CPR channel is known without being touched`, async () => {
      cpr = await startCprPair(version);
      const source = cpr.registry.get(cpr.source.qmpSocket)!;
      const target = cpr.registry.get(cpr.target.qmpSocket)!;
      const found = await look(source, target, cpr.request());
      assert.deepEqual(blocking(found), [], JSON.stringify(found));
      const stranger = { cprSocket: cpr.source.probeSocket };
      const wrong = await look(source, target, cpr.request({ options: stranger }));
      assert.deepEqual(blocking(wrong), ['cpr-socket-holder']);
      // It took no harm: it still serves its one attempt.
      const outcome = await cpr.runs.start(cpr.request()).outcome;
      assert.equal(outcome.kind, 'completed', JSON.stringify(outcome));
    });
  }

  it('changes nothing', async () => {
    const { source, sourceMachine, targetMachine, request } = await start({ version: '11.1' });
    const settings = async (): Promise<unknown[]> => [
      await source.probe('query-migrate-parameters'),
      await source.probe('query-migrate-capabilities'),
    ];
    const before = await settings();
    const options = { multifdChannels: 5, file: { path: '/tmp/x' }, cprSocket: '/tmp/y' };
    for (const method of ['precopy', 'postcopy', 'cpr-transfer', 'save'] as const) {
      const alone = method === 'save' ? { target: sourceMachine.id } : {};
      const target = method === 'save' ? sourceMachine : targetMachine;
      await look(sourceMachine, target, request({ method, options, ...alone }));
    }
    assert.deepEqual(await settings(), before);
  });
});
