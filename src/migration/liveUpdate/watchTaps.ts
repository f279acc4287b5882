import { TapGuard, type TapGuardState } from '../../fdpass/tapGuard';
import type { QemuProcess } from '../../vm/types';
import type { WatchedTaps } from './host';
import { textOf } from './names';
import type { AdoptedDescriptor } from './types';

/**
 * Looks after the source's TAPs by the helper, which puts everything back by itself when this program
 * dies.
 *
 * @throws {FdPassError} nothing is watched then
 */
export async function watchTaps(
  helperPath: string,
  source: QemuProcess,
  adopted: readonly AdoptedDescriptor[],
  signal: AbortSignal,
): Promise<WatchedTaps> {
  const taps = adopted.flatMap(({ sourceFd, tap }) =>
    tap === undefined ? [] : [{ fd: sourceFd, ifname: tap }],
  );
  const { guard, state } = await TapGuard.begin(helperPath, source, taps, { signal });
  const severalQueues = state.taps.some(({ multiQueue }) => multiQueue);
  const putBack = async (): Promise<readonly string[]> => {
    try {
      const told = wrongs(await guard.restore());
      await guard.release();
      return told;
    } catch {
      // The one that watched was killed, perhaps while the TAP was as the other QEMU had made it.
      return putBackAnew(helperPath, source, state);
    }
  };
  try {
    if (severalQueues) await guard.lend();
    await guard.guard();
  } catch (error) {
    await putBack();
    throw error;
  }
  return {
    severalQueues,
    // A QEMU that takes a TAP sets its offloads to none as well.
    taken: async () => {
      await guard.restore();
    },
    handOver: async () => {
      if (severalQueues) await guard.handOver();
    },
    putBack,
    release: async () => {
      // Once it is gone there is nothing that it could do.
      await guard.release().catch(() => undefined);
    },
  };
}

/** By another watch, which is told how the TAPs were; what else was recorded died with the first. */
async function putBackAnew(
  helperPath: string,
  source: QemuProcess,
  before: TapGuardState,
): Promise<readonly string[]> {
  const taps = before.taps.map(({ fd, ifname, recordedHeaderSize, recordedOffloads }) => ({
    ...{ fd, ifname, headerSize: recordedHeaderSize },
    ...(recordedOffloads !== null && { offloads: recordedOffloads }),
  }));
  try {
    const { guard } = await TapGuard.begin(helperPath, source, taps);
    const state = await guard.restore();
    await guard.release();
    const lent = before.taps.filter(({ multiQueue }) => multiQueue).map(({ ifname }) => ifname);
    return [
      ...wrongs(state),
      ...[...new Set(lent)].map(
        (ifname) => `Whether all queues of the TAP ${ifname} are attached was not looked at.`,
      ),
    ];
  } catch (error) {
    return [`The TAPs of the old QEMU were not looked at again: ${textOf(error)}`];
  }
}

/** What is not as it was when the watch began, as sentences. */
function wrongs({ sourceGone, taps }: TapGuardState): readonly string[] {
  if (sourceGone) return [];
  return taps.flatMap((tap) => {
    const { ifname, known, headerSize, recordedHeaderSize, attached, recordedAttached } = tap;
    const { offloads, recordedOffloads, offloadsErrno } = tap;
    if (!known) return [`The TAP ${ifname} is gone.`];
    return [
      ...(headerSize === recordedHeaderSize
        ? []
        : [`The TAP ${ifname} has headers of ${headerSize} bytes, not of ${recordedHeaderSize}.`]),
      ...(attached === recordedAttached
        ? []
        : [
            `A queue of the TAP ${ifname} is ${attached ? 'attached' : 'detached'}, as it was not.`,
          ]),
      ...offloadWrongs(ifname, offloads, recordedOffloads, offloadsErrno),
    ];
  });
}

function offloadWrongs(
  ifname: string,
  offloads: number | null,
  recorded: number | null,
  errno: string | null,
): readonly string[] {
  if (recorded === null) {
    const why = errno === null ? '' : ` (${errno})`;
    return [
      `The offloads of the TAP ${ifname} could not be read${why}, so they were not put back. The network works; it may be slower until the guest's driver sets them again.`,
    ];
  }
  return offloads === null || offloads === recorded
    ? []
    : [`The TAP ${ifname} has the offloads ${offloads}, not ${recorded}.`];
}
