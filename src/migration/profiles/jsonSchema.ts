import { stringifyJson, type JsonValue } from '../../qmp/json';
import { isBackendTransferParameter } from '../settings/backendTransfer';
import {
  allCapabilities,
  allParameters,
  rangeText,
  type CapabilityInfo,
  type Need,
  type ParameterInfo,
  type Sides,
  type Unit,
} from '../settings/catalogue';
import { formatQuantity } from '../settings/units';
import { profileFormatVersion } from './parseProfiles';
import { quantityPattern } from './quantityPattern';
import { backendTransferMember } from './types';
import { exampleText, neverInProfiles, usualDefault } from './valueProblem';

/** A piece of a JSON schema, with the keywords that VS Code adds to it. */
type Schema = Readonly<Record<string, unknown>>;

/** What a bare number counts; nothing where there is no unit to write. */
const units: Readonly<Record<Unit, string>> = {
  bytes: 'bytes',
  'bytes/s': 'bytes per second',
  ms: 'milliseconds',
  percent: 'percent',
  'MB/s': 'MiB per second',
  count: '',
  level: '',
  none: '',
};

/** From here on the upper end is that of the number's type, and a double could not hold it. */
const endless = 1n << 53n;

/**
 * The JSON schema of profile files, made of the catalogue: completion, hover and squiggles in the
 * editor. Draft 7, as VS Code's JSON language service reads it. Names that the catalogue does not
 * have are allowed: a QEMU may have them.
 */
export function profileJsonSchema(): object {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Profiles of QEMU migration settings',
    type: 'object',
    allowComments: true,
    allowTrailingCommas: true,
    required: ['version'],
    properties: {
      $schema: { type: 'string' },
      version: {
        enum: [profileFormatVersion],
        errorMessage:
          `This version of the extension reads format ${profileFormatVersion} only; a higher one ` +
          'needs a newer version.',
        markdownDescription: 'The version of the file format.',
      },
      profiles: {
        type: 'object',
        markdownDescription: 'The profiles by name.',
        propertyNames: {
          pattern: '^\\S(?:.*\\S)?$',
          patternErrorMessage: 'A profile needs a name without blanks at its ends.',
        },
        additionalProperties: { $ref: '#/definitions/profile' },
        defaultSnippets: [
          {
            label: 'New profile',
            description: 'A named set of parameters and capabilities',
            body: {
              '${1:name}': {
                description: '$2',
                parameters: { 'max-bandwidth': '${3:1 GiB/s}' },
                capabilities: { 'return-path': true },
              },
            },
          },
        ],
      },
    },
    additionalProperties: false,
    definitions: {
      profile: profileSchema(),
      settings: {
        type: 'object',
        properties: layerProperties(),
        additionalProperties: false,
      },
      parameters: {
        type: 'object',
        markdownDescription:
          'Migration parameters by the names that QEMU has for them. Numbers may be texts with a ' +
          'unit: `"2 GiB/s"`, `"0.3 s"`.',
        properties: Object.fromEntries(
          allParameters.map((info) => [info.name, parameterSchema(info)]),
        ),
        additionalProperties: true,
      },
      capabilities: {
        type: 'object',
        markdownDescription: 'Migration capabilities by the names that QEMU has for them.',
        properties: Object.fromEntries(
          allCapabilities.map((info) => [info.name, capabilitySchema(info)]),
        ),
        additionalProperties: { type: 'boolean' },
      },
    },
  };
}

function layerProperties(): Schema {
  return {
    parameters: { $ref: '#/definitions/parameters' },
    capabilities: { $ref: '#/definitions/capabilities' },
  };
}

function profileSchema(): Schema {
  const side = (which: string): Schema => ({
    type: 'object',
    // What stands beside a reference is ignored by most.
    allOf: [{ $ref: '#/definitions/settings' }],
    markdownDescription:
      `What only the ${which} of a pair gets, on top of the rest. A machine that is not in a pair ` +
      'counts as the target when it waits for a migration, and as the source otherwise.',
  });
  return {
    type: 'object',
    properties: {
      description: { type: 'string', markdownDescription: 'What the profile is for.' },
      [backendTransferMember]: {
        type: 'boolean',
        markdownDescription:
          'Hand open network devices to a QEMU on the same host. Sets `local` or ' +
          '`backend-transfer`, whichever a QEMU has.',
      },
      ...layerProperties(),
      source: side('source'),
      target: side('target'),
      optional: {
        type: 'array',
        uniqueItems: true,
        markdownDescription:
          'Names that are left out where a QEMU does not have them. Without this a profile cannot ' +
          'be applied there at all.',
        items: {
          type: 'string',
          examples: [
            backendTransferMember,
            ...[...allParameters, ...allCapabilities]
              .filter(({ until, name }) => until === undefined && !neverInProfiles.has(name))
              .map(({ name }) => name),
          ],
        },
      },
    },
    additionalProperties: false,
  };
}

function parameterSchema(info: ParameterInfo): Schema {
  const forbidden = neverInProfiles.get(info.name);
  if (forbidden !== undefined) {
    return {
      not: {},
      errorMessage: forbidden,
      doNotSuggest: true,
      markdownDescription: `**${info.summary}.**\n\n${forbidden}`,
    };
  }
  return {
    ...typeSchema(info),
    ...textSchema(info, parameterFacts(info)),
    ...(usualDefault(info) !== undefined && { default: defaultText(info) }),
  };
}

