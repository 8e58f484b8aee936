// Strophe.js as a player, over BOSH or WebSocket.

import { el, fromDOM, Player } from './player.js';

const MECHANISMS = { PLAIN: 'SASLPlain', 'SCRAM-SHA-1': 'SASLSHA1', 'SCRAM-SHA-256': 'SASLSHA256', 'SCRAM-SHA-512': 'SASLSHA512', OAUTHBEARER: 'SASLOAuthBearer' };

export function stropheBuild(lib, tree) {
  const add = (builder, t) => {
    for (const c of t.children) {
      if (typeof c === 'string') builder.t(c);
      else add(builder.c(c.name, defined(c.attrs)), c).up();
    }
    return builder;
  };
  return add(lib.$build(tree.name, defined(tree.attrs)), tree).tree();
}

function defined(attrs) {
  return Object.fromEntries(Object.entries(attrs).filter(([, v]) => v !== undefined));
}

/** Makes the player class from the library, whichever build of it there is. */
export function strophePlayer(lib) {
  const { Strophe } = lib;
  const statusName = (n) => Object.keys(Strophe.Status).find((k) => Strophe.Status[k] === n);

  return class StrophePlayer extends Player {
    #open(service, options) {
      this.#stop();
      const conn = new Strophe.Connection(service, options);
      this.conn = conn;
      conn.rawInput = (data) => this.report(/<(?:stream:error|failure|error)\b/.test(data) ? { event: 'wire', data } : undefined);
      return conn;
    }

    /** A connection that was refused keeps its timer, and Node.js running. */
    #stop() {
      clearTimeout(this.conn?._idleTimeout);
    }

    #listen() {
      const { conn } = this;
      for (const name of ['message', 'presence']) {
        conn.addHandler((stanza) => (this.received(fromDOM(stanza)), true), null, name);
      }
      conn.addHandler((stanza) => {
        this.received(fromDOM(stanza));
        conn.send(stropheBuild(lib, el('iq', { type: 'result', id: stanza.getAttribute('id') })));
        return true;
      }, Strophe.NS.ROSTER, 'iq', 'set');
    }

    #follow(start) {
      return new Promise((resolve, reject) => {
        start((status, condition) => {
          const name = statusName(status);
          this.report({ event: 'status', status: name, condition: condition ?? undefined });
          if (name === 'CONNECTED' || name === 'ATTACHED') {
            this.#listen();
            resolve(this.conn.jid);
          }
          if (['CONNFAIL', 'AUTHFAIL', 'DISCONNECTED'].includes(name)) {
            reject(Object.assign(new Error(`${name} ${condition ?? ''}`), { condition, status: name }));
          }
        });
      });
    }

    connect({ jid, password, service, mechanism, resource, keepalive, wait }) {
      const conn = this.#open(service, {
        keepalive, ...(mechanism && { mechanisms: [Strophe[MECHANISMS[mechanism]]] }),
      });
      return this.#follow((cb) => conn.connect(resource ? `${jid}/${resource}` : jid, password, cb, wait));
    }

    /** Takes up the session another page load left behind. */
    restore({ jid, service }) {
      const conn = this.#open(service, { keepalive: true });
      return this.#follow((cb) => conn.restore(jid, cb));
    }

    attach({ jid, sid, rid, service }) {
      const conn = this.#open(service, { keepalive: true });
      return this.#follow((cb) => conn.attach(jid, sid, rid, cb));
    }

    /** Signs in again with the same connection object. */
    reconnect({ jid, password }) {
      this.conn.reset();
      return this.#follow((cb) => this.conn.connect(jid, password, cb));
    }

    /** Where the session stands, for attach. */
    position() {
      const { sid, rid } = this.conn._proto;
      return { sid, rid, jid: this.conn.jid };
    }

    /** Asks the server to wait that long without requests, XEP-0124 §12. */
    pauseSession(seconds) {
      const { _proto: bosh } = this.conn;
      const body = bosh._buildBody().attrs({ pause: String(seconds) }).tree();
      this.conn.pause();
      return new Promise((resolve) => {
        bosh._requests.push(new Strophe.Request(body, bosh._onRequestStateChange.bind(bosh, (req) => {
          this.conn._dataRecv(req);
          resolve();
        }), Number(body.getAttribute('rid'))));
        bosh._throttledRequestHandler();
      });
    }

    resumeSession() {
      this.conn.resume();
    }

    send(tree) {
      this.conn.send(stropheBuild(lib, tree));
    }

    request(tree) {
      return new Promise((resolve, reject) => {
        this.conn.sendIQ(stropheBuild(lib, tree), (reply) => resolve(fromDOM(reply)),
          (reply) => (reply ? resolve(fromDOM(reply)) : reject(new Error('no reply'))), 8000);
      });
    }

    disconnect() {
      if (!this.conn?.connected) return this.#stop();
      return new Promise((resolve) => {
        this.conn.connect_callback = (status) => {
          this.report({ event: 'status', status: statusName(status) });
          if (status === Strophe.Status.DISCONNECTED) resolve();
        };
        this.conn.disconnect('test over');
      });
    }

    /** Stops as a crash would: no more requests, no goodbye. */
    vanish() {
      this.#stop();
      this.conn.pause();
      this.conn._proto._abortAllRequests?.();
      this.conn._proto.socket?.close?.();
    }
  };
}
