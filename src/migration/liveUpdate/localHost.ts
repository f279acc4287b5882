import type { HelperLocation } from '../../fdpass/locate';
import { readDescriptors } from '../../vm/descriptors';
import { launchLike } from '../../vm/launch';
import { HelperMissingError } from '../methods/descriptorPair';
import type { UpdateHost } from './host';
import { ledgerAfter } from './ledger';
import { watchTaps } from './watchTaps';

/** This host, by the helper program. */
export function localHost(locateHelper: () => Promise<HelperLocation>): UpdateHost {
  /** @throws {HelperMissingError} */
  const helper = async (): Promise<string> => {
    const location = await locateHelper();
    if (location.kind === 'missing') throw new HelperMissingError(location);
    return location.path;
  };
  return {
    launch: async (source, { program, args, adopt, logFile }, signal) => {
      const { process, missing, stderr } = await launchLike(source, {
        helperPath: await helper(),
        ...{ program, args, logFile },
        adopt: adopt.map(({ sourceFd, targetFd, tap }) => ({
          ...{ fd: sourceFd, number: targetFd },
          ...(tap !== undefined && { ifname: tap }),
        })),
        ...(signal !== undefined && { signal }),
      });
      return { process, missing, stderr: () => stderr.lines() };
    },
    watchTaps: async (source, taps, signal) => watchTaps(await helper(), source, taps, signal),
    ledger: async ({ ledger }, source) => {
      const before = await readDescriptors(source.pid);
      return async ({ pid }) => {
        const after = await readDescriptors(pid);
        if (before === undefined || after === undefined) return undefined;
        return ledgerAfter(ledger, before, after);
      };
    },
  };
}
