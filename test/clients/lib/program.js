// Programs of the machine that a test starts beside the server.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { within } from './wait.js';

/** How long a program may take to start on a loaded machine. */
export const START = 60_000;

/** One program with its output, in a folder of its own that goes with it. Subclasses say how it is run. */
export class Program {
  output = [];

  /** Starts one, and leaves nothing behind if it cannot. */
  static async start(...args) {
    const one = new this();
    one.dir = await fs.mkdtemp(path.join(os.tmpdir(), 'deskline-program-'));
    try {
      await one.run(...args);
    } catch (err) {
      await one.close();
      throw err;
    }
    return one;
  }

  async launch(command, args, missing) {
    const child = spawn(command, args, { cwd: this.dir, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    this.child = child;
    this.signal = (name) => {
      try {
        process.kill(-child.pid, name); // it may be several processes
      } catch {
        // all have ended
      }
    };
    const orphan = () => this.signal('SIGKILL');
    process.on('exit', orphan);
    child.on('exit', () => process.off('exit', orphan));
    this.ended = once(child, 'exit').catch((err) => {
      throw err.code === 'ENOENT' ? new Error(`${command} is missing: run scripts/install.sh, or apt-get install ${missing}`) : err;
    });
    this.ended.catch(() => {}); // whoever waits is told
    for (const stream of [child.stdout, child.stderr]) readline.createInterface({ input: stream }).on('line', (line) => this.output.push(line));
  }

  /** Tries until something works, unless the program ends. */
  async until(what, attempt) {
    let over = false;
    const tries = async () => {
      while (!over) {
        const got = await attempt().catch(() => undefined);
        if (got) return got;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    const ended = this.ended.then((how) => {
      throw new Error(`it ended: ${how}`);
    });
    try {
      return await within(Promise.race([tries(), ended]), what, START);
    } catch (err) {
      err.message += `\n${this.output.slice(-40).join('\n')}`;
      throw err;
    } finally {
      over = true;
    }
  }

  async close() {
    this.signal?.('SIGKILL');
    await this.ended?.catch(() => {});
    await fs.rm(this.dir, { recursive: true, force: true });
  }
}
