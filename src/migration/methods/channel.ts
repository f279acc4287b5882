import type { ChannelWhat } from '../run/journal/entries';

/** A way for the bytes from source to target, ready to be named to both QEMUs. */
export interface Channel {
  /** For `migrate-incoming` and `migrate-recover`. */
  readonly uri: string;
  /** For `migrate`, once the target listens; absent: the same. @throws {TcpPortUnknownError} */
  readonly outgoingUri?: () => Promise<string>;
  /** Takes back what the QEMUs did not use and removes what is on disk. Never rejects; idempotent. */
  close(): Promise<void>;
}

/** Told what is about to be opened, so that somebody else can remove it should we not come to it. */
export type Announce = (what: ChannelWhat) => Promise<void>;
