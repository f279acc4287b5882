import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it } from 'mocha';
import type { UpdateHost } from '../../../../src/migration/liveUpdate/host';
import type { UpdateOutcome } from '../../../../src/migration/liveUpdate/types';
import { LiveUpdates } from '../../../../src/migration/liveUpdate/updates';
import { Runs } from '../../../../src/migration/run/runs';
import { devicePermissions } from '../../../../src/migration/settings/backendTransfer';
import type { JsonObject } from '../../../../src/qmp/json';
import { isAlive, readProcess } from '../../../../src/vm/process';
import { MachineRegistry } from '../../../../src/vm/registry';
import type { QemuProcess } from '../../../../src/vm/types';
import type { FakeUpdateMessage } from '../../../support/fakeUpdateQemu';
import { handmadePlan } from '../../../support/handmadePlan';
import type { Build, Side } from '../../../support/recordings';

type Spelling = Exclude<Build, '11.1-stock'>;

const netdev = {
  ...{ type: 'tap', id: 'net0', script: '', downscript: '' },
  'x-permit-local-migration': true,
};
const device = {
  ...{ driver: 'virtio-net-pci', netdev: 'net0', id: 'nic0', bus: 'rp1' },
  mac: '52:54:00:12:34:56',
};

/** A source and a target that play one recorded case, each a process; the update is the real one. */
class Stage {
  readonly directory = realpathSync(mkdtempSync(join(tmpdir(), 'live-update-')));
  readonly socket = join(this.directory, 'web.qmp');
  /** What both were sent, in order, without queries. */
  readonly sent: (readonly [Side, string, JsonObject])[] = [];
  source: QemuProcess | undefined;
  target: QemuProcess | undefined;
  private readonly children: ChildProcess[] = [];
  private readonly registry = new MachineRegistry({
    store: { load: () => [], save: () => Promise.resolve() },
    devicePermissions,
    autoReconnect: false,
  });
  private readonly runs = new Runs({
    registry: this.registry,
    locateHelper: () => Promise.reject(new Error('no helper in this test')),
  });
  private readonly build: Spelling;
  private readonly caseName: string;

  constructor(build: Spelling, caseName: string) {
    this.build = build;
    this.caseName = caseName;
  }

  async update(): Promise<UpdateOutcome> {
    const { build, socket, registry, runs } = this;
    this.source = await this.start('source', socket);
    await registry.connect(socket);
    const host: UpdateHost = {
      launch: async (_, { qmpSocket, logFile }) => {
        this.target = await this.start('target', qmpSocket, logFile);
        return { process: this.target, missing: [], stderr: () => Promise.resolve([]) };
      },
      watchTaps: () => Promise.reject(new Error('no TAP is adopted')),
      ledger: () => Promise.resolve(() => Promise.resolve([])),
    };
    const plan = handmadePlan({
      ...{ source: this.source, socket, method: 'plain', mark: 'new' },
      target: { binary: '/opt/qemu-system-x86_64', prefixArgs: [], version: '10.2.2' },
      patch: {
        method: 'backend-transfer',
        run: {
          ...{ method: 'precopy', transport: 'unix', backendTransfer: 'on' },
          // The recorded runs went over without a pause before the switchover.
          options: { guardSwitchover: false },
        },
        hotAdd: build === 'local' ? [{ netdev, device }] : [],
        moves: [{ what: 'QMP socket', from: `${socket}.new`, to: socket }],
      },
    });
    return new LiveUpdates({ registry, runs, host }).start(plan).outcome;
  }

  /** Its network included: nobody has asked it to let go of anything. */
  async sourceRunsOn(): Promise<boolean> {
    const machine = this.registry.get(this.socket);
    await machine?.refresh();
    return (
      machine?.snapshot.facts?.runState.running === true &&
      !this.sent.some(([side, command]) => side === 'source' && /_del$/.test(command))
    );
  }

  async dispose(): Promise<void> {
    this.runs.dispose();
    this.registry.dispose();
    await Promise.all(
      this.children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, 'exit');
        child.kill('SIGKILL');
        await ended;
      }),
    );
    rmSync(this.directory, { recursive: true, force: true });
  }

  private async start(side: Side, socket: string, log = `${socket}.old`): Promise<QemuProcess> {
    const { build, caseName } = this;
    const script = join(import.meta.dirname, '../../../support/fakeUpdateQemu.ts');
    // What is read of the command line.
    const permitted = ['-netdev', 'tap,id=net0,ifname=tapx,x-permit-local-migration=on'];
    const stderr = openSync(log, 'a');
    const child = fork(
      script,
      [
        JSON.stringify({ build, caseName, side, socket }),
        ...(build === 'local' && side === 'source' ? permitted : []),
      ],
      { execArgv: ['--import', 'tsx'], stdio: ['ignore', 'ignore', stderr, 'ipc'] },
    );
    closeSync(stderr);
    this.children.push(child);
    const ready = new Promise<void>((resolve, reject) => {
      child.once('exit', () => reject(new Error(`the fake ${side} did not start`)));
      child.on('message', (message: FakeUpdateMessage) => {
        if (message === 'ready') resolve();
        else this.note(side, message.command, message.arguments);
      });
    });
    await ready;
    const found = await readProcess(child.pid ?? 0);
    assert.ok(found);
    return found;
  }

  private note(side: Side, command: string, args: JsonObject): void {
    const isQuery = /^(query-|qom-|device-list-|human-|qmp_)/.test(command);
    if (!isQuery) this.sent.push([side, command, args]);
    // A target's end comes of what the source sends.
    if (side === 'source' && command === 'migrate') this.children[1]?.send('go');
  }
}

