import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import {
  Convergence,
  convergenceSettings,
  type ConvergenceSample,
  type ConvergenceSettings,
  type ConvergenceVerdict,
  type Remedy,
} from '../../../src/migration/run/pace/convergence';
import { pauseToAllow } from '../../../src/migration/run/pace/pauseMath';
import { changed, factsOf } from './support';

const mebibyte = 2 ** 20;

/** As a fresh QEMU 11.1 is set. */
const fresh: ConvergenceSettings = {
  downtimeLimitMs: 300,
  maxBandwidthBytesPerSecond: 128 * mebibyte,
  switchoverBytesPerSecond: 0,
  autoConverge: false,
  maxThrottlePercent: 99,
  throttlePercent: undefined,
  postcopy: false,
};

interface Pass {
  /** MiB/s */
  readonly rate: number;
  /** MiB/s */
  readonly dirty: number | undefined;
  readonly expectedMs: number | undefined;
  readonly forMs: number;
}

/** Passes from number `first` on, a sample every 200 ms as the follower takes them. */
function* samples(passes: readonly Pass[], first = 1): Generator<ConvergenceSample> {
  let atMs = 0;
  for (const [index, { rate, dirty, expectedMs, forMs }] of passes.entries()) {
    for (let spent = 0; spent < forMs; spent += 200, atMs += 200) {
      yield {
        atMs,
        pass: first + index,
        remainingBytes: undefined,
        bytesPerSecond: rate * mebibyte,
        dirtyBytesPerSecond: dirty === undefined ? undefined : dirty * mebibyte,
        expectedDowntimeMs: expectedMs,
      };
    }
  }
}

/** The verdicts that a user sees, each once for as long as it stays. */
function verdicts(
  passes: readonly Pass[],
  settings: ConvergenceSettings = fresh,
): (ConvergenceVerdict | undefined)[] {
  const watch = new Convergence();
  const seen: (ConvergenceVerdict | undefined)[] = [];
  for (const sample of samples(passes)) {
    watch.add(sample);
    const verdict = watch.verdict(settings);
    if (seen.length === 0 || seen.at(-1)?.kind !== verdict?.kind) seen.push(verdict);
    else seen[seen.length - 1] = verdict;
  }
  return seen;
}

function last(passes: readonly Pass[], settings?: ConvergenceSettings): ConvergenceVerdict {
  const verdict = verdicts(passes, settings).at(-1);
  assert.ok(verdict !== undefined, 'no verdict');
  return verdict;
}

const kinds = (passes: readonly Pass[], settings?: ConvergenceSettings): (string | undefined)[] =>
  verdicts(passes, settings).map((verdict) => verdict?.kind);
const remedy = ({ remedies }: ConvergenceVerdict, id: Remedy['id']): Remedy | undefined =>
  remedies.find((one) => one.id === id);

/** Measured: 192 MiB written over and over, default settings, QEMU 11.1. */
const firstPass: Pass = { rate: 129, dirty: 0, expectedMs: 300, forMs: 1600 };
const endless: readonly Pass[] = [
  firstPass,
  { rate: 129, dirty: 132, expectedMs: 1488, forMs: 1200 },
  { rate: 129, dirty: 123, expectedMs: 1503, forMs: 1200 },
  { rate: 129, dirty: 128, expectedMs: 1488, forMs: 1200 },
];

