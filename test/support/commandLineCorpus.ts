import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from '../../scripts/lib/paths';
import type {
  LiveDevice,
  LiveParts,
  RewriteFacts,
  RewriteWishes,
  RewrittenCommandLine,
} from '../../src/migration/liveUpdate/commandLineTypes';

export const corpusDirectory = path.join(root, 'test/unit/vm/commandLine/corpus');

/** A command line of the corpus, one word a line, with what there is to know of the guest in front. */
export interface CorpusEntry {
  readonly name: string;
  readonly what: string;
  readonly args: readonly string[];
  readonly facts: RewriteFacts;
  readonly qmpSocket: string;
  /** The target's. */
  readonly ownSocket: string;
}

export function readCorpus(): readonly CorpusEntry[] {
  const files = readdirSync(corpusDirectory).filter((file) => file.endsWith('.txt'));
  return files.sort().map((file) => {
    const text = readFileSync(path.join(corpusDirectory, file), 'utf8');
    const at = text.indexOf('\n---\n');
    const words = text.slice(at + '\n---\n'.length).split('\n');
    return entryOf(path.basename(file, '.txt'), text.slice(0, at), words.slice(0, -1));
  });
}

function entryOf(name: string, head: string, args: readonly string[]): CorpusEntry {
  const lines = head.split('\n').map((line) => /^([\w-]+): (.*)$/.exec(line) ?? []);
  const all = (key: string): readonly string[][] =>
    lines.flatMap(([, found, text = '']) => (found === key ? [text.split(' ')] : []));
  const one = (key: string): string | undefined => all(key)[0]?.join(' ');
  const descriptors = new Map(
    all('descriptor').map(([fd, target = '', tap]) => [Number(fd), { target, tap }]),
  );
  const facts: RewriteFacts = {
    args,
    cwd: one('cwd') ?? '/',
    machineType: one('machine'),
    guestRuns: true,
    configFiles: new Map(
      all('config').map(([given = '', file = '']) => [
        given,
        readFileSync(path.join(corpusDirectory, file), 'utf8'),
      ]),
    ),
    taps: new Map(
      all('tap').map(([id = '', ifname = '', ...fds]) => [id, { ifname, fds: fds.map(Number) }]),
    ),
    descriptors,
    live: liveOf(all, one),
  };
  const qmpSocket = one('qmp') ?? '';
  const ownSocket = one('own') ?? `${qmpSocket}.new`;
  return { name, what: one('what') ?? '', args, facts, qmpSocket, ownSocket };
}

function liveOf(
  all: (key: string) => readonly string[][],
  one: (key: string) => string | undefined,
): LiveParts {
  const devices = all('device').map(([id = '', driver = '', ...options]): LiveDevice => {
    const pairs = options.map((text) => text.split('=') as [string, string]);
    return { id, driver, options: new Map(pairs) };
  });
  const nothing = { devices: [], netdevs: undefined, objects: undefined };
  return {
    ...nothing,
    devices: devices.length > 0 ? devices : undefined,
    netdevs:
      all('netdev').length > 0 ? all('netdev').map(([id = '', type]) => ({ id, type })) : undefined,
    objects: one('objects')?.split(' '),
    chardevs: undefined,
    blocks: undefined,
    fdsets: new Map(all('fdset').map(([set, ...fds]) => [Number(set), fds.map(Number)])),
  };
}

/** Own paths that can be told, and told back. */
export function wishesFor(
  { qmpSocket, ownSocket, facts }: CorpusEntry,
  taps: RewriteWishes['taps'],
): RewriteWishes {
  return {
    ownPath: (name) => (name.startsWith('/') ? `${name}.new` : `/run/own/${name}.new`),
    knownAs: (name) => name.replace(/\.new(-\d+)?$/, ''),
    qmpSocket: ownSocket,
    oldQmpSocket: qmpSocket,
    incoming: ['defer'],
    taps,
    machineType: facts.machineType,
  };
}

/** As a person reads it: the difference, then what goes with it. */
export function shownRewrite(result: RewrittenCommandLine): string {
  const lines: string[] = [];
  const words = (list: readonly string[]): string => list.join(' ');
  for (const { kind, before, after, why } of result.changes) {
    if (kind === 'kept') continue;
    if (before.length > 0) lines.push(`- ${words(before)}`);
    if (after.length > 0) lines.push(`+ ${words(after)}`);
    lines.push(`    ${why ?? ''}`);
  }
  for (const { sourceFd, targetFd, tap, netdev } of result.adopt) {
    lines.push(`adopt ${sourceFd} as ${targetFd}: ${tap ?? 'a file'} of ${netdev ?? 'a set'}`);
  }
  for (const { netdev, device } of result.leftOut) {
    lines.push(`left out ${netdev} with ${device ?? 'a NIC without an id'}`);
  }
  for (const { what, from, to } of result.moves) lines.push(`move ${from} to ${to}: ${what}`);
  for (const { what, command, args } of result.late) {
    lines.push(`late ${command} ${JSON.stringify(args)}: ${what}`);
  }
  if (result.pidFile !== undefined) lines.push(`pidfile ${result.pidFile}`);
  for (const { level, id, what } of result.findings) lines.push(`${level} ${id}: ${what}`);
  return lines.join('\n');
}
