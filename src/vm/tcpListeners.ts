import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import path from 'node:path';
import { defaultProcRoot, readText } from './process';

const listening = '0A';

/** Where somebody listens. */
export interface TcpListener {
  /** As {@link canonicalAddress} writes it; `any`: at all addresses of the host. */
  readonly address: string;
  readonly port: number;
}

const any = 'any';

/**
 * Where anybody listens on this host, in the network that the process sees.
 *
 * @param pid absent: in our own
 */
export async function readTcpListeners(
  pid: number | undefined,
  procRoot = defaultProcRoot,
): Promise<readonly TcpListener[]> {
  const directory = path.join(procRoot, pid === undefined ? 'self' : String(pid), 'net');
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((name) => readText(path.join(directory, name))),
  );
  return tables
    .join('\n')
    .split('\n')
    .flatMap((line) => {
      // sl local_address rem_address st ...; addresses as HEX:PORT
      const [, address, port, state] =
        /^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /.exec(line) ?? [];
      if (address === undefined || port === undefined || state !== listening) return [];
      return [{ address: addressOf(address), port: Number.parseInt(port, 16) }];
    });
}

/**
 * Whether nobody else can listen there any more. A name counts as taken where all of its addresses are:
 * QEMU tries one after the other.
 *
 * @param host a name, or an address without brackets; empty: all addresses
 */
export async function isTaken(
  host: string,
  port: number,
  listeners: readonly TcpListener[],
): Promise<boolean> {
  const taken = listeners.filter((listener) => listener.port === port);
  if (taken.length === 0) return false;
  const wanted = await addressesOf(host);
  return wanted.length > 0 && wanted.every((address) => clashes(address, taken));
}

function clashes(wanted: string, taken: readonly TcpListener[]): boolean {
  return taken.some(({ address }) => wanted === any || address === any || address === wanted);
}

async function addressesOf(host: string): Promise<readonly string[]> {
  if (host === '') return [any];
  if (isIP(host) !== 0) return [canonicalAddress(host)];
  const found = await lookup(host, { all: true }).catch(() => []);
  return found.map(({ address }) => canonicalAddress(address));
}

/** Different spellings of one address become one. */
function canonicalAddress(text: string): string {
  const bytes = isIP(text) === 4 ? text.split('.').map(Number) : bytesOfV6(text);
  return nameOf(bytes);
}

function bytesOfV6(text: string): readonly number[] {
  const host = new URL(`http://[${text.replace(/%.*$/, '')}]/`).hostname.slice(1, -1);
  const [head = '', tail = ''] = host.split('::');
  const words = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16));
  const [before, after] = [words(head), words(tail)];
  const missing = Array<number>(8 - before.length - after.length).fill(0);
  return [...before, ...missing, ...after].flatMap((word) => [word >> 8, word & 0xff]);
}

/** Of `/proc/net/tcp`: words of four bytes, each as the machine has it, the lowest byte first. */
function addressOf(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  return nameOf(words.flatMap((word) => [...Buffer.from(word, 'hex')].reverse()));
}

function nameOf(bytes: readonly number[]): string {
  if (bytes.every((byte) => byte === 0)) return any;
  const isMapped =
    bytes.length === 16 && bytes.slice(0, 12).every((byte, at) => byte === (at < 10 ? 0 : 0xff));
  const shown = isMapped ? bytes.slice(12) : bytes;
  return shown.every((byte) => byte === 0) ? any : shown.join('.');
}
