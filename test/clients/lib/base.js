// What every server under test has: URLs, accounts, and the life of its process.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import readline from 'node:readline';
import tls from 'node:tls';
import { within } from './wait.js';

/** The password of every account. */
export const PASSWORD = 'Pa55 w0rd & <more>';

/** A server in the folder dir. Subclasses prepare and start it. */
export class Server {
  #next = 0;
  output = [];
  port = 0;

  constructor(dir, { accounts = 40, config = {}, domain = 'localhost' } = {}) {
    Object.assign(this, { dir, config, domain });
    this.users = Array.from({ length: accounts }, (_, i) => `u${i + 1}`);
  }

  /** JIDs of accounts nobody else of this test file uses. */
  accounts(count = 1) {
    const taken = this.users.slice(this.#next, (this.#next += count));
    if (taken.length < count) throw new Error('the server was started with too few accounts');
    return taken.map((user) => `${user}@${this.domain}`);
  }

  get url() {
    return `http://localhost:${this.port}`;
  }

  get tlsUrl() {
    return `https://localhost:${this.tlsPort ?? this.port}`;
  }

  /** The address of a door: bosh or ws, with TLS or without. */
  door(transport, secure = false) {
    const base = secure ? this.tlsUrl : this.url;
    return transport === 'bosh' ? `${base}/http-bind` : `${base.replace(/^http/, 'ws')}/xmpp-websocket`;
  }

  run(command, args, spawnOptions) {
    const child = spawn(command, args, { cwd: this.dir, stdio: ['ignore', 'pipe', 'pipe'], ...spawnOptions });
    const orphan = () => child.kill('SIGKILL');
    process.on('exit', orphan);
    child.on('exit', () => process.off('exit', orphan));
    child.exited = once(child, 'exit').then(([code, signal]) => ({ code, signal }), (err) => ({ code: -1, err }));
    for (const stream of [child.stdout, child.stderr]) {
      readline.createInterface({ input: stream }).on('line', (line) => {
        this.output.push(line);
        child.emit('line', line);
      });
    }
    return child;
  }

  /** The log of the process, to put beside a failure. */
  get log() {
    return this.output.slice(-60).join('\n');
  }

  async end(signal, ms = 15_000) {
    const child = this.child;
    if (!child) return;
    this.child = undefined;
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    let result;
    try {
      result = await within(child.exited, `the server ends at ${signal}`, ms);
    } catch (err) {
      child.kill('SIGKILL');
      await child.exited;
      throw err;
    }
    if (signal === 'SIGTERM' && result.code !== 0) {
      throw new Error(`the server stopped with ${JSON.stringify(result)}\n${this.log}`);
    }
  }

  /** SIGTERM, and the exit code must be 0. */
  stop() {
    return this.end('SIGTERM');
  }

  kill() {
    return this.end('SIGKILL');
  }

  async close() {
    try {
      await this.end('SIGTERM');
    } finally {
      if (process.env.DESKLINE_TEST_KEEP) console.error(`kept ${this.dir}`);
      else await fs.rm(this.dir, { recursive: true, force: true });
    }
  }

  /** The certificate shown on the TLS port. */
  async x509() {
    const { hostname, port } = new URL(this.tlsUrl);
    const socket = tls.connect({ host: hostname, port, servername: this.domain, rejectUnauthorized: false });
    try {
      await within(once(socket, 'secureConnect'), 'the TLS handshake');
      return socket.getPeerX509Certificate();
    } finally {
      socket.destroy();
    }
  }

  /** The same as PEM. */
  async certificate() {
    return (await this.x509()).toString();
  }

  /** The certificate's key as Chromium pins it. */
  async certificatePin() {
    const { publicKey } = await this.x509();
    return createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64');
  }
}
