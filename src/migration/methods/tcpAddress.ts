import { isArray, isObject } from '../../qmp/json';
import type { MachineHandle } from '../../vm/types';
import type { TcpOptions } from '../run/types';
import type { Announce, Channel } from './channel';

/** A TCP address is not of the form `HOST:PORT`. */
export class TcpAddressError extends Error {
  override readonly name = 'TcpAddressError';
}

/** The target does not tell at which port it listens. */
export class TcpPortUnknownError extends Error {
  override readonly name = 'TcpPortUnknownError';
}

export interface TcpAddress {
  /** Without the brackets of IPv6. */
  readonly host: string;
  /** 0: one that is free. */
  readonly port: number;
}

/** Reads `HOST:PORT`, IPv6 in brackets. @throws {TcpAddressError} */
export function parseTcpAddress(text: string): TcpAddress {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:\s,]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || port > 65535 || /[\s,]/.test(host)) {
    throw new TcpAddressError(`"${text}" is no address of the form HOST:PORT.`);
  }
  return { host, port };
}

/** The same; `undefined` for what is no such address. */
export function readTcpAddress(text: string): TcpAddress | undefined {
  try {
    return parseTcpAddress(text);
  } catch (error) {
    if (error instanceof TcpAddressError) return undefined;
    throw error;
  }
}

/** `tcp:HOST:PORT` as QEMU reads it. */
export function tcpUri({ host, port }: TcpAddress): string {
  return `tcp:${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * TCP: the target listens where it is told; the source connects to the same port, at another host
 * name if need be. With port 0 the target chooses and tells.
 *
 * @throws {TcpAddressError}
 */
export async function openTcp(
  target: MachineHandle,
  { listen, host }: TcpOptions,
  announce: Announce,
): Promise<Channel> {
  const address = parseTcpAddress(listen);
  const uri = tcpUri(address);
  await announce({ transport: 'tcp', uri });
  return {
    uri,
    outgoingUri: async () => {
      const port = address.port === 0 ? await listeningPort(target) : address.port;
      return tcpUri({ host: host ?? address.host, port });
    },
    close: () => Promise.resolve(),
  };
}

/** @throws {TcpPortUnknownError} QEMU 7.2 does not tell */
async function listeningPort(target: MachineHandle): Promise<number> {
  const answer = await target.connection().execute('query-migrate');
  const addresses = isObject(answer) ? answer['socket-address'] : undefined;
  for (const address of isArray(addresses) ? addresses : []) {
    const port = isObject(address) ? Number(address['port']) : NaN;
    if (Number.isInteger(port) && port > 0) return port;
  }
  throw new TcpPortUnknownError('The target does not tell at which port it listens; name one.');
}
