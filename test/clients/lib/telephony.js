// Real telephones: baresip, and Kamailio to register and call through, which tells
// what they do.

import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import dgram from 'node:dgram';
import fs from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { freePort, ownHost } from './network.js';
import { Program, START } from './program.js';
import { Inbox, within } from './wait.js';

const TABLES = '/usr/share/kamailio/dbtext/kamailio';

/** Writes a file of config with words put in. */
async function fill(name, to, words) {
  let text = await fs.readFile(path.join(import.meta.dirname, '../config', name), 'utf8');
  for (const [word, value] of Object.entries(words)) text = text.replaceAll(new RegExp(`\\b${word}\\b`, 'g'), value);
  await fs.writeFile(to, text);
}

/** One Kamailio: registrar, proxy and presence server, over UDP and TCP. */
export class Kamailio extends Program {
  get addr() {
    return `${this.host}:${this.port}`;
  }

  async run() {
    this.host = ownHost();
    this.port = await freePort(this.host);
    if (!existsSync(TABLES)) throw new Error(`${TABLES} is missing: run scripts/install.sh, or apt-get install kamailio kamailio-presence-modules`);
    await fs.cp(TABLES, path.join(this.dir, 'db'), { recursive: true });
    const file = path.join(this.dir, 'kamailio.cfg');
    await fill('kamailio.cfg', file, { ADDR: this.addr, DIR: this.dir });
    await this.launch('kamailio', ['-DD', '-E', '-f', file, '-Y', this.dir, '-P', path.join(this.dir, 'pid'), '-w', this.dir, '-m', '64', '-M', '8'], 'kamailio');
    await this.until('Kamailio answers', () => this.#answers());
  }

  async #answers() {
    const socket = dgram.createSocket('udp4');
    try {
      const own = `${this.host}:9`;
      const id = String(process.hrtime.bigint());
      const answer = once(socket, 'message');
      socket.bind(0, this.host);
      await once(socket, 'listening');
      socket.send(`OPTIONS sip:${this.addr} SIP/2.0\r\nVia: SIP/2.0/UDP ${own};rport;branch=z9hG4bK${id}\r\nMax-Forwards: 9\r\nFrom: <sip:test@${own}>;tag=a\r\n`
        + `To: <sip:${this.addr}>\r\nCall-ID: ${id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n`, this.port, this.host);
      await within(answer, 'an answer', 500);
      return true;
    } finally {
      socket.close();
    }
  }
}

/** Where baresip's modules are, which Debian puts below the name of the architecture or not. */
function modules() {
  const dirs = ['/usr/lib', ...readdirSync('/usr/lib').filter((d) => d.endsWith('-linux-gnu')).map((d) => `/usr/lib/${d}`)];
  const dir = dirs.map((d) => `${d}/baresip/modules`).find((d) => existsSync(d));
  if (!dir) throw new Error('baresip is missing: run scripts/install.sh, or apt-get install baresip-core');
  return dir;
}

/** One telephone, registered. */
export class Phone extends Program {
  async run(kamailio, number) {
    Object.assign(this, { kamailio, number, inbox: new Inbox(`telephone ${number}`) });
    const host = ownHost();
    const control = await freePort(host);
    await fill('baresip.conf', path.join(this.dir, 'config'), {
      ADDR: `${host}:${await freePort(host)}`, HOST: host, CONTROL: `${host}:${control}`, MODULES: modules(),
    });
    await fs.writeFile(path.join(this.dir, 'accounts'), `<sip:${number}@${kamailio.addr}>;regint=600;audio_codecs=pcmu\n`);
    await fs.writeFile(path.join(this.dir, 'contacts'), '');
    await this.launch('baresip', ['-f', this.dir], 'baresip-core');
    this.socket = await this.until(`telephone ${number} can be spoken to`, async () => {
      const socket = net.connect(control, host);
      await once(socket, 'connect');
      return socket;
    });
    this.#listen();
    await this.until(`telephone ${number} is registered`, async () => this.output.some((line) => / 200 OK /.test(line)));
  }

  /** Reads netstrings of JSON: 12:{"event":…}, */
  #listen() {
    let rest = Buffer.alloc(0);
    this.socket.on('error', () => {}); // when it is closed
    this.socket.on('data', (data) => {
      rest = Buffer.concat([rest, data]);
      for (let colon = rest.indexOf(':'); colon > 0; colon = rest.indexOf(':')) {
        const end = colon + 1 + Number(rest.subarray(0, colon));
        if (rest.length <= end) return;
        this.inbox.add(JSON.parse(rest.subarray(colon + 1, end).toString()));
        rest = rest.subarray(end + 1);
      }
    });
  }

  #tell(command, params = '') {
    const text = JSON.stringify({ command, params, token: command });
    this.socket.write(`${Buffer.byteLength(text)}:${text},`);
  }

  /** Waits for what the telephone does, such as CALL_RINGING. */
  does(type) {
    return this.inbox.take({ event: true, type }, START);
  }

  dial(other) {
    this.#tell('dial', `sip:${other.number}@${this.kamailio.addr}`);
  }

  answer() {
    this.#tell('accept');
  }

  /** Puts the other on hold, who is told so. */
  hold(other) {
    return this.#offer('hold', other);
  }

  resume(other) {
    return this.#offer('resume', other);
  }

  async #offer(command, other) {
    this.inbox.clear();
    other.inbox.clear();
    this.#tell(command);
    await Promise.all([other.does('CALL_REMOTE_SDP'), this.does('CALL_REMOTE_SDP')]);
  }

  hangUp() {
    this.#tell('hangup');
  }

  /** Calls another telephone, which rings. */
  async ring(other) {
    this.dial(other);
    await other.does('CALL_INCOMING');
  }

  /** Calls another telephone, which answers. */
  async call(other) {
    await this.ring(other);
    other.answer();
    await Promise.all([this.does('CALL_ESTABLISHED'), other.does('CALL_ESTABLISHED')]);
  }

  async end(other) {
    this.hangUp();
    await Promise.all([this.does('CALL_CLOSED'), other.does('CALL_CLOSED')]);
  }

  async close() {
    this.socket?.destroy();
    await super.close();
  }
}
