// A peer is a player with an inbox: one person's client, in Node or in a page.

import { createRequire } from 'node:module';
import WebSocket from 'ws';
import * as xmpp from '@xmpp/client';
import * as strophe from 'strophe.js';
import { XMLHttpRequest } from './xhr.js';
import { PASSWORD } from './server.js';
import { PagePlayer } from './pages.js';
import { stanzaPlayer } from './stanza.js';
import { strophePlayer } from './strophe.js';
import { Inbox, within } from './wait.js';
import { xmppClientPlayer } from './xmppclient.js';

// What the clients expect of a browser and Node lacks.
globalThis.XMLHttpRequest ??= XMLHttpRequest;
globalThis.WebSocket ??= WebSocket;

const stanza = createRequire(import.meta.url)('stanza');
const IN_NODE = { strophe: strophePlayer(strophe), stanza: stanzaPlayer(stanza), xmppclient: xmppClientPlayer(xmpp) };

strophe.Strophe.setLogLevel(strophe.Strophe.LogLevel.FATAL);

/** How many seconds a word may take. */
const WORD = 15_000;

export class Peer {
  /**
   * @param server the server to sign in to
   * @param client strophe, stanza, xmppclient or converse
   * @param options.transport bosh or ws
   * @param options.browser the browser for a client in a page; else in Node
   * @param options.secure over TLS
   */
  constructor(server, client, { transport = 'bosh', browser, secure = false } = {}) {
    Object.assign(this, { server, client, transport, browser, secure });
    this.name = `${client}/${transport}${secure ? 's' : ''}${browser ? '@page' : ''}`;
    this.inbox = new Inbox(this.name);
  }

  async load() {
    const report = (event) => this.inbox.add(event);
    if (this.browser) this.page = await PagePlayer.open(this.browser, this.client, report);
    else this.player = new IN_NODE[this.client](report);
    return this;
  }

  /** Signs in; the first presence is sent by become or, by Converse, at once. */
  async login(jid, options = {}) {
    if (!this.player && !this.page) await this.load();
    this.jid = jid;
    this.inbox.owner = `${jid} on ${this.name}`;
    this.full = await this.do('connect', { jid, password: PASSWORD, service: this.server.door(this.transport, this.secure), ...options });
    return this;
  }

  /** Asks the client to do one of its words. */
  async do(word, ...args) {
    try {
      return await within(this.page ? this.page.call(word, args) : Promise.resolve(this.player[word](...args)), `${this.name} ${word}`, WORD);
    } catch (err) {
      const heard = this.page?.console.slice(-20).join('\n');
      if (heard && !err.condition) err.message += `\nthe page said:\n${heard}`;
      throw err;
    }
  }

  get autoReceipts() {
    return this.client === 'stanza' || this.client === 'converse';
  }

  become(state) {
    return this.do('online', state);
  }

  take(pattern, ms) {
    return this.inbox.take(pattern, ms);
  }

  takeMessage(pattern, ms) {
    return this.take(kind('message', pattern), ms);
  }

  takePresence(pattern, ms) {
    return this.take(kind('presence', pattern), ms);
  }

  async leave() {
    try {
      if (this.page ? !this.page.page.isClosed() : this.player) await this.do('disconnect');
    } finally {
      await this.page?.close();
    }
  }
}

function kind(event, pattern) {
  return typeof pattern === 'function' ? (e) => e.event === event && pattern(e) : { event, ...pattern };
}

/** Leaves with all peers, also when one of them cannot. */
export async function leaveAll(peers) {
  const results = await Promise.allSettled(peers.map((peer) => peer.leave()));
  const failed = results.find((r) => r.status === 'rejected');
  if (failed) throw failed.reason;
}
