import { l10n } from 'vscode';
import { isOneSided } from '../../../migration/methods/names';
import type {
  MethodName,
  MigrationRequest,
  RunOptions,
  Transport,
} from '../../../migration/run/types';
import type { MachineId } from '../../../vm/types';
import { type Back, back } from '../../prompts';

export type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The answers so far. */
export interface Draft {
  source?: MachineId;
  target?: MachineId;
  method: MethodName;
  transport: Transport;
  backendTransfer: MigrationRequest['backendTransfer'];
  bandwidth: 'keep' | 'suggested';
  options: Mutable<RunOptions>;
}

/** Keeps an answer, unless it is a way out. */
export function keep<K extends keyof Draft>(
  draft: Draft,
  key: K,
  answer: Draft[K] | Back | undefined,
): 'next' | Back | undefined {
  if (answer === undefined || answer === back) return answer;
  draft[key] = answer;
  return 'next';
}

/** Whether it goes to another QEMU, over a channel. */
export function isTwoSided({ method }: Pick<Draft, 'method'>): boolean {
  return !isOneSided(method);
}

/** What of the options the method knows; the rest was answered for another one. */
export function optionsOf({ method, transport, options }: Draft): RunOptions | undefined {
  const { tcp, plainTcpConsent, file, cprSocket, execCommand, ignoreShared, ...tuning } = options;
  const { postcopyAfterPass, postcopyPreempt, holdSwitchover, guardSwitchover, ...others } = tuning;
  const parts: RunOptions = {
    ...(isTwoSided({ method }) && method !== 'cpr-transfer' && others),
    ...(isTwoSided({ method }) && holdSwitchover === true && { holdSwitchover }),
    ...(isTwoSided({ method }) &&
      method !== 'postcopy' &&
      guardSwitchover !== undefined && { guardSwitchover }),
    ...(method === 'postcopy' && postcopyAfterPass !== undefined && { postcopyAfterPass }),
    ...(method === 'postcopy' && postcopyPreempt === true && { postcopyPreempt }),
    ...(isTwoSided({ method }) && transport === 'tcp' && tcp !== undefined && { tcp }),
    ...(isTwoSided({ method }) && transport === 'tcp' && plainTcpConsent && { plainTcpConsent }),
    ...(!isTwoSided({ method }) && method !== 'cpr-exec' && file !== undefined && { file }),
    ...(method === 'cpr-transfer' && cprSocket !== undefined && { cprSocket }),
    ...(method === 'cpr-exec' && execCommand !== undefined && { execCommand }),
    ...((method === 'cpr-reboot' || method === 'restore') && ignoreShared && { ignoreShared }),
  };
  return Object.keys(parts).length === 0 ? undefined : parts;
}

/** The question, and that its answer starts the run where it is the last. */
export function placeholder(
  question: string,
  { number, total }: { readonly number: number; readonly total: number },
): string {
  return number === total ? l10n.t('{0} (Enter starts the migration)', question) : question;
}
