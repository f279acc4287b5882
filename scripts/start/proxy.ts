import { createServer, request, type IncomingMessage, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { workbenchQuery, type VscodeServer, type WorkbenchTarget } from '../lib/vscodeServer';

/**
 * A door with a short address. VS Code's server wants folder, extension and its own authority in the query;
 * this sends `/` there and hands everything else through. The authority is the one that the browser used, so
 * a forwarded port works as well. The token stays in the server's hands: without it, no answer.
 */
export async function openDoor(
  server: VscodeServer,
  target: WorkbenchTarget,
  port: number,
): Promise<{ address: string; door: Server }> {
  const door = createServer((incoming, outgoing) => {
    const url = new URL(incoming.url ?? '/', 'http://door');
    const isDoor = url.pathname === '/' && !url.searchParams.has('folder');
    if (isDoor && url.searchParams.get('tkn') === server.token) {
      const query = workbenchQuery(incoming.headers.host ?? '', target);
      query.set('tkn', server.token);
      outgoing.writeHead(302, { location: `/?${query.toString()}` }).end();
      return;
    }
    const options = {
      ...{ host: '127.0.0.1', port: server.port, path: incoming.url ?? '/' },
      ...{ method: incoming.method ?? 'GET', headers: incoming.headers },
    };
    const inner = request(options, (reply) => {
      outgoing.writeHead(reply.statusCode ?? 502, reply.rawHeaders);
      reply.pipe(outgoing);
    });
    inner.on('error', () => {
      if (!outgoing.headersSent) outgoing.writeHead(502);
      outgoing.end();
    });
    incoming.pipe(inner);
  });
  door.on('upgrade', (incoming: IncomingMessage, socket, head: Buffer) => {
    const inner = connect(server.port, '127.0.0.1', () => {
      inner.write(`${incoming.method ?? 'GET'} ${incoming.url ?? '/'} HTTP/1.1\r\n`);
      for (let index = 0; index + 1 < incoming.rawHeaders.length; index += 2) {
        inner.write(`${incoming.rawHeaders[index]}: ${incoming.rawHeaders[index + 1]}\r\n`);
      }
      inner.write('\r\n');
      inner.write(head);
      inner.pipe(socket);
      socket.pipe(inner);
    });
    inner.on('error', () => socket.destroy());
    socket.on('error', () => inner.destroy());
    socket.on('close', () => inner.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    door.once('error', reject);
    door.listen(port, '127.0.0.1', resolve);
  });
  const actual = (door.address() as AddressInfo).port;
  return { address: `http://127.0.0.1:${actual}/?tkn=${server.token}`, door };
}
