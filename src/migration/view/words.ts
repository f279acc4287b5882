import { FdPassError } from '../../fdpass/errors';
import {
  QmpClosedError,
  QmpCommandError,
  QmpConnectError,
  QmpProtocolError,
  QmpTimeoutError,
  type CloseReason,
} from '../../qmp/errors';
import { UnexpectedReplyError } from '../../vm/queries';
import { ListNotSavedError } from '../../vm/registry';
import { NotConnectedError } from '../../vm/types';
import { LiveUpdateRefusedError } from '../liveUpdate/types';
import { HelperMissingError } from '../methods/descriptorPair';
import { TargetDeviceError } from '../methods/targetDevices';
import { PairsNotSavedError } from '../pair/pairs';
import { RunRefusedError } from '../run/checks/checks';
import { ControlRefusedError } from '../run/controls';
import { GuestRefusedError, QuitHangsError } from '../run/guestGate';
import { explainJournal } from './journalWords';
import { BackendTransferError } from '../settings/backendTransfer';
import { sentence } from './sentence';
import { explainSettings } from './settingsWords';

/** An error for a person: what happened, what it means, what to do. Whole sentences. */
export interface Explanation {
  readonly headline: string;
  readonly detail?: string;
  readonly nextStep?: string;
}

/** The parts as one text. */
export function explanationText({ headline, detail, nextStep }: Explanation): string {
  return [headline, detail, nextStep].filter((part) => part !== undefined).join(' ');
}

const unixStillWorks = 'Migration by the UNIX socket transport works without it.';

/** The one place where errors become words; looks at types and reasons, never at QEMU's texts. */
export function explain(error: unknown): Explanation {
  if (error instanceof QmpConnectError) return explainClose(error.closeReason, error.path);
  if (error instanceof QmpCommandError) {
    return { headline: `QEMU refused ${error.command}: ${sentence(error.desc)}` };
  }
  if (error instanceof QmpTimeoutError) {
    return {
      headline: `QEMU did not answer ${error.command} within ${error.timeoutMs / 1000} s.`,
      detail: 'It may still carry it out.',
      nextStep: 'Look again to see what QEMU says then.',
    };
  }
  if (error instanceof QmpClosedError) {
    return {
      headline: `The connection ended before QEMU answered ${error.command}: ${closeText(error.closeReason)}`,
      detail: 'It may have been carried out or not.',
      nextStep: 'Look again, once connected: what QEMU says then is what counts.',
    };
  }
  if (error instanceof QmpProtocolError) {
    return { headline: `What came from the socket is not QMP: ${sentence(error.message)}` };
  }
  return explainOurs(error);
}

function explainOurs(error: unknown): Explanation {
  const ofSettings = explainSettings(error, explain) ?? explainJournal(error);
  if (ofSettings !== undefined) return ofSettings;
  if (error instanceof NotConnectedError) {
    return { headline: `${error.label} is not connected.`, nextStep: 'Connect it first.' };
  }
  if (error instanceof RunRefusedError) {
    return { headline: error.reasons.join(' '), nextStep: error.nextStep };
  }
  if (error instanceof ControlRefusedError) {
    return { headline: error.message, nextStep: error.nextStep };
  }
  if (error instanceof GuestRefusedError) {
    return { headline: error.message, nextStep: error.nextStep };
  }
  if (error instanceof LiveUpdateRefusedError) {
    return { headline: error.message, nextStep: error.nextStep };
  }
  if (error instanceof QuitHangsError) return explainQuitHangs(error);
  if (error instanceof BackendTransferError) return explainBackendTransfer(error);
  if (error instanceof HelperMissingError) return { headline: error.location.sentence };
  if (error instanceof FdPassError) return explainFdPass(error);
  if (error instanceof TargetDeviceError) {
    return {
      headline: error.message,
      nextStep: 'Start the target with the same slots and buses as the source.',
    };
  }
  if (error instanceof ListNotSavedError) {
    return {
      headline: 'The list of machines could not be saved; it is kept until this window closes.',
      detail: messageOf(error.cause),
      nextStep: 'Free some disk space; the next change saves it again.',
    };
  }
  if (error instanceof PairsNotSavedError) {
    return {
      headline: 'The pairs could not be saved; they are kept until this window closes.',
      detail: sentence(messageOf(error.cause)),
      nextStep: 'Free some disk space; the next change saves them again.',
    };
  }
  if (error instanceof UnexpectedReplyError) {
    return {
      headline: `QEMU answered ${error.command} in a form that is not known here.`,
      nextStep: 'The log has the answer; please report it.',
    };
  }
  return { headline: sentence(messageOf(error)) };
}

