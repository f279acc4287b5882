import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { rewriteCommandLine } from '../../../../src/migration/liveUpdate/commandLine/rewrite';
import type { RewriteFacts } from '../../../../src/migration/liveUpdate/commandLineTypes';
import { readCommandLine } from '../../../../src/vm/commandLine/commandLine';
import {
  corpusDirectory,
  readCorpus,
  shownRewrite,
  wishesFor,
  type CorpusEntry,
} from '../../../support/commandLineCorpus';

const wishes = ['adopt', 'leave-out', 'keep', 'anew'] as const;
const expected = path.join(corpusDirectory, 'expected');
/** Writes what comes out; to be read before it is committed. */
const write = process.env['QEMU_MIGRATION_WRITE_EXPECTED'] === '1';

function shownForAll(entry: CorpusEntry): string {
  const texts = wishes.map((taps) => {
    const result = rewriteCommandLine(entry.facts, wishesFor(entry, taps));
    return [taps, shownRewrite(result)] as const;
  });
  const [[, first] = ['', '']] = texts;
  // The others differ in the lines about TAPs alone.
  const known = new Set(first.split('\n'));
  const rest = texts.slice(1).map(([taps, text]) => {
    const lines = text.split('\n');
    const now = new Set(lines);
    const more = lines.filter((line) => !known.has(line));
    const less = [...known].filter((line) => !now.has(line) && !line.startsWith('    '));
    return [`== ${taps}`, ...more, ...less.map((line) => `not: ${line}`)].join('\n');
  });
  return [`== adopt`, first, ...rest, ''].join('\n');
}

describe("the target's command line of a live update", () => {
  for (const entry of readCorpus()) {
    describe(`${entry.name}: ${entry.what}`, () => {
      it('differs from the source in what it has to', () => {
        const text = shownForAll(entry);
        const file = path.join(expected, `${entry.name}.txt`);
        if (write) {
          mkdirSync(expected, { recursive: true });
          writeFileSync(file, text);
        }
        assert.equal(text, readFileSync(file, 'utf8'));
      });

      for (const taps of wishes) {
        it(`loses nothing that it does not tell of (${taps})`, () => {
          const { args, changes } = rewriteCommandLine(entry.facts, wishesFor(entry, taps));
          assert.deepEqual(
            changes.flatMap(({ before }) => before),
            entry.args,
          );
          assert.deepEqual(
            changes.flatMap(({ after }) => after),
            args,
          );
          for (const { kind, before, after, why } of changes) {
            if (kind === 'kept') assert.deepEqual(before, after);
            else assert.ok(why !== undefined && why !== '', `no reason for ${before.join(' ')}`);
          }
        });
      }

      it('has no socket of the source', () => {
        const wish = wishesFor(entry, 'adopt');
        const { args, moves, findings } = rewriteCommandLine(entry.facts, wish);
        assert.ok(moves.some(({ from, to }) => from === wish.qmpSocket && to === entry.qmpSocket));
        const text = args.join('\n');
        for (const { from, to } of moves) {
          assert.notEqual(from, to);
          const old = to.replaceAll(',', ',,');
          const escaped = old.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
          assert.doesNotMatch(text, new RegExp(`(path=|unix:|addr=)${escaped}([,"]|$)`, 'm'));
        }
        const own = moves.map(({ from }) => from);
        assert.equal(new Set(own).size, own.length);
        assert.ok(
          findings.every(({ what, why, nextStep }) => what !== '' && why !== '' && nextStep !== ''),
        );
      });

      it('can be made again from itself', () => {
        const wish = wishesFor(entry, 'adopt');
        const once = rewriteCommandLine(entry.facts, wish);
        const next = { ...wish, qmpSocket: `${wish.oldQmpSocket}.new-3` };
        const again = rewriteCommandLine(after(entry.facts, once), next);
        assert.deepEqual(settled(again.args), settled(once.args));
        assert.deepEqual(
          again.moves
            .map(({ to }) => to)
            .filter((to) => !once.moves.some((move) => move.to === to)),
          again.moves
            .map(({ from }) => from.replace(/\.new(-\d+)?$/, ''))
            .filter((name) => name.startsWith('/run/own/')),
        );
      });
    });
  }
});

/** What there is to know when the result runs. */
function after(
  facts: RewriteFacts,
  { args, adopt }: ReturnType<typeof rewriteCommandLine>,
): RewriteFacts {
  const unnamed = [...facts.taps.keys()].find((id) => id.startsWith('#'));
  const tap = (id: string): readonly number[] =>
    adopt
      // QEMU names a network without an id.
      .filter(({ netdev, tap: name }) => (netdev ?? (name === undefined ? '' : unnamed)) === id)
      .map(({ targetFd }) => targetFd);
  return {
    ...facts,
    args,
    taps: new Map([...facts.taps].map(([id, { ifname }]) => [id, { ifname, fds: tap(id) }])),
    descriptors: new Map(
      adopt.map(({ targetFd, tap: name }) => [targetFd, { target: '/dev/net/tun', tap: name }]),
    ),
  };
}

/** Without what differs from one process to the next: own paths and descriptor numbers. */
function settled(args: readonly string[]): readonly string[] {
  return readCommandLine(args).map(({ name, value = '' }) =>
    `${name} ${value}`
      .replaceAll(/\/run\/own\/[^,"]*/g, 'OWN')
      .replaceAll(/\.new(-\d+)?/g, '')
      .replaceAll(/\b(fds?)("?[=:]"?)[\d:]+/g, '$1$2N'),
  );
}
