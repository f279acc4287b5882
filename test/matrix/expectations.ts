import type { Arm } from './arms';
import type { Breaking, Phase } from './names';

/** Where a guest can be in the end; `nowhere`: lost. */
export type GuestPlace = 'source' | 'target' | 'file' | 'nowhere';

export interface Expectation {
  /** Any of these. */
  readonly guest: readonly GuestPlace[];
  /** Why it may not live on, as QEMU is made; there if and only if `nowhere` is among them. */
  readonly why?: string;
  /** Why it may be said at first that nobody knows, though the guest lives. */
  readonly mayNotKnow?: string;
}

const onlyThere = 'some of it was in that process alone';
const handedOver = 'a source that has handed over to postcopy does not take the guest back';
const hangs = 'it hangs, and a person kills it in the end';
const allSent = 'it depends on whether all had been sent by then';

/** What QEMU makes possible at best; see section 5.1 of the facts. */
export function expectationOf(arm: Arm, phase: Phase, breaking: Breaking): Expectation {
  switch (arm.kind) {
    case 'two-sided':
      return ofTwoSides(arm, phase, breaking);
    case 'save':
      return ofSave(phase, breaking);
    case 'restore':
      return ofRestore(phase, breaking);
    case 'exec':
      // It stays in its process, whatever program that runs.
      return breaking === 'kill-source' ? lost(onlyThere) : at('source');
  }
}

function at(...guest: readonly GuestPlace[]): Expectation {
  return { guest };
}

function lost(why: string, ...guest: readonly GuestPlace[]): Expectation {
  return { guest: [...guest, 'nowhere'], why };
}

function ofTwoSides({ method, name }: Arm, phase: Phase, breaking: Breaking): Expectation {
  const moved = phase === 'postcopy' || phase === 'settle';
  const switching = phase === 'switch-over';
  switch (breaking) {
    case 'kill-source':
      if (phase === 'settle') return at('target');
      return switching ? lost(allSent, 'source', 'target') : lost(onlyThere);
    case 'kill-target':
      if (switching && method === 'postcopy') return lost(handedOver, 'source');
      return moved ? lost(onlyThere) : at('source');
    case 'kill-helper':
    case 'other-device':
    case 'other-ram':
      return at('source');
    case 'pause-helper':
      return at('source', 'target');
    case 'kill-driver':
      if (phase === 'prepare') return at('source');
      return phase === 'held' ? at('source', 'target') : at('target');
    case 'pause-source':
    case 'pause-target':
    case 'stall-channel':
      return moved ? at('target') : at('source', 'target');
    case 'pause-driver':
    case 'disk-full':
      return at('target');
    case 'freeze-source':
      return switching ? lost(hangs, 'source', 'target') : lost(hangs);
    case 'freeze-target':
      if (switching && method === 'postcopy') return lost(handedOver, 'source');
      return moved ? lost(hangs) : at('source');
    case 'cut-channel':
      if (moved) return at('target');
      // The source says that it goes on with postcopy, whether the target was ready for it or not.
      if (switching && method === 'postcopy') return lost(handedOver, 'source', 'target');
      if (switching && name === 'multifd') {
        return { ...at('source', 'target'), mayNotKnow: 'the target hangs: it waits for data' };
      }
      return switching ? at('source', 'target') : at('source');
    case 'cancel':
      if (moved) return at('target');
      // Before the start it may come when "migrate" is on its way already.
      return switching || phase === 'prepare' ? at('source', 'target') : at('source');
  }
}

function ofSave(phase: Phase, breaking: Breaking): Expectation {
  switch (breaking) {
    case 'kill-source':
      return phase === 'settle'
        ? lost('nobody had seen that the file is whole', 'file')
        : lost(onlyThere);
    case 'freeze-source':
      return lost(hangs);
    case 'kill-driver':
      return phase === 'prepare' ? at('source') : at('file');
    case 'cancel':
      if (phase === 'settle') return at('file');
      return phase === 'prepare' ? at('source', 'file') : at('source');
    case 'pause-source':
    case 'pause-driver':
    case 'disk-full':
    case 'kill-target':
    case 'kill-helper':
    case 'pause-target':
    case 'pause-helper':
    case 'freeze-target':
    case 'cut-channel':
    case 'stall-channel':
    case 'other-device':
    case 'other-ram':
      return at('file');
  }
}

/** The source is what saved the guest, and stands since. */
function ofRestore(phase: Phase, breaking: Breaking): Expectation {
  switch (breaking) {
    case 'kill-target':
      return phase === 'settle' ? lost('what it did since is in no file', 'file') : at('file');
    case 'kill-driver':
      return phase === 'settle' ? at('target') : at('file');
    case 'cancel':
    case 'pause-target':
      return phase === 'settle' ? at('target') : at('file', 'target');
    case 'kill-source':
    case 'pause-source':
    case 'pause-driver':
    case 'disk-full':
    case 'kill-helper':
    case 'pause-helper':
    case 'freeze-source':
    case 'freeze-target':
    case 'cut-channel':
    case 'stall-channel':
    case 'other-device':
    case 'other-ram':
      return at('target');
  }
}
