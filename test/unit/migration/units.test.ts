import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Unit } from '../../../src/migration/settings/catalogue';
import {
  editableQuantity,
  formatBytes,
  formatDurationMs,
  formatQuantity,
  formatRate,
  maxUint64,
  parseQuantity,
} from '../../../src/migration/settings/units';

const units: readonly Unit[] = [
  'bytes',
  'bytes/s',
  'ms',
  'percent',
  'MB/s',
  'count',
  'level',
  'none',
];
const anyUnit = fc.constantFrom(...units);
const uint64 = fc.oneof(fc.bigInt(0n, maxUint64), fc.bigInt(0n, 5000n));

/** Numbers as people choose them: a few digits of some unit. */
const chosen = fc
  .tuple(fc.bigInt(1n, 9999n), fc.constantFrom(1n, 1000n, 1024n, 10n ** 6n, 1n << 20n, 1n << 30n))
  .map(([digits, scale]) => digits * scale);

function read(text: string, unit: Unit): bigint {
  const result = parseQuantity(text, unit);
  assert.ok(result.ok, `${text}: ${result.ok ? '' : result.problem}`);
  return result.value;
}

function refuse(text: string, unit: Unit): string {
  const result = parseQuantity(text, unit);
  assert.ok(!result.ok, `${text} was read as ${result.ok ? result.value : ''}`);
  return result.problem;
}

