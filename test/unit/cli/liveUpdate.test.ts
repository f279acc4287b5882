import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'mocha';
import type { LiveUpdatePlan, LiveUpdateRequest } from '../../../src/migration/liveUpdate/types';
import type { Finding } from '../../../src/migration/preflight/types';
import { FakeDesk } from '../../support/fakeDesk';
import { FakeQmpServer } from '../../support/fakeQmpServer';
import { outcomeOf, planOf } from '../migration/liveUpdate/support';
import { cli, documentOf, type End } from './inProcess';

const program = '/opt/qemu/bin/qemu';
const blocks: Finding = {
  id: 'memory-not-shared',
  level: 'blocks',
  side: 'source',
  what: 'The memory cannot be shared.',
  why: 'It would be lost.',
  nextStep: 'Start the machine with share=on.',
};

describe('live-update on the command line', () => {
  let servers: FakeQmpServer[];
  let desk: FakeDesk;
  let directory: string;
  let signals: EventEmitter;

  const run = (...args: readonly string[]): Promise<End> =>
    cli(['live-update', ...args], '/', signals, { openUpdateDesk: () => desk });
  const machines = async (many: number): Promise<string[]> => {
    for (let index = 0; index < many; index++) {
      servers.push(await FakeQmpServer.start({ build: 'local' }));
    }
    return servers.map(({ path }) => path);
  };
  const planner = (request: LiveUpdateRequest): LiveUpdatePlan =>
    planOf({ request, label: `m${servers.findIndex(({ path }) => path === request.machine) + 1}` });

  beforeEach(async () => {
    servers = [];
    desk = new FakeDesk(planner);
    signals = new EventEmitter();
    directory = await mkdtemp(join(tmpdir(), 'qm-'));
  });

  afterEach(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    await rm(directory, { recursive: true });
  });

  it('prints the plan, the script or the arguments, and starts nothing', async () => {
    const [socket = ''] = await machines(1);
    const plan = await run(socket, '--qemu', program, '--dry-run');
    assert.deepEqual([plan.code, plan.stdout.split('\n')[0]], [0, '# Live update of m1']);
    const script = await run(socket, '--qemu', program, '--script');
    assert.match(script.stdout, /^#!\/bin\/sh\n/);
    const args = await run(socket, '--qemu', program, '--print-args');
    assert.match(args.stdout, /^-name web-1\n-m 512\n/);
    const json = documentOf(await run(socket, '--qemu', program, '--dry-run', '--json'));
    assert.equal((json['plan'] as LiveUpdatePlan).method, 'tap-adoption');
    assert.equal(desk.started.length, 0);
  });

  it('hands over the method, the program, edited arguments, limits and the reason', async () => {
    const [socket = ''] = await machines(1);
    await writeFile(join(directory, 'args'), '# mine\n-name web 1\n-S\n');
    await run(
      ...[socket, '--qemu', 'opt/qemu', '--method', 'plain', '--args', join(directory, 'args')],
      ...['--downtime-limit', '0.2s', '--max-bandwidth', '1GiB/s'],
      ...['--force', 'the disk is shared in another way', '--dry-run'],
    );
    assert.deepEqual(desk.requests, [
      {
        machine: socket,
        program: '/opt/qemu',
        method: 'plain',
        args: ['-name', 'web 1', '-S'],
        options: { downtimeLimitMs: 200 },
        maxBandwidthBytesPerSecond: 1024n ** 3n,
        force: { reason: 'the disk is shared in another way' },
      },
    ]);
  });

  it('says where a file of arguments cannot be read', async () => {
    const [socket = ''] = await machines(1);
    const file = join(directory, 'args');
    await writeFile(file, '-S\n-append "a" b\n');
    const end = await run(socket, '--qemu', program, '--args', file);
    assert.equal(end.code, 2);
    assert.match(end.stderr, new RegExp(`${file}:2: `));
  });

  it('begins nothing when a finding blocks, and says which and what to do', async () => {
    const sockets = await machines(2);
    desk.planner = (request) =>
      planOf({ ...planner(request), findings: request.machine === sockets[1] ? [blocks] : [] });
    const end = await run(...sockets, '--qemu', program);
    assert.equal(end.code, 4);
    assert.match(end.stderr, /m2 was not updated[^]*cannot be shared\.[^]*share=on/);
    assert.equal(desk.started.length, 0);
    const dry = await run(...sockets, '--qemu', program, '--dry-run');
    assert.equal(dry.code, 4);
    assert.match(dry.stdout, /Live update of m1[^]*Live update of m2/);
  });

  it('tells the pauses, the descriptors and what was left, and for programs the same', async () => {
    const [socket = ''] = await machines(1);
    const outcome = outcomeOf({ leftovers: ['/run/vm/old.log is still there.'] });
    desk.onStart = (update) => setImmediate(() => update.end(outcome));
    const end = await run(socket, '--qemu', program);
    assert.equal(end.code, 0);
    assert.match(end.stdout, /^web-1 runs in QEMU 11\.1\.3 now\.\n/);
    assert.match(end.stdout, /Pause of the guest, by QEMU +9 ms/);
    assert.match(end.stdout, /TAP web0, queue 1 +tap +20 +30 +handed over/);
    assert.match(end.stdout, /Left behind:\n {2}\/run\/vm\/old\.log/);
    assert.match(end.stderr, /starting the new QEMU/);
    const json = documentOf(await run(socket, '--qemu', program, '--json'));
    assert.deepEqual([json.exitCode, json['outcome']], [0, 'updated']);
    assert.deepEqual(json['times'], JSON.parse(JSON.stringify(outcome.times)));
    assert.deepEqual(json['machine'], { socket, name: 'm1' });
  });

  it('has a number for each end', async () => {
    const [socket = ''] = await machines(1);
    const code = async (kind: 'refused' | 'failed' | 'cancelled' | 'unknown'): Promise<number> => {
      desk.onStart = (update) => setImmediate(() => update.end(outcomeOf({ kind })));
      return (await run(socket, '--qemu', program)).code;
    };
    assert.deepEqual(
      [await code('refused'), await code('failed'), await code('cancelled'), await code('unknown')],
      [4, 5, 6, 8],
    );
  });

  it('cancels at the first Ctrl+C, and stops watching at the second', async () => {
    const [socket = ''] = await machines(1);
    desk.onStart = () => setImmediate(() => signals.emit('SIGINT'));
    const ending = run(socket, '--qemu', program);
    while (desk.started[0]?.cancelled !== 1) await new Promise((resolve) => setImmediate(resolve));
    signals.emit('SIGINT');
    const end = await ending;
    assert.equal(end.code, 8);
    assert.match(end.stderr, /a guest that has not gone over stays in its old QEMU/);
    assert.match(end.stdout, /qemu-migration resume update-1/);
  });

  it('updates the first of several alone, then so many at once, and shows a table', async () => {
    const sockets = await machines(4);
    const atOnce: number[] = [];
    desk.onStart = (update) => {
      atOnce.push(desk.started.filter(({ record }) => record.outcome === undefined).length);
      setImmediate(() => update.end(outcomeOf()));
    };
    const end = await run(
      ...sockets,
      '--qemu',
      program,
      '--at-a-time',
      '2',
      '--canary-limit',
      '50',
    );
    assert.equal(end.code, 0);
    assert.deepEqual(atOnce.slice(0, 3), [1, 1, 2]);
    assert.match(end.stdout, /^4 of 4 machines are updated\.\n\nMACHINE +END/);
    assert.match(end.stdout, /m4 +updated +10\.0\.8 → 11\.1\.3 +tap-adoption +9 ms +12\.3 ms/);
  });

  it('stops at a pause that is too long, and says which were not begun', async () => {
    const sockets = await machines(3);
    desk.onStart = (update) => setImmediate(() => update.end(outcomeOf()));
    const args = [...sockets, '--qemu', program, '--canary-limit', '10ms'];
    const end = await run(...args);
    assert.equal(end.code, 10);
    assert.match(end.stdout, /^Stopped: m1 stood still for 12\.3 ms, more than the 10 ms/);
    assert.match(end.stdout, /m2 +not begun/);
    assert.equal(desk.started.length, 1);
    const json = documentOf(await run(...args, '--json'));
    const ends = json['machines'] as readonly { outcome: string }[];
    assert.deepEqual(
      ends.map(({ outcome }) => outcome),
      ['updated', 'not-begun', 'not-begun'],
    );
    assert.equal(json['limitExceeded'], true);
  });

  it('stops at the first failure with its number, and tells where that guest is', async () => {
    const sockets = await machines(3);
    desk.onStart = (update) =>
      setImmediate(() => {
        const headline = 'm2 runs on in its old QEMU.';
        const failed = outcomeOf({ kind: 'failed', headline });
        update.end(desk.started.length === 2 ? failed : outcomeOf());
      });
    const end = await run(...sockets, '--qemu', program);
    assert.equal(end.code, 5);
    assert.match(
      end.stdout,
      /^Stopped: m2: m2 runs on in its old QEMU\. 1 of 3 machines is updated/,
    );
    assert.equal(desk.started.length, 2);
  });

  it('takes options for one machine with one machine alone', async () => {
    const sockets = await machines(2);
    const end = await run(...sockets, '--qemu', program, '--script');
    assert.deepEqual([end.code, end.stderr.trim()], [2, '--script is for one machine.']);
    const twice = await run(sockets[0] ?? '', sockets[0] ?? '', '--qemu', program);
    assert.equal(twice.code, 2);
  });
});
