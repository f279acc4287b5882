import { rename, rm } from 'node:fs/promises';
import { connect, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net';

/**
 * Stands between the two QEMUs of a migration, so that the channel can be cut or stand still while
 * both live. What it has read and not written when it is cut is lost, as on any network.
 */
export class ChannelProxy {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private isStalled = false;
  private isCut = false;

  private constructor(server: Server, upstream: NetConnectOpts) {
    this.server = server;
    server.on('connection', (here) => {
      const there = connect(upstream);
      this.join(here, there);
      this.join(there, here);
    });
  }

  /** Takes the place of a UNIX socket that the target listens on already. */
  static async beforeUnix(path: string): Promise<ChannelProxy> {
    const behind = `${path}.behind`;
    await rename(path, behind);
    return ChannelProxy.listen({ path: behind }, { path });
  }

  /** Listens on another address of the loopback interface than the target will. */
  static beforeTcp(listen: TcpPlace, target: TcpPlace): Promise<ChannelProxy> {
    return ChannelProxy.listen(target, listen);
  }

  private static async listen(
    upstream: NetConnectOpts,
    place: TcpPlace | { readonly path: string },
  ): Promise<ChannelProxy> {
    const server = createServer({ allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(place, () => resolve());
    });
    return new ChannelProxy(server, { ...upstream, allowHalfOpen: true });
  }

  /** How many channels go through it, both directions counted as one. */
  get channels(): number {
    return this.sockets.size / 2;
  }

  /** Ends all channels, and those that are tried later. */
  cut(): void {
    this.isCut = true;
    for (const socket of this.sockets) socket.destroy();
  }

  /** Nothing goes through any more, until {@link resume}. */
  stall(): void {
    this.isStalled = true;
    for (const socket of this.sockets) socket.pause();
  }

  resume(): void {
    this.isStalled = false;
    for (const socket of this.sockets) socket.resume();
  }

  /** Channels that come later go through again, as after a network is mended. */
  mend(): void {
    this.isCut = false;
  }

  async close(): Promise<void> {
    const address = this.server.address();
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
    if (typeof address === 'string') await rm(`${address}.behind`, { force: true });
  }

  private join(from: Socket, to: Socket): void {
    this.sockets.add(from);
    if (this.isCut) from.destroy();
    if (this.isStalled) from.pause();
    from.on('data', (chunk) => {
      if (!to.write(chunk)) from.pause();
    });
    to.on('drain', () => {
      if (!this.isStalled) from.resume();
    });
    from.on('end', () => to.end());
    from.on('error', () => undefined);
    from.on('close', (hadError) => {
      this.sockets.delete(from);
      // What was read before an orderly end is still to be written.
      if (hadError) to.destroy();
      else to.end();
    });
  }
}

export interface TcpPlace {
  readonly host: string;
  readonly port: number;
}
