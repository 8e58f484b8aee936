// Addresses for what a test starts beside the server.

import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import dgram from 'node:dgram';
import net from 'node:net';

/** An address of this machine that nobody else uses: ports found free on it stay so. */
export function ownHost() {
  return `127.81.${randomInt(256)}.${randomInt(1, 255)}`;
}

/** A port that is free for TCP and UDP. */
export async function freePort(host = '127.0.0.1') {
  for (let tries = 0; tries < 100; tries++) {
    const tcp = net.createServer().listen(0, host);
    await once(tcp, 'listening');
    const { port } = tcp.address();
    const udp = dgram.createSocket('udp4').bind(port, host);
    const free = await Promise.race([once(udp, 'listening').then(() => true), once(udp, 'error').then(() => false)]);
    if (free) udp.close();
    tcp.close();
    await once(tcp, 'close');
    if (free) return port;
  }
  throw new Error(`no port of ${host} is free for TCP and UDP`);
}