/** Why a connection could not be made, or was lost, for the machine at `path`. */
export function explainClose(reason: CloseReason, path: string): Explanation {
  switch (reason.kind) {
    case 'no-such-file':
      return {
        headline: `No socket at ${path}.`,
        nextStep: `QEMU makes it when started with "-qmp unix:${path},server=on,wait=off".`,
      };
    case 'not-a-socket':
      return {
        headline: `${path} is not a socket.`,
        nextStep: 'Give the path of the QMP socket, as in "-qmp unix:PATH,server=on,wait=off".',
      };
    case 'no-permission':
      return {
        headline: `You may not open ${path}.`,
        nextStep: 'Connecting needs write permission on the socket and access to its folders.',
      };
    case 'connection-refused':
      return {
        headline: `Nobody listens at ${path}: its QEMU is gone and left the file behind.`,
        nextStep: 'Start the QEMU again; it takes the path over.',
      };
    case 'greeting-timeout':
      return {
        headline: `The monitor at ${path} is in use by another client: it did not greet within ${reason.timeoutMs / 1000} s.`,
        detail: 'A QMP socket serves one client at a time.',
        nextStep: 'Close the other client, or give QEMU a second "-qmp" socket.',
      };
    case 'protocol-error':
      return explainProtocol(reason.error, path);
    case 'path-too-long':
      return {
        headline: `${path} is too long for a socket: ${reason.bytes} bytes, and 107 is the most.`,
        nextStep: 'Use a shorter folder name, or a symbolic link to it.',
      };
    case 'qemu-quit':
    case 'peer-closed':
    case 'closed-by-us':
    case 'io-error':
      return { headline: closeText(reason) };
  }
}

function explainProtocol(error: QmpProtocolError, path: string): Explanation {
  const said = error.excerpt === '' ? '' : ` It said: "${error.excerpt}".`;
  switch (error.problem) {
    case 'not-qmp':
    case 'garbage':
      return {
        headline: `What listens at ${path} does not speak QMP.${said}`,
        nextStep: 'Is it the socket of a "-monitor", a serial port, or of another program?',
      };
    case 'too-large':
      return { headline: `A message from ${path} was too large and was not read.${said}` };
    case 'bad-json':
    case 'bad-utf8':
    case 'unexpected':
      return { headline: `The connection to ${path} was closed: ${sentence(error.message)}` };
  }
}

/** Why a connection ended, as a short sentence for a tree row. */
export function closeText(reason: CloseReason): string {
  switch (reason.kind) {
    case 'qemu-quit':
      if (reason.guest) return 'The guest shut down, and its QEMU has quit.';
      return reason.reason === 'host-qmp-quit'
        ? 'QEMU has quit, as it was told.'
        : `QEMU has quit (${reason.reason}).`;
    case 'peer-closed':
      return 'QEMU closed the connection: it was killed, crashed, or removed the monitor.';
    case 'closed-by-us':
      return 'Disconnected.';
    case 'greeting-timeout':
      return 'The monitor is in use by another client.';
    case 'no-such-file':
      return 'There is no such socket now.';
    case 'connection-refused':
      return 'Nobody listens there any more.';
    case 'not-a-socket':
      return 'It is not a socket.';
    case 'no-permission':
      return 'No permission to open the socket.';
    case 'path-too-long':
      return 'The path is too long for a socket.';
    case 'protocol-error':
      return sentence(reason.error.message);
    case 'io-error':
      return `The connection failed: ${reason.message} (${reason.code}).`;
  }
}

function explainQuitHangs({ label, pid }: QuitHangsError): Explanation {
  return {
    headline: `${label} was told to quit, and is still there${pid === undefined ? '' : ` (pid ${pid})`}.`,
    detail: 'It may still be writing to its disks.',
    nextStep: 'Look again in a while.',
  };
}

function explainBackendTransfer(error: BackendTransferError): Explanation {
  switch (error.reason) {
    case 'absent':
      return {
        headline: `The QEMU of ${error.label} has no backend transfer.`,
        detail:
          error.detail.length === 0
            ? 'Nor has it a CPR mode.'
            : `What it has instead: ${error.detail.join(', ')}.`,
      };
    case 'list':
      return {
        headline: `In this QEMU backend transfer is a list, "${error.detail.join()}", not a switch.`,
        nextStep: 'Edit the list like any other parameter.',
      };
  }
}

function explainFdPass(error: FdPassError): Explanation {
  const told = error.stderr.trim();
  return {
    headline: `The descriptors could not be handed over: ${sentence(error.description)}`,
    ...(told !== '' && !told.endsWith(error.description) && { detail: told }),
    nextStep: unixStillWorks,
  };
}

function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : error;
  return typeof message === 'string' && message.trim() !== ''
    ? message
    : 'Something went wrong; the log may tell more';
}