describe('whether a running migration comes to an end', () => {
  it('is not said before the first pass over memory is through', () => {
    assert.deepEqual(kinds([firstPass]), [undefined]);
    assert.deepEqual(kinds(endless), [undefined, 'not-converging']);
    assert.deepEqual(kinds([{ ...firstPass, expectedMs: 40 }]), [undefined]);
    // QEMU 7.2 keeps its first figure, the limit itself, until it has measured the guest's writing.
    assert.deepEqual(kinds([firstPass, firstPass]), [undefined]);
  });

  it('is said with the numbers behind it', () => {
    assert.equal(
      last(endless.slice(0, 2)).text,
      'guest writes 132 MiB/s, channel moves 129 MiB/s: not converging',
    );
    assert.equal(
      last(endless.slice(0, 3)).text,
      'guest writes 123 MiB/s, channel moves 129 MiB/s, pause expected 1.5 s of 300 ms allowed: not converging',
    );
    const good = last([firstPass, { rate: 129, dirty: 5, expectedMs: 40, forMs: 1000 }]);
    assert.equal(good.text, 'pause expected 40 ms of 300 ms allowed: will converge');
    assert.deepEqual(good.remedies, []);
  });

  it('hopes while each pass leaves less, and no longer than that', () => {
    const less: readonly Pass[] = [
      firstPass,
      { rate: 100, dirty: 50, expectedMs: 2000, forMs: 2000 },
      { rate: 100, dirty: 50, expectedMs: 1000, forMs: 1000 },
    ];
    assert.deepEqual(kinds(less), [undefined, 'converging']);
    assert.match(last(less).text, /^guest writes 50 MiB\/s, channel moves 100 MiB\/s: each pass/);
    // Measured with a guest slowed by 99 %: it writes little, and the same again in each pass.
    const floor = [508, 500, 459, 480, 500].map((expectedMs) => ({
      rate: 129,
      dirty: 27,
      expectedMs,
      forMs: 1000,
    }));
    const stuck = last([...less, ...floor], { ...fresh, autoConverge: true, throttlePercent: 99 });
    assert.equal(stuck.kind, 'not-converging');
    assert.match(
      stuck.text,
      /pause expected 500 ms of 300 ms .*not converging, though slowed by 99/,
    );
    assert.equal(remedy(stuck, 'slow-the-guest'), undefined, 'no more can be taken');
  });

  it('judges by what is left where QEMU has not measured what was written', () => {
    const short = (expectedMs: number): Pass => ({ rate: 129, dirty: 0, expectedMs, forMs: 800 });
    const start = [firstPass, short(900)];
    assert.deepEqual(kinds(start), [undefined]);
    assert.equal(last([...start, ...[905, 899, 902].map(short)]).kind, 'not-converging');
    assert.equal(last([...start, ...[700, 500, 400].map(short)]).kind, 'converging');
    assert.deepEqual(
      kinds([firstPass, { rate: 0, dirty: 10, expectedMs: undefined, forMs: 3000 }]),
      [undefined],
    );
  });

  it('does not change its mind for one odd pass', () => {
    const odd = { rate: 129, dirty: 20, expectedMs: 100, forMs: 400 };
    assert.deepEqual(kinds([...endless, odd, ...endless.slice(1)]), [undefined, 'not-converging']);
    const good = { rate: 129, dirty: 20, expectedMs: 290, forMs: 1000 };
    const worse = { rate: 129, dirty: 25, expectedMs: 315, forMs: 3000 };
    assert.deepEqual(kinds([firstPass, good, worse, good]), [undefined, 'converging']);
    assert.deepEqual(kinds([firstPass, good, ...endless.slice(1)]), [
      undefined,
      'converging',
      'not-converging',
    ]);
  });

  it('is judged anew, and soon, when the settings change under way', () => {
    const watch = new Convergence();
    for (const sample of samples(endless)) {
      watch.add(sample);
      watch.verdict(fresh);
    }
    const before = watch.verdict(fresh);
    assert.equal(before?.kind, 'not-converging');
    const parameters = remedy(before, 'longer-pause')?.parameters ?? {};
    assert.deepEqual(parameters, { 'downtime-limit': 1900 });
    const raised = { ...fresh, downtimeLimitMs: parameters['downtime-limit'] };
    assert.equal(watch.verdict(raised), undefined);
    for (const sample of samples(endless.slice(1), 5)) {
      watch.add({ ...sample, atMs: sample.atMs + 60_000 });
      watch.verdict(raised);
    }
    assert.equal(watch.verdict(raised)?.kind, 'converging');
  });

  it('is not said without the limit of the pause', () => {
    assert.deepEqual(kinds(endless, { ...fresh, downtimeLimitMs: undefined }), [undefined]);
  });
});

