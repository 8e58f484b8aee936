// Nodes of the real binary that share a real Redis.

import { once } from 'node:events';
import fs from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { freePort, ownHost } from './network.js';
import { Program } from './program.js';
import { Deskline } from './server.js';
import { within } from './wait.js';

/** One Redis, empty. */
export class Redis extends Program {
  async run() {
    this.host = ownHost();
    this.port = await freePort(this.host);
    await this.launch('redis-server', ['--bind', this.host, '--port', String(this.port), '--dir', this.dir, '--save', '', '--appendonly', 'no'], 'redis-server');
    await this.until('Redis answers', () => this.#answers());
  }

  get url() {
    return `redis://${this.host}:${this.port}/0`;
  }

  async #answers() {
    const socket = net.connect(this.port, this.host);
    try {
      const answer = once(socket, 'data');
      socket.write('PING\r\n');
      const [data] = await within(answer, 'PONG', 1000);
      return data.toString().startsWith('+PONG');
    } finally {
      socket.destroy();
    }
  }
}

/** One node of a cluster, at an address of its own. */
export class Node extends Deskline {
  get url() {
    return `http://${this.host}:${this.port}`;
  }

  /** What the operators' listener says at a path. */
  async ops(path) {
    const answer = await fetch(`http://${this.listening.admin}${path}`);
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  }

  /** The value of a metric without labels. */
  async metric(name) {
    const text = await (await this.ops('/metrics')).text();
    return Number(text.split('\n').find((line) => line.startsWith(`${name} `))?.split(' ')[1]);
  }

  /** What it knows of somebody's presence, as its operators see it. */
  async presence(jid) {
    return (await this.ops(`/presence?user=${encodeURIComponent(jid)}`)).json();
  }
}

/**
 * Starts two nodes, n1 and n2, with accounts u1 … uN.
 * @param options.accounts how many, default 40
 * @param options.config makes the keys to add from the address of a node
 */
export async function startCluster(redis, { config = () => ({}), ...options } = {}) {
  const nodes = [];
  const hosts = [ownHost(), ownHost()];
  const ports = await Promise.all(hosts.map(async (host) => ({ http: await freePort(host), gossip: await freePort(host) })));
  try {
    for (const [i, host] of hosts.entries()) {
      const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'deskline-cluster-'));
      const own = config(host);
      const node = new Node(dir, {
        ...options,
        config: {
          ...own,
          store: { kind: 'redis' },
          redis: { url: redis.url },
          http: { listen: `${host}:${ports[i].http}`, ...own.http },
          cluster: {
            node: `n${i + 1}`,
            listen: `${host}:${ports[i].gossip}`,
            public_url: `http://${host}:${ports[i].http}`,
            seeds: hosts.map((h, j) => `${h}:${ports[j].gossip}`),
            pairs: [['n1', 'n2']],
          },
        },
      });
      Object.assign(node, { host, port: ports[i].http });
      nodes.push(node);
      await (i === 0 ? node.prepare() : node.writeConfig());
    }
    await Promise.all(nodes.map((node) => node.start()));
  } catch (err) {
    await closeAll(nodes).catch(() => {}); // the first failure says more
    throw err;
  }
  return nodes;
}

/** Ends groups one after another, and fails if anything cannot. */
export async function closeAll(...groups) {
  let failed;
  for (const group of groups) {
    const results = await Promise.allSettled(group.filter(Boolean).map((one) => one.close()));
    failed ??= results.find((r) => r.status === 'rejected');
  }
  if (failed) throw failed.reason;
}
