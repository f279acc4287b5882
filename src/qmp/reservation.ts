import type net from 'node:net';
import type { CallSite } from './callSite';
import { QmpError } from './errors';
import type { JsonObject, JsonValue } from './json';
import type { ExecuteOptions } from './options';
import type { Turns } from './turns';
import type { Wire } from './wire';

/**
 * For a helper process that writes this command itself, with descriptors attached: the connection's
 * outgoing queue is drained, then held, until release. Commands executed meanwhile wait in the
 * queue; replies and events are read on.
 */
export interface Reservation {
  /** To be inherited by the child; call `resume()` on it right after the spawn. */
  readonly socket: net.Socket;
  /** The exact bytes to send, id included, newline-terminated. */
  readonly message: Buffer;
  /** Never an unhandled rejection, whether somebody looks at it or not. */
  readonly reply: Promise<JsonValue>;
  /**
   * 'all': the reply will come. 'none': nothing was written; the reply rejects with `error` and the
   * connection goes on. 'unknown': maybe part of it; the connection is closed, since QEMU's parser
   * may be inside an open object. Idempotent.
   */
  release(sent: 'all' | 'none' | 'unknown', error?: Error): void;
}

/** Waits for its turn and for all earlier bytes to be gone; see `QmpConnection.reserve`. */
export async function reserve(
  wire: Wire,
  turns: Turns,
  command: string,
  args: JsonObject,
  options: ExecuteOptions,
  site: CallSite,
): Promise<Reservation> {
  const { id, text, reply } = wire.draft(command, args, options, site);
  // Abort or close end the waiting; a reply cannot come before the command went out.
  const failed = reply.then((): never => {
    throw new QmpError(`${command}: answered before it was sent`);
  });
  failed.catch(() => undefined);

  const turn = turns.take();
  const endTurn = (end: () => void): void => {
    wire.unhold();
    end();
  };
  try {
    const { socket } = wire.transport;
    if (text === undefined) return await failed;
    if (socket === undefined) {
      wire.withdraw(id, new QmpError(`${command}: this transport has no socket to hand over`));
      return await failed;
    }
    const end = await Promise.race([turn, failed]);
    wire.hold();
    await Promise.race([wire.transport.drain(), failed]);
    // The end of the stream also ends the draining.
    if (wire.closeReason !== undefined) return await failed;

    let released = false;
    return {
      socket,
      message: Buffer.from(`${text}\n`),
      reply,
      release: (sent, error) => {
        if (released) return;
        released = true;
        if (sent === 'all') {
          wire.traffic('out', text);
          wire.startTimer(id, options);
        } else if (sent === 'none') wire.withdraw(id, error);
        else wire.finish({ kind: 'closed-by-us' }, error);
        endTurn(end);
      },
    };
  } catch (error) {
    void turn.then(endTurn);
    throw error;
  }
}