function typeSchema(info: ParameterInfo): Schema {
  switch (info.type) {
    case 'bool':
      return isBackendTransferParameter(info.name)
        ? { type: ['boolean', 'array'], items: { type: 'string' } }
        : { type: 'boolean' };
    case 'int':
    case 'size':
      return quantitySchema(info);
    case 'enum': {
      const values = info.values ?? [];
      const hover = values.map(({ summary, since }) => `${summary}. Since QEMU ${since}.`);
      return {
        type: 'string',
        enum: values.map(({ value }) => value),
        markdownEnumDescriptions: hover,
      };
    }
    case 'string':
      return { type: 'string' };
    case 'string-or-null':
      return { type: ['string', 'null'] };
    case 'list':
      return { type: 'array' };
    case 'struct':
      return { type: ['array', 'object'] };
  }
}

function quantitySchema(info: ParameterInfo): Schema {
  const { range, unit } = info;
  const example = exampleText(info);
  return {
    type: ['integer', 'string'],
    ...(range !== undefined && { minimum: Number(range.min) }),
    ...(range !== undefined && range.max < endless && { maximum: Number(range.max) }),
    pattern: quantityPattern(unit, info.zeroMeans === 'no limit'),
    patternErrorMessage:
      example === undefined ? 'A whole number.' : `A number with a unit, such as "${example}".`,
  };
}

function capabilitySchema(info: CapabilityInfo): Schema {
  return { type: 'boolean', ...textSchema(info, capabilityFacts(info)) };
}

/** What completion and hover show. */
function textSchema(info: ParameterInfo | CapabilityInfo, facts: readonly string[]): Schema {
  return {
    markdownDescription: [`**${info.summary}.**`, info.details, list(facts)].join('\n\n'),
    ...(info.until !== undefined && {
      deprecationMessage: `QEMU ${info.until} and later do not have "${info.name}".`,
      doNotSuggest: true,
    }),
  };
}

function parameterFacts(info: ParameterInfo): readonly string[] {
  const { name, zeroMeans, powerOfTwo, needs = [] } = info;
  const [example, range] = [exampleText(info), rangeText(info)];
  return [
    ...(example === undefined
      ? []
      : [`A number of ${units[info.unit]}, or a text with a unit: \`"${example}"\``]),
    ...(range === undefined ? [] : [`Range: ${range}`]),
    ...(powerOfTwo === true ? ['A power of two'] : []),
    ...(zeroMeans === undefined ? [] : [`0: ${zeroMeans}`]),
    ...(usualDefault(info) === undefined ? [] : [`Default: ${shownDefault(info)}`]),
    ...needs.map((need) => `Needs ${needText(need)}`),
    ...(isBackendTransferParameter(name)
      ? [`In a profile rather \`"${backendTransferMember}": true\`, which fits every QEMU`]
      : []),
    ...origin(info),
  ];
}

function capabilityFacts(info: CapabilityInfo): readonly string[] {
  const names = (all: readonly string[]): string => all.map((name) => `\`${name}\``).join(', ');
  const { needs = [], conflicts = [] } = info;
  return [
    ...(needs.length === 0 ? [] : [`Needs ${names(needs)}`]),
    ...(conflicts.length === 0 ? [] : [`Not together with ${names(conflicts)}`]),
    ...origin(info),
  ];
}

function origin({ sides, since, until, unstable }: ParameterInfo | CapabilityInfo): string[] {
  const from = since === 'patched' ? 'Only in patched builds of QEMU' : `Since QEMU ${since}`;
  return [
    sideTexts[sides],
    until === undefined ? from : `${from}, removed in ${until}`,
    ...(unstable === true ? ['Unstable: QEMU may change or drop it'] : []),
  ];
}

const sideTexts: Readonly<Record<Sides, string>> = {
  'both-equal': 'Both sides need the same value',
  source: 'Matters on the source',
  target: 'Matters on the target',
  either: "Each side's value stands for itself",
};

function needText({ capability, parameter }: Need): string {
  const parts = [
    ...(capability === undefined ? [] : [`\`${capability}\``]),
    ...(parameter === undefined ? [] : [`\`${parameter.name}\` = \`${String(parameter.value)}\``]),
  ];
  return parts.join(' and ');
}

function shownDefault(info: ParameterInfo): string {
  const value = usualDefault(info);
  if (typeof value === 'bigint' || typeof value === 'number') {
    return `\`${formatQuantity(value, info.unit)}\``;
  }
  if (value === undefined || value === null || value === '') return 'empty';
  return `\`${typeof value === 'string' ? value : stringifyJson(value)}\``;
}

/** What completion writes for a start: the default, but a number that shows its unit. */
function defaultText(info: ParameterInfo): JsonValue {
  const value = usualDefault(info) ?? null;
  return typeof value === 'number' ? (exampleText(info) ?? value) : value;
}

function list(lines: readonly string[]): string {
  return lines.map((line) => `- ${line}`).join('\n');
}
