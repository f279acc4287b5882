import { pairBackendTransfer } from '../pair/backendTransferPair';
import type { Obstacle } from '../run/checks/obstacle';
import { setting, type Finding, type PreflightInput } from './types';

/** Backend transfer beyond what forbids a run. */
export function transferFindings(
  { request, source, target }: PreflightInput,
  obstacles: readonly Obstacle[],
): readonly Finding[] {
  const pair = pairBackendTransfer(source.snapshot, target.snapshot);
  if (pair === undefined || pair.state === 'absent') return [];
  const wanted =
    request.backendTransfer === 'on' ||
    (request.backendTransfer === 'as-is' && pair.state === 'on');
  const { source: from, target: to } = pair.names;
  if (!wanted) {
    const able = pair.devices.filter(
      ({ side, permission }) => side === 'source' && permission === 'permitted',
    );
    if (able.length === 0 || pair.state !== 'off' || from === undefined || to === undefined) {
      return [];
    }
    return [
      {
        id: 'backend-transfer-off',
        level: 'tells',
        side: 'both',
        what: `Backend transfer is off; the source could hand over ${able.map(({ device }) => `"${device}"`).join(', ')}.`,
        why: 'Without it the target opens network devices of its own, and the guest may lose packets.',
        nextStep: 'Turn it on at both sides if the devices are to be handed over.',
        fix: {
          title: 'Turn backend transfer on at both sides',
          source: setting({ [from]: true }),
          target: setting({ [to]: true }),
        },
      },
    ];
  }
  const unknown = pair.devices
    .filter(({ side, permission }) => side === 'source' && permission === 'unknown')
    .flatMap(({ device, advice }): readonly Finding[] =>
      advice === undefined
        ? []
        : [
            {
              id: 'permission-unknown',
              subject: device,
              level: 'tells',
              side: 'source',
              what: `Whether "${device}" may be handed over is not known.`,
              why: advice,
              nextStep: 'Look at how the source was started.',
            },
          ],
    );
  // The rules of a run speak of the same things, and come first.
  if (obstacles.length > 0 || pair.state === 'mixed') return unknown;
  return [
    ...pair.problems.map((problem, index): Finding => ({
      id: 'backend-transfer-problem',
      subject: String(index + 1),
      level: 'warns',
      side: 'both',
      what: problem,
      why: 'Devices that are expected and not handed over end the target when the guest arrives.',
      nextStep: 'Put it right, or migrate without backend transfer.',
    })),
    ...unknown,
  ];
}