describe('parseQuantity', () => {
  const accepted: readonly (readonly [string, Unit, bigint])[] = [
    ['0', 'bytes/s', 0n],
    ['134217728', 'bytes/s', 134217728n],
    ['1G', 'bytes/s', 1n << 30n],
    ['1G', 'bytes', 1n << 30n],
    ['1 G', 'MB/s', 1024n],
    ['1g', 'bytes', 1n << 30n],
    ['1 GiB', 'bytes', 1n << 30n],
    ['1Gi', 'bytes', 1n << 30n],
    ['1 gib/s', 'bytes/s', 1n << 30n],
    ['100 MiB/s', 'bytes/s', 100n << 20n],
    ['100MiB/s', 'bytes/s', 100n << 20n],
    ['100M', 'bytes/s', 100n << 20n],
    ['100 MiB/s', 'MB/s', 100n],
    ['100 MiB / sec', 'bytes/s', 100n << 20n],
    ['100MiBps', 'bytes/s', 100n << 20n],
    ['100 MB/s', 'bytes/s', 100_000_000n],
    ['64 mb', 'bytes', 64_000_000n],
    ['3 kB', 'bytes', 3000n],
    ['800 Mbit/s', 'bytes/s', 100_000_000n],
    ['800 Mbps', 'bytes/s', 100_000_000n],
    ['10 gbit', 'bytes/s', 1_250_000_000n],
    ['8 Kibit/s', 'bytes/s', 1024n],
    ['1.5 GiB', 'bytes', 3n << 29n],
    ['.5K', 'bytes', 512n],
    ['0x1000', 'bytes', 4096n],
    ['0XfF', 'count', 255n],
    ['12 bytes', 'bytes', 12n],
    ['300', 'ms', 300n],
    ['300ms', 'ms', 300n],
    ['0.3 s', 'ms', 300n],
    ['0.3s', 'ms', 300n],
    ['.3 sec', 'ms', 300n],
    ['1.5 S', 'ms', 1500n],
    ['0.5 min', 'ms', 30_000n],
    ['2 min', 'ms', 120_000n],
    ['1 h', 'ms', 3_600_000n],
    ['5000 µs', 'ms', 5n],
    ['50 %', 'percent', 50n],
    ['50\u00a0%', 'percent', 50n],
    ['50', 'percent', 50n],
    ['5', 'MB/s', 5n],
    ['5 MB/s', 'MB/s', 5n],
    ['5M', 'MB/s', 5n],
    ['1.5 GiB/s', 'MB/s', 1536n],
    [' 4 ', 'count', 4n],
    ['18446744073709551615', 'bytes/s', maxUint64],
  ];
  for (const [text, unit, value] of accepted) {
    it(`reads "${text}" as ${value} (${unit})`, () => {
      assert.equal(read(text, unit), value);
    });
  }

  const refused: readonly (readonly [string, Unit, RegExp])[] = [
    ['', 'ms', /Type a number/],
    ['-1', 'bytes/s', /negative.*18446744073709551615/],
    ['\u22121 GiB', 'bytes', /negative/],
    ['18446744073709551616', 'bytes/s', /at most 18446744073709551615/],
    ['16 EiB', 'bytes', /at most/],
    ['0x10000000000000000', 'none', /at most/],
    ['NaN', 'ms', /not a number/],
    ['Infinity', 'bytes/s', /not a number/],
    ['unlimited', 'bytes/s', /not a number/],
    ['1,5 GiB', 'bytes', /point for decimals/],
    ['0,3 s', 'ms', /point for decimals/],
    ['0.0003 s', 'ms', /nearest is 0\./],
    ['1G', 'ms', /Accepted: us, ms, s/],
    ['1 s', 'bytes', /Accepted: B, K or KiB/],
    ['1 GB/s', 'percent', /Accepted: %/],
    ['1 000', 'ms', /nothing between thousands/],
    ['1.2.3', 'ms', /point for decimals/],
    ['1e9', 'bytes', /"e9" is not a unit.*GiB/],
    ['3 parsecs', 'ms', /Accepted: us, ms, s, min, h/],
    ['100 MiB/s', 'bytes', /not a unit/],
    ['100 Mbit', 'bytes', /not a unit/],
    ['100 Mb/s', 'bytes/s', /Mbit\/s or MB\/s/],
    ['100 mb/s', 'bytes/s', /mbit\/s or mB\/s/],
    ['100 ms', 'percent', /not a unit/],
    ['2 threads', 'count', /Accepted: no unit/],
    ['100 kB/s', 'MB/s', /not a unit/],
    ['0.1 GiB', 'bytes', /not a whole number of bytes. The nearest is 107374182\./],
    ['0.5 %', 'percent', /nearest is 1\./],
    ['1 bit', 'bytes/s', /nearest is 0\./],
    ['≈ 8 PiB', 'bytes', /rounded/],
    ['9'.repeat(101), 'bytes', /too long/],
  ];
  for (const [text, unit, problem] of refused) {
    it(`refuses "${text.slice(0, 30)}" (${unit})`, () => {
      assert.match(refuse(text, unit), problem);
    });
  }

  it('never throws and never leaves the 64 bits', () => {
    const looksLikeOne = fc.stringMatching(/^[-+0-9., ]{0,6}[kMGiBbst/%x]{0,6}$/);
    fc.assert(
      fc.property(fc.oneof(fc.string(), looksLikeOne), anyUnit, (text, unit) => {
        const result = parseQuantity(text, unit);
        if (result.ok) assert.ok(result.value >= 0n && result.value <= maxUint64);
        else assert.notEqual(result.problem, '');
      }),
    );
  });

  it('reads each bare number as itself', () => {
    fc.assert(
      fc.property(uint64, anyUnit, (value, unit) => {
        assert.equal(read(value.toString(), unit), value);
        assert.equal(read(`0x${value.toString(16)}`, unit), value);
      }),
    );
  });

  it('reads decimals exactly', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 10n ** 15n), (value) => {
        const decimals = (value % 1000n).toString().padStart(3, '0');
        assert.equal(read(`${value / 1000n}.${decimals} s`, 'ms'), value);
      }),
    );
  });
});