describe('what can be done about a migration that does not end', () => {
  it('is the speed first where it is limited, then a pause with its figure', () => {
    const { remedies, unavailable = [] } = last(endless);
    assert.deepEqual(
      remedies.map(({ title, parameters }) => [title, parameters]),
      [
        [
          'Lift the speed limit of 128 MiB/s',
          { 'max-bandwidth': 0, 'avail-switchover-bandwidth': 2 ** 30 },
        ],
        ['Allow a pause of 1.9 s', { 'downtime-limit': 1900 }],
      ],
    );
    assert.match(unavailable.join(' '), /auto-converge is off.* postcopy-ram is not on at both/);
  });

  it('leaves the speed alone where the limit is not what holds it back', () => {
    const ids = (settings: Partial<ConvergenceSettings>): string[] =>
      last(endless, { ...fresh, ...settings }).remedies.map(({ id }) => id);
    assert.deepEqual(ids({ maxBandwidthBytesPerSecond: 0 }), ['longer-pause']);
    assert.deepEqual(ids({ maxBandwidthBytesPerSecond: 2 ** 30 }), ['longer-pause']);
  });

  it('raises the speed to what a host does at least on a QEMU that would misjudge the end', () => {
    const old = { ...fresh, switchoverBytesPerSecond: undefined };
    assert.deepEqual(remedy(last(endless, old), 'no-bandwidth-limit')?.parameters, {
      'max-bandwidth': 2 ** 30,
    });
    const set = { ...fresh, switchoverBytesPerSecond: 5 };
    assert.deepEqual(remedy(last(endless, set), 'no-bandwidth-limit')?.parameters, {
      'max-bandwidth': 0,
    });
  });

  it('slows the guest more and more with auto-converge, and by numbers that QEMU takes', () => {
    const slower = (throttlePercent: number | undefined, maxThrottlePercent = 99): unknown =>
      remedy(
        last(endless, { ...fresh, autoConverge: true, throttlePercent, maxThrottlePercent }),
        'slow-the-guest',
      )?.parameters;
    assert.deepEqual(slower(undefined, 40), { 'cpu-throttle-initial': 50, 'max-cpu-throttle': 50 });
    assert.deepEqual(slower(20), { 'cpu-throttle-increment': 55, 'max-cpu-throttle': 99 });
    assert.deepEqual(slower(75, 75), { 'cpu-throttle-increment': 15, 'max-cpu-throttle': 90 });
    assert.equal(slower(99), undefined);
  });

  it('goes on by postcopy where that is on, before a pause that nobody would like', () => {
    const slow = endless.map((pass) => ({ ...pass, expectedMs: 20_000 }));
    const ids = last(slow, { ...fresh, postcopy: true, autoConverge: true }).remedies;
    assert.deepEqual(
      ids.map(({ id }) => id),
      ['no-bandwidth-limit', 'start-postcopy', 'slow-the-guest', 'longer-pause'],
    );
    assert.deepEqual(ids[1]?.parameters, {});
  });

  it('never asks for a pause that QEMU does not take', () => {
    const hopeless = endless.map((pass) => ({ ...pass, expectedMs: 1_900_000 }));
    assert.equal(remedy(last(hopeless), 'longer-pause'), undefined);
    assert.equal(pauseToAllow(Infinity), undefined);
    assert.equal(pauseToAllow(1_650_000), 2_000_000);
    assert.deepEqual([0, 1, 480, 1488, 4000].map(pauseToAllow), [50, 50, 600, 1800, 4800]);
  });

  it('goes by what both sides have, as QEMU gave it', () => {
    const on = { 'postcopy-ram': true, 'auto-converge': true };
    const source = changed(factsOf('11.1-stock'), { 'max-bandwidth': 2n ** 40n }, on);
    assert.deepEqual(convergenceSettings(source, undefined, 20), {
      ...fresh,
      maxBandwidthBytesPerSecond: 2 ** 40,
      autoConverge: true,
      throttlePercent: 20,
    });
    assert.equal(convergenceSettings(source, source).postcopy, true);
  });
});
