import type { Node } from 'jsonc-parser';
import { isArray, type JsonValue } from '../../qmp/json';
import { isBackendTransferParameter } from '../settings/backendTransfer';
import {
  allCapabilities,
  allParameters,
  capabilityInfo,
  parameterInfo,
} from '../settings/catalogue';
import { nearest as nearestOf } from '../settings/nearest';
import { ProblemList } from './problems';
import { membersOf, readTree, valueOf, type Member } from './tree';
import {
  backendTransferMember,
  type Profile,
  type ProfileFile,
  type ProfileSettings,
} from './types';
import { neverInProfiles, valueProblem } from './valueProblem';

/** The version of the file format that this program reads and writes. */
export const profileFormatVersion = 1;

const fileMembers = ['$schema', 'version', 'profiles'];
const layerMembers = ['parameters', 'capabilities'];
const profileMembers = [
  'description',
  backendTransferMember,
  ...layerMembers,
  'source',
  'target',
  'optional',
];
const parameterNames = allParameters.map(({ name }) => name);
const capabilityNames = allCapabilities.map(({ name }) => name);
/** Beyond this a name is nobody's slip, and comparing it would take long. */
const longestName = 100;

/** Reads a profile file (JSON with comments). Never throws: what is wrong is listed with its place. */
export function parseProfileFile(text: string): ProfileFile {
  const problems = new ProblemList(text);
  const profiles = readProfiles(text, problems);
  const failed = problems.failedProfiles;
  return {
    profiles: profiles.filter(({ name }) => !failed.has(name)),
    problems: problems.all(),
  };
}

function readProfiles(text: string, problems: ProblemList): readonly Profile[] {
  const root = readTree(text, problems);
  if (root === undefined) return [];
  const reader = new Reader(text, problems, undefined);
  const file = reader.object(root, fileMembers, 'The file');
  if (file === undefined || !hasOurVersion(root, file.get('version'), problems)) return [];
  const profiles = file.get('profiles')?.value;
  if (profiles === undefined) return [];
  const members = membersOf(profiles, ({ name, key }) => {
    problems.error(key, `There are two profiles "${name}".`, name);
  });
  if (members === undefined) problems.error(profiles, '"profiles" must be an object in braces.');
  return (members ?? []).flatMap(
    (member) => new Reader(text, problems, member.name).profileOf(member) ?? [],
  );
}

function hasOurVersion(root: Node, member: Member | undefined, problems: ProblemList): boolean {
  if (member === undefined) {
    const brace = { offset: root.offset, length: 1 };
    problems.error(brace, `The file has no "version". Add "version": ${profileFormatVersion}.`);
    return false;
  }
  const version: unknown = member.value.value;
  if (version === profileFormatVersion) return true;
  problems.error(
    member.value,
    typeof version === 'number' && version > profileFormatVersion
      ? `This file was written for a newer version of this extension: its format is ${version}, ` +
          `and ${profileFormatVersion} is the newest that is known here. Update the extension.`
      : `"version" must be ${profileFormatVersion}.`,
  );
  return false;
}

/** Why a profile cannot have this name, as a sentence; `undefined` when it can. */
export function profileNameProblem(name: string): string | undefined {
  if (name.trim() === '') return 'A profile needs a name.';
  return name === name.trim() ? undefined : 'A profile name has no blanks at its ends.';
}

/** Reads what belongs to one profile, or, with `undefined`, to the file as a whole. */
class Reader {
  private readonly text: string;
  private readonly problems: ProblemList;
  private readonly profile: string | undefined;

  constructor(text: string, problems: ProblemList, profile: string | undefined) {
    this.text = text;
    this.problems = problems;
    this.profile = profile;
  }

  /** An object that may have these members; any others are reported. */
  object(
    node: Node,
    allowed: readonly string[],
    subject: string,
  ): ReadonlyMap<string, Member> | undefined {
    const members = this.members(node, subject);
    for (const { name, key } of members ?? []) {
      if (allowed.includes(name)) continue;
      const near = nearest(name, allowed);
      const message =
        `"${name}" is not known here. ` +
        (near === undefined ? `Known are: ${allowed.join(', ')}.` : `Did you mean "${near}"?`);
      // A profile that is only understood in part must not be applied; a file may have more in it.
      if (this.profile === undefined) this.problems.warning(key, message);
      else this.error(key, message);
    }
    return members && new Map(members.map((member) => [member.name, member]));
  }

  profileOf({ name, key, value }: Member): Profile | undefined {
    const nameProblem = profileNameProblem(name);
    if (nameProblem !== undefined) this.error(key, nameProblem);
    const members = this.object(value, profileMembers, `The profile "${name}"`);
    if (members === undefined) return undefined;
    const both = this.settings(members);
    const side = (which: 'source' | 'target'): ProfileSettings => {
      const node = members.get(which)?.value;
      return this.settings(node && this.object(node, layerMembers, `"${which}"`));
    };
    const profile: Profile = {
      name,
      description: this.typed(members, 'description', isText, 'a text in quotes'),
      origin: 'file',
      backendTransfer: this.typed(members, backendTransferMember, isSwitch, 'true or false'),
      both,
      source: side('source'),
      target: side('target'),
      optional: new Set(),
    };
    if (profile.backendTransfer !== undefined) this.checkOneBackendTransfer(members);
    return { ...profile, optional: this.optional(members, profile) };
  }

