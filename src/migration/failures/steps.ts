import type { MethodName, RunPhase } from '../run/types';

/** What failed, at the beginning of a sentence. */
export function undertaking(method: MethodName): string {
  switch (method) {
    case 'precopy':
    case 'postcopy':
    case 'shared-ram':
      return 'The migration';
    case 'cpr-transfer':
    case 'cpr-exec':
      return 'The live update';
    case 'cpr-reboot':
    case 'save':
      return 'Saving';
    case 'restore':
      return 'Restoring';
  }
}

/** The step of a run, to follow "failed". */
export function stepWords(method: MethodName, phase: RunPhase): string {
  switch (phase) {
    case 'plan':
    case 'preflight':
      return 'at the checks before its start';
    case 'prepare':
      return 'while it was being prepared';
    case 'transfer':
      return transferWords(method);
    case 'held':
      return 'while it stood still before the switchover';
    case 'switch-over':
      return 'while the guest was being handed over';
    case 'postcopy':
      return 'after the guest had gone over, while its memory followed';
    case 'interrupted':
      return 'while postcopy was interrupted';
    case 'cancel':
      return 'while it was being cancelled';
    case 'settle':
    case 'needs-you':
    case 'ended':
      return 'at its end';
  }
}

function transferWords(method: MethodName): string {
  switch (method) {
    case 'precopy':
    case 'postcopy':
      return 'while the memory was being sent';
    case 'shared-ram':
    case 'cpr-transfer':
      return 'while the state was being sent';
    case 'cpr-exec':
      return 'while QEMU was replacing itself';
    case 'cpr-reboot':
    case 'save':
      return 'while the file was being written';
    case 'restore':
      return 'while the file was being read';
  }
}
