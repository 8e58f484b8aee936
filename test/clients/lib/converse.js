// Converse.js (headless) as a player in a page. It decides much by itself: the
// first presence, the roster, receipts. What people do goes through its models.

import { fromDOM, Player } from './player.js';
import { stropheBuild } from './strophe.js';

export function conversePlayer(converse) {
  const whole = new Promise((resolve) => {
    converse.plugins.add('deskline-test', {
      initialize() {
        resolve(this._converse);
      },
    });
  });

  return class ConversePlayer extends Player {
    autoReceipts = true;
    ownPresence = true;

    /** Starts Converse; without a password it must find its session by itself. */
    async connect({ jid, password, service, resource, discover = false, loglevel = 'fatal' }) {
      const bosh = service?.startsWith('http');
      const started = new Promise((resolve, reject) => {
        whole.then((_converse) => {
          this.c = _converse;
          const { api } = _converse;
          api.listen.on('connected', () => (this.#listen(), resolve()));
          api.listen.on('reconnected', () => (this.#listen(), this.report({ event: 'status', status: 'RECONNECTED' })));
          api.listen.on('will-reconnect', () => this.report({ event: 'status', status: 'WILL-RECONNECT' }));
          api.listen.on('disconnected', () => {
            const { connection_status: status, message } = _converse.state.connfeedback.attributes;
            this.report({ event: 'status', status: 'DISCONNECTED', condition: message });
            reject(Object.assign(new Error(`DISCONNECTED: ${message}`), { status: 'DISCONNECTED', code: status }));
          });
          api.listen.on('message', ({ attrs }) => this.report(attrs?.body && { event: 'shown', body: attrs.body, from: attrs.from }));
        });
      });
      const login = password ? { auto_login: true, jid: resource ? `${jid}/${resource}` : jid, password } : { auto_login: false };
      await converse.initialize({
        ...login,
        assets_path: '/dist/', authentication: 'login', discover_connection_methods: discover, keepalive: true, loglevel,
        ...(service && (bosh ? { bosh_service_url: service } : { websocket_url: service })),
        reuse_scram_keys: false, whitelisted_plugins: ['deskline-test'],
      });
      await started;
      return this.c.api.user.jid();
    }

    #listen() {
      const conn = this.c.api.connection.get();
      const { Strophe } = converse.env;
      for (const name of ['message', 'presence', 'iq']) {
        conn.addHandler((stanza) => (this.received(fromDOM(stanza)), true), name === 'iq' ? Strophe.NS.ROSTER : null, name);
      }
      this.report({ event: 'status', status: conn.restored ? 'RESTORED' : 'CONNECTED' });
    }

    /** The address it found for itself. */
    service() {
      return this.c.api.connection.get().service;
    }

    position() {
      const conn = this.c.api.connection.get();
      return { sid: conn._proto.sid, rid: conn._proto.rid, jid: conn.jid };
    }

    online({ show, status } = {}) {
      return this.c.api.user.presence.send({ show, status: status ?? '' });
    }

    offline(status) {
      return this.c.api.user.presence.send({ type: 'unavailable', status });
    }

    async say(to, body) {
      const chat = await this.c.api.chats.open(to.split('/')[0], {}, true);
      const message = await chat.sendMessage({ body });
      return message.get('msgid');
    }

    async state(to, state) {
      const chat = await this.c.api.chats.open(to.split('/')[0], {}, true);
      chat.setChatState(state);
    }

    /** The bodies of the chat as it would be shown. */
    async chat(with_) {
      const chat = await this.c.api.chats.open(with_.split('/')[0], {}, true);
      await chat.messages.fetched;
      return chat.messages.models.map((m) => m.get('body')).filter(Boolean);
    }

    /** A contact as it would be shown. */
    async contact(jid) {
      const contact = await this.c.api.contacts.get(jid);
      return contact && {
        show: contact.presence.getStatus?.() ?? contact.presence.get('show'), status: contact.get('status'),
        subscription: contact.get('subscription'), name: contact.get('nickname'), groups: contact.get('groups'),
      };
    }

    send(tree) {
      this.c.api.send(stropheBuild(converse.env, tree));
    }

    async request(tree) {
      return fromDOM(await this.c.api.sendIQ(stropheBuild(converse.env, tree), 8000, false));
    }

    async disconnect() {
      if (this.c?.api.connection.connected()) await this.c.api.user.logout();
    }
  };
}
