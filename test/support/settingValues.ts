import { parameterDefault } from '../../src/migration/settings/defaults';
import {
  describeParameter,
  type ParameterDescription,
} from '../../src/migration/settings/parameters';
import { sameValue } from '../../src/migration/settings/values';
import type { JsonValue } from '../../src/qmp/json';
import type { VmFacts } from '../../src/vm/types';

/** Values that make a test of a parameter, by its type and by what the catalogue knows of it. */
export interface TestValues {
  /** The catalogue and the schema allow them, and none is the default. */
  readonly legal: readonly JsonValue[];
  /** Just outside of what is allowed, or of another type. */
  readonly illegal: readonly JsonValue[];
}

const maxUint64 = (1n << 64n) - 1n;

const mapping = (node: string, alias: string, bitmaps: readonly JsonValue[] = []): JsonValue => ({
  'node-name': node,
  alias,
  bitmaps,
});
const bitmap = { name: 'b0', alias: 'b' };

/** Of the right type, but QEMU refuses them for what they say. */
export const inconsistentMappings: readonly JsonValue[] = [
  [mapping('node0', 'x'.repeat(256))],
  [mapping('node0', '')],
  [mapping('node0', 'disk'), mapping('node0', 'other')],
  [mapping('node0', 'disk'), mapping('node1', 'disk')],
  [mapping('node0', 'disk', [bitmap, { name: 'b0', alias: 'c' }])],
  [mapping('node0', 'disk', [bitmap, { name: 'b1', alias: 'b' }])],
];

/** What cannot be told from type and range alone. */
const special: Readonly<Record<string, TestValues>> = {
  // It may not be below cpu-throttle-initial, which is 20 in a fresh QEMU.
  'max-cpu-throttle': { legal: [20, 50, 98], illegal: [0, 19, 100, 'many', 50.5] },
  'block-bitmap-mapping': {
    legal: [
      [mapping('node0', 'disk', [bitmap])],
      [mapping('node0', 'disk'), mapping('node1', 'x'.repeat(255))],
      [],
    ],
    illegal: [
      null,
      {},
      ['disk'],
      [{ alias: 'disk', bitmaps: [] }],
      [mapping('node0', 'disk', ['b0'])],
      ...inconsistentMappings,
    ],
  },
};

/** @throws {Error} when this QEMU has no such parameter */
export function testValues(facts: VmFacts, name: string): TestValues {
  const description = describeParameter(facts, name);
  if (description === undefined) throw new Error(`No parameter ${name}`);
  const { legal, illegal } = special[name] ?? byControl(description);
  const standard = parameterDefault(facts, name);
  return {
    legal: legal.filter(
      (value) => standard.kind === 'unknown' || !sameValue(standard.value, value),
    ),
    illegal,
  };
}

function byControl({ control, choices, info, nullable }: ParameterDescription): TestValues {
  switch (control) {
    case 'boolean':
      return { legal: [true, false], illegal: ['on', 1, null] };
    case 'integer':
      return integers(info?.range, info?.powerOfTwo === true);
    case 'enum':
      return { legal: choices, illegal: ['no-such', '', choices[0]?.toUpperCase() ?? '', 1, null] };
    case 'string':
      return {
        legal: ['tls0', 'a b', ...strangeTexts],
        illegal: [1, true, [], ...(nullable ? [] : [null])],
      };
    case 'list':
      return {
        legal: [['/bin/true'], ['/bin/qemu', '-name', "it's a guest", '', '"x"']],
        illegal: ['/bin/true', [1], {}, null],
      };
    case 'struct':
      return { legal: [], illegal: ['text', 1, null] };
  }
}

/** They mean something to HMP, to a shell, to the options of QEMU, or to JSON. */
const strangeTexts = [`a,b=c`, `it's "x" \\ $y`, ' blank in front', '"quoted"', 'ä\u{1f600}'];

function integers(
  range: { readonly min: bigint; readonly max: bigint } | undefined,
  powerOfTwo: boolean,
): TestValues {
  const wrongType: JsonValue[] = ['1', true, null, 1.5, [], 1n << 64n];
  if (range === undefined) return { legal: [1, 7], illegal: wrongType };
  const { min, max } = range;
  const legal = powerOfTwo
    ? [min, min << 1n, max]
    : [min, min + 1n, (min + max) / 2n, (1n << 53n) + 1n, max].filter(
        (value) => value >= min && value <= max,
      );
  return {
    legal,
    illegal: [
      ...wrongType,
      -1n,
      ...(min > 0n ? [min - 1n] : []),
      ...(max < maxUint64 ? [max + 1n] : []),
      ...(powerOfTwo ? [min + 1n, (min << 1n) - 1n, max - 1n] : []),
    ],
  };
}