describe('a live update by backend transfer', function () {
  // Two programs start in each.
  this.timeout(30_000);

  let stage: Stage | undefined;

  afterEach(async () => {
    await stage?.dispose();
    stage = undefined;
  });

  for (const [build, added] of [
    ['backend-transfer', []],
    [
      'local',
      [
        ['netdev_add', netdev],
        ['device_add', device],
      ],
    ],
  ] as const) {
    it(`sends what was recorded of the "${build}" spelling, in that order`, async () => {
      stage = new Stage(build, 'success');
      const outcome = await stage.update();
      assert.equal(outcome.kind, 'updated', JSON.stringify(outcome));
      const { sent, socket } = stage;
      const of = (side: Side): unknown[] =>
        sent
          .filter(([who, command]) => who === side && command !== 'migrate-set-capabilities')
          .map(([, command, args]) => [command, args]);
      const uri = sent.find(([, command]) => command === 'migrate')?.[2]['uri'];
      assert.ok(typeof uri === 'string' && uri.startsWith('unix:'));
      assert.deepEqual(of('target'), [
        ['migrate-set-parameters', { [build]: true }],
        ...added,
        ['migrate-incoming', { uri, 'exit-on-error': false }],
      ]);
      assert.deepEqual(of('source'), [
        ['migrate-set-parameters', { [build]: true }],
        ['migrate-set-parameters', { mode: 'normal' }],
        ['migrate', { uri }],
        ['quit', {}],
      ]);
      // The new one has the name, and nobody else runs.
      assert.ok(stage.source && !(await isAlive(stage.source)));
      assert.ok(stage.target && (await isAlive(stage.target)));
      assert.ok(existsSync(socket) && !existsSync(`${socket}.new`));
    });
  }

  // What went over without its back end, and what was made too early, look alike from here.
  const alike = /turn backend transfer on, on both sides and for that device/;
  const inUse = /Hand the TAP over as a descriptor .* on and permitted on both sides/;
  const tooEarly = /Leave the netdev and its NIC out of the next target's command line/;
  const devices = /same machine, memory, CPUs and devices, in the same order and slots/;
  for (const [build, caseName, nextStep] of [
    ['backend-transfer', 'device-permission-off-on-source', alike],
    ['backend-transfer', 'device-permission-off-on-target', inUse],
    ['backend-transfer', 'parameter-only-on-source', inUse],
    ['backend-transfer', 'parameter-only-on-source-other-tap', devices],
    ['backend-transfer', 'parameter-only-on-target', alike],
    ['local', 'ifname-given-on-target', /empty script= and downscript= and none of those/],
    ['local', 'netdev-id-differs', /Give the netdev the id "net0" at the target/],
    ['local', 'parameter-only-on-source', tooEarly],
    ['local', 'parameter-only-on-source-no-ifname', tooEarly],
    ['local', 'parameter-only-on-target', alike],
    ['local', 'parameter-set-after-netdev-add', tooEarly],
    ['local', 'permission-missing-on-source', alike],
    ['local', 'permission-missing-on-target', tooEarly],
    ['local', 'target-has-no-nic', devices],
    ['local', 'tcp-channel', /Choose the descriptor pair or a UNIX socket/],
  ] as const) {
    it(`leaves the guest where it was when it goes as in ${build}/${caseName}`, async () => {
      stage = new Stage(build, caseName);
      const outcome = await stage.update();
      assert.equal(outcome.kind, 'failed', JSON.stringify(outcome));
      assert.equal(outcome.run?.owner, 'source');
      assert.match(outcome.nextStep, nextStep);
      // The target of this update is gone: there is nothing to quit, and none to start by hand.
      assert.doesNotMatch(outcome.nextStep, /-incoming defer|Quit /);
      assert.deepEqual(outcome.leftovers, []);
      assert.ok(await stage.sourceRunsOn());
      assert.ok(stage.target && !(await isAlive(stage.target)));
      assert.ok(!existsSync(`${stage.socket}.new`) && !existsSync(`${stage.socket}.log.new`));
    });
  }
});
