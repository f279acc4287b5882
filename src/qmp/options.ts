/** Sees each message as text, without its line end. */
export type TrafficListener = (direction: 'in' | 'out', text: string) => void;

export interface ConnectOptions {
  signal?: AbortSignal;
  /** Milliseconds to wait for the greeting, and again for the negotiation; default 2000. */
  greetingTimeoutMs?: number;
  /** Largest message accepted, in bytes; default 16 MiB. */
  maxMessageBytes?: number;
  onTraffic?: TrafficListener;
}

export interface ExecuteOptions {
  /** Milliseconds to wait for the reply; default 30,000; Infinity waits for ever. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Send as `exec-oob`: QEMU runs it even while its main loop hangs. */
  outOfBand?: boolean;
}
