import path from 'node:path';
import { defaultProcRoot, readText } from './process';

const listening = '0A';

/**
 * The TCP ports at which anybody listens on this host, in the network that the process sees.
 *
 * @param pid absent: in our own
 */
export async function readTcpListeners(
  pid: number | undefined,
  procRoot = defaultProcRoot,
): Promise<ReadonlySet<number>> {
  const directory = path.join(procRoot, pid === undefined ? 'self' : String(pid), 'net');
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((name) => readText(path.join(directory, name))),
  );
  const ports = new Set<number>();
  for (const line of tables.join('\n').split('\n')) {
    // sl local_address rem_address st ...; addresses as HEX:PORT
    const [, port, state] =
      /^ *\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /.exec(line) ?? [];
    if (port !== undefined && state === listening) ports.add(Number.parseInt(port, 16));
  }
  return ports;
}
