// The server under test: the real binary on free ports in a folder of its own.
// DESKLINE_TEST_SERVER=prosody runs the same tests on Prosody, for comparison.

import fs from 'node:fs/promises';
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { PASSWORD, Server } from './base.js';
import { binary, isDeskline } from './binary.js';
import { Prosody } from './prosody.js';
import { deferred, within } from './wait.js';

export { isDeskline, PASSWORD };

const START = 20_000;

/**
 * Starts a server with accounts u1 … uN.
 * @param options.accounts how many, default 40
 * @param options.config keys of the configuration to add, by top key
 */
export function startServer(options = {}) {
  return launch(isDeskline ? Deskline : Prosody, options);
}

/** Starts the demo node. */
export function startDemo() {
  return launch(Demo);
}

async function launch(Kind, options) {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'deskline-clients-'));
  const server = new Kind(dir, options);
  try {
    await server.prepare();
    await server.start();
  } catch (err) {
    await server.close();
    throw err;
  }
  return server;
}

/** One node. */
export class Deskline extends Server {
  async prepare() {
    if (!existsSync(binary)) throw new Error(`${binary} is missing: run "make build", or name a binary in DESKLINE_BIN`);
    const csv = path.join(this.dir, 'users.csv');
    const quote = (s) => `"${s.replaceAll('"', '""')}"`;
    const rows = this.users.map((user) => `${user},${quote(PASSWORD)},${user.toUpperCase()},,`);
    await fs.writeFile(csv, ['user,password,name,email,groups', ...rows, ''].join('\n'));
    await this.writeConfig();
    const load = this.run(binary, ['user', 'import', '-c', this.file, csv]);
    const { code } = await within(load.exited, 'user import', START);
    if (code !== 0) throw new Error(`user import: exit code ${code}\n${this.log}`);
  }

  /** JSON is YAML. */
  async writeConfig() {
    this.file = path.join(this.dir, 'deskline.yaml');
    const config = {
      domains: [this.domain],
      data_dir: path.join(this.dir, 'data'),
      log: { format: 'json', level: 'debug' },
      admin: { listen: '127.0.0.1:0' },
      ...this.config,
      http: { listen: `127.0.0.1:${this.port}`, ...this.config.http },
    };
    await fs.writeFile(this.file, JSON.stringify(config, null, 2));
  }

  /** The command that serves. */
  serve() {
    return this.run(binary, ['serve', '-c', this.file]);
  }

  async start() {
    const child = this.serve();
    this.child = child;
    this.listening = {};
    const ready = deferred();
    child.on('line', (line) => {
      let entry;
      try {
        entry = JSON.parse(line);
      } catch {
        return;
      }
      if (entry.msg === 'listening') this.listening[entry.name] = entry.addr;
      if (entry.msg === 'ready') ready.resolve();
    });
    child.exited.then((how) => ready.reject(new Error(`serve ended: ${JSON.stringify(how)}\n${this.log}`)));
    await within(ready.promise, 'the log line "ready"', START);
    const addr = this.listening.http;
    if (!addr) throw new Error(`no log line "listening" with name "http"\n${this.log}`);
    if (!this.port) {
      this.port = Number(addr.slice(addr.lastIndexOf(':') + 1));
      await this.writeConfig(); // a restart comes back where clients look for it
    }
  }
}

/** The demo node: no file, an empty folder, and what it prints. */
class Demo extends Deskline {
  prepare() {}

  writeConfig() {}

  serve() {
    const env = { ...process.env, DESKLINE_HTTP_LISTEN: `127.0.0.1:${this.port}`, DESKLINE_ADMIN_LISTEN: '127.0.0.1:0', DESKLINE_LOG_FORMAT: 'json' };
    return this.run(binary, ['serve'], { env });
  }

  /** The password it printed. */
  get password() {
    return this.output.findLast((line) => line.includes('Password: '))?.trim().slice('Password: '.length);
  }
}