  private settings(members: ReadonlyMap<string, Member> | undefined): ProfileSettings {
    return {
      parameters: Object.fromEntries(
        this.membersIn(members, 'parameters').flatMap((member) => this.parameter(member)),
      ),
      capabilities: Object.fromEntries(
        this.membersIn(members, 'capabilities').flatMap((member) => this.capability(member)),
      ),
    };
  }

  private parameter({ name, key, value: node }: Member): [string, JsonValue][] {
    const value = this.value(node);
    if (value === undefined) return [];
    const forbidden = neverInProfiles.get(name);
    if (forbidden !== undefined) {
      this.error(key, forbidden);
      return [];
    }
    const info = parameterInfo(name);
    if (info === undefined) {
      this.unknownName(key, 'parameter', name, capabilityInfo(name) && 'capabilities');
    } else {
      const problem = valueProblem(info, value);
      if (problem !== undefined) this.error(node, problem);
    }
    return [[name, value]];
  }

  private capability({ name, key, value: node }: Member): [string, boolean][] {
    if (capabilityInfo(name) === undefined) {
      this.unknownName(key, 'capability', name, parameterInfo(name) && 'parameters');
    }
    const value: unknown = node.value;
    if (isSwitch(value)) return [[name, value]];
    this.error(node, `"${name}" must be true or false.`);
    return [];
  }

  /** Only a warning: a QEMU may have what we have never heard of. */
  private unknownName(
    key: Node,
    kind: 'parameter' | 'capability',
    name: string,
    elsewhere: 'parameters' | 'capabilities' | undefined,
  ): void {
    const near = nearest(name, kind === 'parameter' ? parameterNames : capabilityNames);
    const hint =
      elsewhere !== undefined
        ? ` It belongs under "${elsewhere}".`
        : near !== undefined
          ? ` Did you mean "${near}"?`
          : ' It is used where a QEMU has it.';
    const message = `No QEMU that is known here has a ${kind} "${name}".${hint}`;
    this.problems.warning(key, message, this.profile);
  }

  private checkOneBackendTransfer(members: ReadonlyMap<string, Member>): void {
    const layers = [members, this.layer(members, 'source'), this.layer(members, 'target')];
    for (const layer of layers) {
      for (const { name, key } of nodesIn(layer?.get('parameters')?.value)) {
        if (!isBackendTransferParameter(name)) continue;
        this.error(
          key,
          `"${backendTransferMember}" sets "${name}" already, under the name that each QEMU has ` +
            'for it. Remove one of the two.',
        );
      }
    }
  }

  private layer(
    members: ReadonlyMap<string, Member>,
    which: 'source' | 'target',
  ): ReadonlyMap<string, Member> | undefined {
    const node = members.get(which)?.value;
    return node && new Map(nodesIn(node).map((member) => [member.name, member]));
  }

  private optional(members: ReadonlyMap<string, Member>, profile: Profile): ReadonlySet<string> {
    const member = members.get('optional');
    if (member === undefined) return new Set();
    const { value: node } = member;
    const names = this.value(node);
    if (!isArray(names) || !names.every(isText)) {
      this.error(node, '"optional" must be a list of names of parameters and capabilities.');
      return new Set();
    }
    const used = new Set([
      ...(profile.backendTransfer === undefined ? [] : [backendTransferMember]),
      ...[profile.both, profile.source, profile.target].flatMap((layer) => [
        ...Object.keys(layer.parameters),
        ...Object.keys(layer.capabilities),
      ]),
    ]);
    for (const [index, name] of names.entries()) {
      if (used.has(name)) continue;
      const near = nearest(name, [...used]);
      const hint = near === undefined ? '' : ` Did you mean "${near}"?`;
      const message = `"${name}" is not set by this profile, so it need not be optional.${hint}`;
      this.problems.warning(node.children?.[index] ?? node, message, this.profile);
    }
    return new Set(names);
  }

  private typed<Value>(
    members: ReadonlyMap<string, Member>,
    name: string,
    isRight: (value: unknown) => value is Value,
    wanted: string,
  ): Value | undefined {
    const node = members.get(name)?.value;
    if (node === undefined) return undefined;
    const value: unknown = node.value;
    if (isRight(value)) return value;
    this.error(node, `"${name}" must be ${wanted}.`);
    return undefined;
  }

  private membersIn(
    members: ReadonlyMap<string, Member> | undefined,
    name: string,
  ): readonly Member[] {
    const node = members?.get(name)?.value;
    return (node && this.members(node, `"${name}"`)) ?? [];
  }

  private members(node: Node, subject: string): readonly Member[] | undefined {
    const members = membersOf(node, (member) => this.duplicate(member));
    if (members === undefined) this.error(node, `${subject} must be an object in braces.`);
    return members;
  }

  private value(node: Node): JsonValue | undefined {
    try {
      return valueOf(node, this.text, (member) => this.duplicate(member));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.error(node, 'This value is nested too deeply.');
      return undefined;
    }
  }

  private duplicate({ name, key }: Member): void {
    this.error(key, `"${name}" is here twice.`);
  }

  private error(node: Node, message: string): void {
    this.problems.error(node, message, this.profile);
  }
}

function nearest(name: string, known: readonly string[]): string | undefined {
  return name.length > longestName ? undefined : nearestOf(name, known);
}

/** Members of what may be no object, which has been reported where it was read. */
function nodesIn(node: Node | undefined): readonly Member[] {
  return (node && membersOf(node, () => undefined)) ?? [];
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isSwitch(value: unknown): value is boolean {
  return typeof value === 'boolean';
}
