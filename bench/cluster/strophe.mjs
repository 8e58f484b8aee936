// Strophe.js sessions as the ledger's clients, unmodified. Standard input has an
// order a line, standard output an event, both JSON. The folder of the modules is
// the argument.

import { createRequire } from 'node:module';
import path from 'node:path';
import readline from 'node:readline';

const folder = path.resolve(process.argv[2]);
const { XMLHttpRequest } = await import(path.join(folder, 'lib/xhr.js'));
const { Strophe, $msg, $pres, $iq } = createRequire(path.join(folder, 'package.json'))('strophe.js');

/** How long a request may take before the page takes its connection for dead, in ms. */
const TIMEOUT = 4000;

const sessions = new Map(); // by number
const bySid = new Map();
const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const attr = (text, name) => new RegExp(`<body[^>]*\\s${name}=['"]([^'"]*)`).exec(text)?.[1];

/** The number of the request whose response is being read. */
let reading = 0;

/** Goes to the other door of a session when a request fails at the one it has. */
globalThis.XMLHttpRequest = class extends XMLHttpRequest {
  #timer;
  #handler = null;

  constructor() {
    super();
    Object.defineProperty(this, 'onreadystatechange', {
      get: () => () => this.#change(),
      set: (handler) => (this.#handler = handler),
    });
  }

  #change() {
    if (this.readyState === 4) {
      clearTimeout(this.#timer);
      reading = Number(this.rid);
      if (this.status === 0 || this.status >= 500) this.session?.leave(this.url, `status ${this.status}`);
    }
    this.#handler?.();
  }

  send(body) {
    this.rid = attr(body, 'rid');
    this.session = bySid.get(attr(body, 'sid'));
    if (this.session?.doors.length > 1) this.#timer = setTimeout(() => this.#late(), TIMEOUT);
    super.send(body);
  }

  #late() {
    super.abort();
    Object.assign(this, { readyState: 4, status: 0 });
    this.#change();
  }

  abort() {
    clearTimeout(this.#timer);
    super.abort();
  }
};

class Session {
  constructor({ id, jid, password, doors, wait, mate }) {
    Object.assign(this, { id, doors, mate });
    const conn = new Strophe.Connection(doors[0]);
    this.conn = conn;
    conn.connect(jid, password, (status, condition) => this.#status(status, condition), wait);
  }

  #status(status, condition) {
    const name = Object.keys(Strophe.Status).find((key) => Strophe.Status[key] === status);
    if (status === Strophe.Status.CONNECTED) this.#begin();
    if (['CONNFAIL', 'AUTHFAIL', 'DISCONNECTED', 'ERROR', 'CONNTIMEOUT'].includes(name)) tell({ event: 'end', id: this.id, text: `${name} ${condition ?? ''}` });
  }

  #begin() {
    const { conn, id } = this;
    bySid.set(conn._proto.sid, this);
    conn.addHandler((stanza) => {
      const text = stanza.getAttribute('type') === 'error' ? stanza.getAttribute('id') : stanza.textContent;
      tell({ event: 'message', id, rid: reading, text: `>${text}` });
      return true;
    }, null, 'message');
    conn.addHandler((stanza) => {
      tell({ event: 'away', id, text: stanza.getAttribute('from') });
      return true;
    }, null, 'presence', 'unavailable');
    conn.sendIQ($iq({ type: 'get' }).c('query', { xmlns: Strophe.NS.ROSTER }), () => {
      conn.send($pres());
      conn.send($pres({ to: this.mate }));
      tell({ event: 'open', id });
    });
  }

  leave(door, why) {
    if (this.doors.length < 2 || this.conn.service !== door) return;
    this.conn.service = this.doors.find((other) => other !== door);
    if (process.env.DEBUG) console.error(this.id, why, this.conn.service);
  }

  home() {
    this.conn.service = this.doors[0];
  }

  say(body) {
    this.conn.send($msg({ to: this.mate, type: 'chat', id: body }).c('body').t(body));
  }

  close() {
    this.conn.disconnect('the talk is over');
  }
}

Strophe.setLogLevel(Strophe.LogLevel.FATAL);
if (process.env.DEBUG) Strophe.log = (level, text) => level >= Strophe.LogLevel.WARN && console.error(new Date().toISOString(), text);

const lines = readline.createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const { order, ...args } = JSON.parse(line);
  if (order === 'open') sessions.set(args.id, new Session(args));
  else sessions.get(args.id)[order](args.text);
});
lines.on('close', () => process.exit());
