import type { QemuVersionName } from '../../scripts/lib/qemu';
import { arms, type Arm } from './arms';
import { expectationOf, type Expectation } from './expectations';
import { breakings, phases, type Breaking, type Phase } from './names';

export interface Case {
  /** `precopy-fd 11.1 transfer kill-target` */
  readonly title: string;
  readonly arm: Arm;
  readonly version: QemuVersionName;
  readonly phase: Phase;
  readonly breaking: Breaking;
  readonly expected: Expectation;
}

/** A combination that cannot be, or that nobody here can bring about. */
export interface Impossible {
  readonly arm: string;
  /** The phase, or the breaking, that it does not have. */
  readonly what: Phase | Breaking;
  readonly reason: string;
}

export interface Filter {
  readonly method?: string | undefined;
  readonly version?: string | undefined;
  readonly phase?: string | undefined;
  readonly breaking?: string | undefined;
  /** Only each so-manieth of those, for a look at all in a part of the time. */
  readonly every?: string | undefined;
}

export interface Plan {
  readonly cases: readonly Case[];
  readonly impossible: readonly Impossible[];
}

/** All cases that pass the filter, in a fixed order, and what cannot be tried. */
export function plan(filter: Filter = {}): Plan {
  const cases: Case[] = [];
  const impossible: Impossible[] = [];
  const passes = (wanted: string | undefined, ...names: string[]): boolean =>
    wanted === undefined || wanted.split(',').some((name) => names.includes(name));
  for (const arm of arms) {
    if (!passes(filter.method, arm.name, arm.method)) continue;
    for (const phase of phases.filter((name) => passes(filter.phase, name))) {
      if (!arm.phases.includes(phase)) {
        const reason = arm.never[phase] ?? 'it has no such phase';
        impossible.push({ arm: arm.name, what: phase, reason });
        continue;
      }
      for (const breaking of breakings.filter((name) => passes(filter.breaking, name))) {
        const reason = whyNot(arm, phase, breaking);
        if (reason !== undefined) {
          impossible.push({ arm: arm.name, what: breaking, reason });
          continue;
        }
        const expected = expectationOf(arm, phase, breaking);
        for (const version of arm.versions.filter((name) => passes(filter.version, name))) {
          const title = `${arm.name} ${version} ${phase} ${breaking}`;
          cases.push({ title, arm, version, phase, breaking, expected });
        }
      }
    }
  }
  const step = Number(filter.every ?? 1);
  return { cases: cases.filter((_, index) => index % step === 0), impossible };
}

const noTarget = 'no target takes part';

/** Why this cannot be tried; `undefined`: it can. */
function whyNot(arm: Arm, phase: Phase, breaking: Breaking): string | undefined {
  const cannot = arm.cannot?.[breaking];
  if (cannot !== undefined) return cannot;
  switch (breaking) {
    case 'kill-helper':
    case 'pause-helper':
      if (arm.kind !== 'two-sided') return 'QEMU opens the file itself';
      if (arm.transport !== 'fd') return 'no helper takes part: the channel is a socket';
      return phase === 'prepare' ? undefined : 'the helper has ended before the transfer begins';
    case 'cut-channel':
    case 'stall-channel':
      if (arm.kind !== 'two-sided') return 'the channel is a file';
      if (phase === 'prepare') return 'nothing is connected yet';
      if (phase === 'settle') return 'the channel is closed by then';
      return arm.transport === 'fd'
        ? 'a socketpair is in the hands of the two QEMUs alone: nobody is between them'
        : undefined;
    case 'other-device':
    case 'other-ram':
      if (arm.kind !== 'two-sided') return 'the two QEMUs do not meet in this run';
      return phase === 'prepare' ? undefined : 'is so from the start: tried in prepare';
    case 'freeze-source':
    case 'freeze-target':
      if (breaking === 'freeze-target' && (arm.kind === 'save' || arm.kind === 'exec')) {
        return noTarget;
      }
      return phase === 'settle' || phase === 'prepare'
        ? 'nothing is left to wait for that a pause does not show'
        : undefined;
    case 'kill-target':
    case 'pause-target':
      return arm.kind === 'save' || arm.kind === 'exec' ? noTarget : undefined;
    case 'kill-source':
    case 'kill-driver':
    case 'pause-source':
    case 'pause-driver':
    case 'disk-full':
    case 'cancel':
      return undefined;
  }
}
