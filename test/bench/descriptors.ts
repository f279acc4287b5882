import { join } from 'node:path';
import { root } from '../../scripts/lib/paths';
import { FdPassHelper } from '../../src/fdpass/helper';
import { QmpConnection } from '../../src/qmp/connection';
import { median, milliseconds, printTable, quantile } from './table';

const rounds = 100;

/** How long it takes to give two machines an end each of a socket pair, helper process included. */
export async function measureDescriptors(
  sockets: readonly [string, string],
  against: string,
): Promise<void> {
  const helper = new FdPassHelper(join(root, `native/fdpass/build/linux-${process.arch}/fdpass`));
  const [a, b] = await Promise.all([
    QmpConnection.connect(sockets[0]),
    QmpConnection.connect(sockets[1]),
  ]);
  const times: number[] = [];
  for (let round = -5; round < rounds; round += 1) {
    const fdname = `bench${round + 5}`;
    const start = performance.now();
    await helper.pair({ connection: a, fdname }, { connection: b, fdname });
    // The first few warm up.
    if (round >= 0) times.push(performance.now() - start);
    await Promise.all([a, b].map((connection) => connection.execute('closefd', { fdname })));
  }
  a.close();
  b.close();
  printTable(`A pair of getfd, against ${against} (${rounds} times)`, [
    {
      what: 'both QEMUs have their end',
      measured: [
        `median ${milliseconds(median(times))}`,
        `p99 ${milliseconds(quantile(times, 0.99))}`,
      ].join(', '),
    },
  ]);
}
