import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { provisionLinuxGuest } from '../../scripts/lib/linuxGuest';
import { spawnOwned } from '../../scripts/lib/processes';

/** What the network saw of a guest between two moments (milliseconds of the wall clock). */
export interface NetworkView {
  readonly sent: number;
  readonly lost: number;
  /** The longest time without a reply while echo requests were being sent. */
  readonly longestGapMs: number;
  /** When that gap began. */
  readonly gapStartMs: number;
  readonly slowestReplyMs: number;
  readonly beats: number;
  readonly longestBeatGapMs: number;
  /** Beats that the guest sent and nobody received. */
  readonly lostBeats: number;
}

/** Pings the Linux guest every 10 ms and hears its heartbeat, in the network namespace of this process. */
export interface NetworkWatch {
  /** Resolves at the next heartbeat, with its number. */
  readonly nextBeat: (timeoutMs?: number) => Promise<number>;
  /** What happened since then; waits a moment for replies that are on their way. */
  readonly view: (fromMs: number, toMs?: number) => Promise<NetworkView>;
  /** Pages that did not hold what the guest had written there, and rounds over its memory, as last told. */
  readonly memory: () => { readonly errors: number; readonly rounds: number };
  readonly stop: () => Promise<void>;
}

export async function watchNetwork(): Promise<NetworkWatch> {
  const { netwatch } = await provisionLinuxGuest();
  const owned = await spawnOwned(netwatch, [], { stdio: ['pipe', 'pipe', 'inherit'] });
  const sent = new Map<number, number>();
  const replied = new Map<number, number>();
  const beats: { sequence: number; at: number }[] = [];
  let memory = { errors: 0, rounds: 0 };
  if (owned.child.stdout === null) throw new Error('The watcher has no output.');
  createInterface({ input: owned.child.stdout }).on('line', (line) => {
    const [kind, sequence = '', ns = '', rounds, errors] = line.split(' ');
    const at = Number(BigInt(ns) / 1000n) / 1000;
    if (kind === 's') sent.set(Number(sequence), at);
    else if (kind === 'r') replied.set(Number(sequence), at);
    else {
      beats.push({ sequence: Number(sequence), at });
      memory = { rounds: Number(rounds), errors: Number(errors) };
    }
  });
  return {
    nextBeat: async (timeoutMs = 30_000) => {
      const count = beats.length;
      const end = Date.now() + timeoutMs;
      while (beats.length === count) {
        await sleep(5);
        if (Date.now() > end) throw new Error(`The guest did not beat within ${timeoutMs} ms.`);
        if (owned.hasExited()) throw new Error('The watcher has ended.');
      }
      return beats.at(-1)?.sequence ?? 0;
    },
    view: async (fromMs, toMs = Date.now()) => {
      await sleep(300);
      const requests = [...sent].filter(([, at]) => at >= fromMs && at <= toMs);
      const replies = requests.flatMap(([sequence]) => replied.get(sequence) ?? []);
      const gap = longestGap([fromMs, ...replies.sort((a, b) => a - b), toMs]);
      const times = requests.map(([sequence, at]) => (replied.get(sequence) ?? at) - at);
      const heard = beats.filter(({ at }) => at >= fromMs && at <= toMs);
      const numbers = heard.map(({ sequence }) => sequence);
      const span = numbers.length > 0 ? Math.max(...numbers) - Math.min(...numbers) + 1 : 0;
      return {
        sent: requests.length,
        lost: requests.length - replies.length,
        longestGapMs: gap.length,
        gapStartMs: gap.start,
        slowestReplyMs: Math.max(0, ...times),
        beats: heard.length,
        longestBeatGapMs: longestGap([fromMs, ...heard.map(({ at }) => at), toMs]).length,
        lostBeats: span - new Set(numbers).size,
      };
    },
    memory: () => memory,
    stop: () => owned.stop(),
  };
}

function longestGap(times: readonly number[]): { length: number; start: number } {
  let longest = { length: 0, start: times[0] ?? 0 };
  for (const [index, at] of times.entries()) {
    const before = times[index - 1] ?? at;
    if (at - before > longest.length) longest = { length: at - before, start: before };
  }
  return longest;
}
