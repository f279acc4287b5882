import { l10n } from 'vscode';
import { methodNames, methodTitles } from '../../../migration/methods/names';
import { methodOffers, type MethodOffer } from '../../../migration/methods/offers';
import type { MethodName } from '../../../migration/run/types';
import type { MachineSnapshot } from '../../../vm/types';
import type { PromptItem } from '../../prompts';

const icons: Readonly<Record<MethodName, string>> = {
  precopy: 'arrow-right',
  postcopy: 'debug-step-over',
  'shared-ram': 'symbol-array',
  'cpr-transfer': 'versions',
  'cpr-exec': 'refresh',
  'cpr-reboot': 'debug-restart',
  save: 'save',
  restore: 'folder-opened',
};

/** All methods as items: what is offered first, the rest with the reason. */
export function methodItems(
  source: MachineSnapshot | undefined,
  target: MachineSnapshot | undefined,
): readonly PromptItem<MethodName>[] {
  const offers = source === undefined ? [] : methodOffers(source, target);
  const items = methodNames.flatMap((method): readonly PromptItem<MethodName>[] => {
    const offer = offers.find((each) => each.method === method) ?? noOffer(method);
    if (offer === undefined) return [];
    return [
      {
        label: methodTitles[method],
        value: method,
        icon: icons[method],
        detail: detailOf(method),
        group: offer.offered ? groupOf(method) : l10n.t('not possible here'),
        ...(!offer.offered && { refusal: offer.why }),
      },
    ];
  });
  return items.sort((a, b) => Number('refusal' in a) - Number('refusal' in b));
}

/** Pre-copy is what every QEMU has. */
function noOffer(method: MethodName): MethodOffer | undefined {
  return method === 'precopy' ? { method, offered: true, why: '' } : undefined;
}

/** Why a method cannot be used with these machines; `undefined` when it can. */
export function methodRefusal(
  method: MethodName,
  source: MachineSnapshot,
  target?: MachineSnapshot,
): string | undefined {
  const offer = methodOffers(source, target).find((each) => each.method === method);
  return offer === undefined || offer.offered ? undefined : offer.why;
}

function detailOf(method: MethodName): string {
  switch (method) {
    case 'precopy':
      return l10n.t('Copies the memory while the guest runs, then pauses it shortly');
    case 'postcopy':
      return l10n.t('The guest goes over early and fetches the rest; always ends');
    case 'shared-ram':
      return l10n.t('Both QEMUs map the same memory file; only the devices travel');
    case 'cpr-transfer':
      return l10n.t('Memory and open devices go over to a new QEMU in a few milliseconds');
    case 'cpr-exec':
      return l10n.t('QEMU executes a new QEMU in its place; the process stays the same');
    case 'cpr-reboot':
      return l10n.t('The guest waits in a file while the host restarts');
    case 'save':
      return l10n.t('The guest is written to a file and stands still');
    case 'restore':
      return l10n.t('A waiting QEMU reads the guest from a file');
  }
}

function groupOf(method: MethodName): string {
  switch (method) {
    case 'precopy':
    case 'postcopy':
    case 'shared-ram':
    case 'cpr-transfer':
      return l10n.t('to another QEMU');
    case 'cpr-exec':
      return l10n.t('in place');
    case 'cpr-reboot':
    case 'save':
    case 'restore':
      return l10n.t('to or from a file');
  }
}
