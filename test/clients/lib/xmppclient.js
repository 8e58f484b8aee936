// @xmpp/client as a player, over WebSocket.

import { el, Player } from './player.js';

function build(xml, tree) {
  const attrs = Object.fromEntries(Object.entries(tree.attrs).filter(([, v]) => v !== undefined));
  return xml(tree.name, attrs, ...tree.children.map((c) => (typeof c === 'string' ? c : build(xml, c))));
}

function fromLtx(node) {
  return {
    name: node.getName(),
    attrs: { ...node.attrs, xmlns: node.getNS() },
    children: node.children.map((c) => (typeof c === 'string' ? c : fromLtx(c))),
  };
}

export function xmppClientPlayer({ client, xml }) {
  return class XmppClientPlayer extends Player {
    /** Without a service it has to find one. */
    connect({ jid, password, service = jid.split('@')[1], mechanism, resource, reconnect = false }) {
      const [username, domain] = jid.split('@');
      const credentials = mechanism ? (authenticate) => authenticate({ username, password }, mechanism) : undefined;
      const entity = client({ service, domain, resource, ...(credentials ? { credentials } : { username, password }) });
      this.entity = entity;
      if (!reconnect) entity.reconnect.stop();
      entity.on('error', (err) => this.report({ event: 'error', message: err.message, condition: err.condition }));
      entity.on('status', (status) => this.report({ event: 'status', status: status.toUpperCase() }));
      entity.on('stanza', (stanza) => {
        if (stanza.is('message') || stanza.is('presence')) this.received(fromLtx(stanza));
      });
      entity.iqCallee.set('jabber:iq:roster', 'query', ({ stanza }) => {
        this.received(fromLtx(stanza));
        return true;
      });
      return entity.start().then((address) => address.toString());
    }

    /** The address it found for itself. */
    service() {
      return this.entity.socket.url;
    }

    send(tree) {
      return this.entity.send(build(xml, tree));
    }

    async request(tree) {
      try {
        return fromLtx(await this.entity.iqCaller.request(build(xml, tree), 8000));
      } catch (err) {
        if (err.name !== 'StanzaError') throw err;
        return el('iq', { type: 'error' }, fromLtx(err.element));
      }
    }

    async disconnect() {
      this.entity?.reconnect.stop();
      if (this.entity?.status === 'online') await this.entity.stop();
    }

    vanish() {
      this.entity.reconnect.stop();
      this.entity.socket?.socket?.close();
    }
  };
}
