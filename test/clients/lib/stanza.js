// Stanza (stanza.io) as a player: it speaks objects, not XML, so every word goes
// through its own schema. Over BOSH or WebSocket.

import { Player, StanzaError } from './player.js';

const MECHANISMS = ['OAUTHBEARER', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'];

function defined(object) {
  return Object.fromEntries(Object.entries(object).filter(([, v]) => v !== undefined));
}

function rosterItem({ jid, name, subscription, pending, groups = [] }) {
  return { jid, name, subscription, ask: pending, groups: [...groups].sort() };
}

async function asked(promise) {
  try {
    return await promise;
  } catch (reply) {
    if (!reply.error) throw reply;
    throw new StanzaError(reply.error.condition, reply.error.type);
  }
}

export function stanzaPlayer({ createClient }) {
  const columns = (item) => Object.fromEntries(item.fields.map((f) => [f.name, String(f.value ?? '')]));

  return class StanzaPlayer extends Player {
    autoReceipts = true;

    /** Without a service it has to find one for the transport that discover names, bosh or ws. */
    connect({ jid, password, service, discover, mechanism, resource, reconnect = false }) {
      const bosh = discover ? discover === 'bosh' : service.startsWith('http');
      const client = createClient({
        jid, resource, autoReconnect: reconnect,
        ...(mechanism === 'OAUTHBEARER' ? { credentials: { token: password, authzid: jid } } : { password }),
        transports: { bosh: bosh && (service ?? true), websocket: !bosh && (service ?? true) },
      });
      this.client = client;
      for (const name of mechanism ? MECHANISMS : []) {
        if (name !== mechanism) client.sasl.disable(name);
      }
      this.#listen();
      return new Promise((resolve, reject) => {
        client.once('session:started', () => resolve(client.jid));
        client.once('auth:failed', () => reject(Object.assign(new Error('auth:failed'), { status: 'AUTHFAIL' })));
        client.once('disconnected', () => reject(Object.assign(new Error('disconnected'), { status: 'DISCONNECTED' })));
        client.connect();
      });
    }

    #listen() {
      const { client } = this;
      for (const name of ['connected', 'session:started', 'auth:failed', 'disconnected', 'bosh:terminate', 'stream:error']) {
        client.on(name, (detail) => this.report({ event: 'status', status: name, condition: detail?.condition }));
      }
      client.on('raw:incoming', (data) => this.report(/<(?:stream:error|failure|error)\b/.test(data) ? { event: 'wire', data } : undefined));
      client.on('message', (m) => this.report({
        event: 'message', from: m.from, to: m.to, id: m.id, type: m.type ?? 'normal', error: m.error?.condition, body: m.body,
        state: m.chatState, wantsReceipt: m.receipt?.type === 'request' ? true : undefined,
        receipt: m.receipt?.type === 'received' ? m.receipt.id : undefined, delay: m.delay?.timestamp?.toISOString(),
      }));
      client.on('presence', (p) => this.report({
        event: 'presence', from: p.from, to: p.to, id: p.id, type: p.type ?? 'available', show: p.show, status: p.status,
        error: p.error?.condition,
      }));
      client.on('roster:update', ({ roster }) => this.report({ event: 'push', ver: roster.version, items: roster.items.map(rosterItem) }));
    }

    /** The address it found for itself. */
    service() {
      const { transport } = this.client;
      return transport.url ?? transport.socket.url;
    }

    online({ show, status, priority } = {}) {
      this.client.sendPresence(defined({ show, status, priority }));
    }

    offline(status) {
      this.client.sendPresence(defined({ type: 'unavailable', status }));
    }

    presence(to, type) {
      this.client.sendPresence({ to, type });
    }

    say(to, body, { id, type = 'chat', wantsReceipt } = {}) {
      return this.client.sendMessage(defined({ to, body, id, type, receipt: wantsReceipt && { type: 'request' } }));
    }

    state(to, state) {
      this.client.sendMessage({ to, type: 'chat', chatState: state });
    }

    receipt(to, id) {
      this.client.sendMessage({ to, type: 'chat', receipt: { type: 'received', id } });
    }

    async roster() {
      const { version, items } = await asked(this.client.getRoster());
      return { ver: version, items: items.map(rosterItem).sort((a, b) => (a.jid < b.jid ? -1 : 1)) };
    }

    setContact(item) {
      return asked(this.client.updateRosterItem(item));
    }

    async removeContact(jid) {
      await asked(this.client.removeRosterItem(jid));
    }

    ping(to) {
      return asked(this.client.ping(to));
    }

    async disco(to) {
      const { identities, features } = await asked(this.client.getDiscoInfo(to));
      return { identities, features: [...features].sort() };
    }

    version(to) {
      return asked(this.client.getSoftwareVersion(to));
    }

    async time(to) {
      const { tzo, utc } = await asked(this.client.getTime(to));
      return { tzo: String(tzo), utc: utc.toISOString() };
    }

    async last(to) {
      const { seconds, status } = await asked(this.client.getLastActivity(to));
      return { seconds, status };
    }

    async vcard(to) {
      const { fullName, records = [] } = await asked(this.client.getVCard(to));
      return { fullName, nickname: records.find((r) => r.type === 'nickname')?.value };
    }

    async setVCard({ fullName, nickname }) {
      await asked(this.client.publishVCard({ format: 'vcard-temp', fullName, records: [{ type: 'nickname', value: nickname }] }));
    }

    async searchFields(to) {
      const { search } = await asked(this.client.sendIQ({ type: 'get', to, search: {} }));
      return {
        plain: ['email', 'first', 'last', 'nick'].filter((name) => search[{ email: 'email', first: 'firstName', last: 'familyName', nick: 'nick' }[name]] !== undefined),
        form: search.form.fields.map((f) => f.name),
      };
    }

    async search(to, field, typed) {
      const { search } = await asked(this.client.sendIQ({
        type: 'set', to, search: { form: { type: 'submit', fields: [{ name: field, type: 'text-single', value: typed }] } },
      }));
      return (search.form.items ?? []).map(columns);
    }

    async bookmarks() {
      const { rooms = [] } = await asked(this.client.getPrivateData('bookmarks'));
      return rooms.map(({ jid, name }) => ({ jid, name }));
    }

    async setBookmarks(rooms) {
      await asked(this.client.setPrivateData('bookmarks', { rooms }));
    }

    async changePassword(username, password) {
      await asked(this.client.updateAccount(undefined, { username, password }));
    }

    disconnect() {
      if (!this.client?.transport) return undefined;
      // Stanzas in the last answers are too late for its own stream, which throws.
      this.client.transport.on('error', () => {});
      return new Promise((resolve) => {
        for (const end of ['disconnected', 'stream:end']) this.client.once(end, () => resolve());
        this.client.disconnect();
      });
    }
  };
}