describe('formatQuantity', () => {
  const cases: readonly (readonly [bigint | number, Unit, string])[] = [
    [0n, 'bytes/s', '0 B/s'],
    [134217728n, 'bytes/s', '128 MiB/s'],
    [134217728, 'bytes/s', '128 MiB/s'],
    [1n << 30n, 'bytes/s', '1 GiB/s'],
    [100_000_000n, 'bytes/s', '100 MB/s'],
    [1536n, 'bytes', '1.5 KiB'],
    [1025n, 'bytes', '1025 B'],
    [4096n, 'bytes', '4 KiB'],
    [(1n << 53n) + 1n, 'bytes', '≈ 8 PiB'],
    [maxUint64, 'bytes/s', '≈ 16 EiB/s'],
    [0n, 'ms', '0 ms'],
    [300n, 'ms', '300 ms'],
    [1500n, 'ms', '1.5 s'],
    [2_000_000n, 'ms', '2000 s'],
    [1n, 'MB/s', '1 MiB/s'],
    [1536n, 'MB/s', '1.5 GiB/s'],
    [50n, 'percent', '50 %'],
    [33.333, 'percent', '33.3 %'],
    [4n, 'count', '4'],
    [-5, 'ms', '-5 ms'],
    [Number.NaN, 'count', '–'],
  ];
  for (const [value, unit, text] of cases) {
    it(`shows ${value} (${unit}) as "${text}"`, () => {
      assert.equal(formatQuantity(value, unit), text);
    });
  }

  it('is read back as the same number, unless marked as rounded', () => {
    fc.assert(
      fc.property(fc.oneof(uint64, chosen), anyUnit, (value, unit) => {
        const shown = formatQuantity(value, unit);
        if (!shown.startsWith('≈')) assert.equal(read(shown, unit), value);
      }),
    );
  });

  it('rounds by less than a hundredth', () => {
    fc.assert(
      fc.property(uint64, (value) => {
        const shown = formatQuantity(value, 'bytes');
        if (!shown.startsWith('≈')) return;
        const [, number = '', prefix = ''] = /^≈ ([\d.]+) ([KMGTPE])iB$/.exec(shown) ?? [];
        const rounded = Number(number) * 1024 ** ('KMGTPE'.indexOf(prefix) + 1);
        assert.ok(Math.abs(rounded / Number(value) - 1) < 0.01, shown);
      }),
    );
  });

  it('has no need to round what people choose', () => {
    fc.assert(fc.property(chosen, (value) => !formatQuantity(value, 'bytes/s').startsWith('≈')));
  });
});

describe('editableQuantity', () => {
  it('is always read back as the same number', () => {
    fc.assert(
      fc.property(fc.oneof(uint64, chosen), anyUnit, (value, unit) => {
        assert.equal(read(editableQuantity(value, unit), unit), value);
      }),
    );
  });
});

describe('formatters of measured values', () => {
  it('shows durations in the unit that suits them', () => {
    const shown = [0, 0.4, 12.34, 300, 999.7, 1802, 43_210, 119_600, 125_000, 3_600_000, 4_200_000];
    assert.deepEqual(shown.map(formatDurationMs), [
      '0 ms',
      '0.4 ms',
      '12.3 ms',
      '300 ms',
      '1 s',
      '1.8 s',
      '43.2 s',
      '2 min',
      '2 min 5 s',
      '1 h',
      '1 h 10 min',
    ]);
  });

  it('shows sizes and rates in 1024s', () => {
    assert.equal(formatBytes(0), '0 B');
    assert.equal(formatBytes(1023.9), '1 KiB');
    assert.equal(formatBytes(1_524_713_390n), '1.42 GiB');
    assert.equal(formatRate(122_683_392), '117 MiB/s');
    assert.equal(formatRate(1000 * 1024 ** 2), '1000 MiB/s');
    assert.equal(formatBytes(-1024), '-1 KiB');
  });

  it('shows what is not a number as a dash', () => {
    assert.equal(formatDurationMs(Number.NaN), '–');
    assert.equal(formatRate(Number.POSITIVE_INFINITY), '–');
  });

  it('never shows an exponent or NaN', () => {
    const measured = fc.oneof(
      fc.double(),
      fc.double({ min: 0, max: 1e18, noNaN: true }),
      fc.integer(),
    );
    fc.assert(
      fc.property(measured, (value) => {
        for (const shown of [formatBytes(value), formatRate(value), formatDurationMs(value)]) {
          assert.match(shown, /^(–|-?[\d.]+ \D+( \d+ \D+)?)$/);
        }
      }),
    );
  });
});
