// A player is one client in one session. Its words are the same for all clients;
// each client answers them through its own interface, so that what is tested is
// what that client sends and understands. Runs in Node and in pages.
//
// Stanzas pass as trees: { name, attrs, children }, where a child is a tree or text.

export const NS = {
  client: 'jabber:client',
  roster: 'jabber:iq:roster',
  register: 'jabber:iq:register',
  private: 'jabber:iq:private',
  bookmarks: 'storage:bookmarks',
  version: 'jabber:iq:version',
  last: 'jabber:iq:last',
  info: 'http://jabber.org/protocol/disco#info',
  states: 'http://jabber.org/protocol/chatstates',
  ping: 'urn:xmpp:ping',
  time: 'urn:xmpp:time',
  delay: 'urn:xmpp:delay',
  composed: 'urn:deskline:presence:1',
  receipts: 'urn:xmpp:receipts',
  search: 'jabber:iq:search',
  form: 'jabber:x:data',
  vcard: 'vcard-temp',
};

/** A tree, in short: el('query', { xmlns }, child, …). */
export function el(name, attrs = {}, ...children) {
  return { name, attrs, children: children.flat().filter((c) => c || c === '') };
}

/** The first child with that name and, if given, namespace. */
export function child(tree, name, xmlns) {
  return tree?.children.find((c) => c.name === name && (xmlns === undefined || c.attrs.xmlns === xmlns));
}

export function children(tree, name) {
  return tree?.children.filter((c) => c.name === name) ?? [];
}

export function text(tree) {
  return tree?.children.filter((c) => typeof c === 'string').join('');
}

/** A DOM element as a tree; every element carries its xmlns. */
export function fromDOM(node) {
  const attrs = {};
  for (const { name, value } of Array.from(node.attributes)) {
    if (!name.startsWith('xmlns')) attrs[name] = value;
  }
  attrs.xmlns = node.getAttribute('xmlns') ?? node.namespaceURI;
  const kids = Array.from(node.childNodes)
    .filter((c) => c.nodeType === 1 || c.nodeType === 3)
    .map((c) => (c.nodeType === 1 ? fromDOM(c) : c.nodeValue));
  return { name: node.localName ?? node.nodeName, attrs, children: kids };
}

/** What a refused request is thrown as. */
export class StanzaError extends Error {
  constructor(condition, type, what) {
    super(`${what ?? 'request'}: ${condition} (${type})`);
    Object.assign(this, { condition, type });
  }

  static of(tree) {
    const error = child(tree, 'error');
    const condition = error?.children.find((c) => c.name && c.name !== 'text');
    return new StanzaError(condition?.name ?? 'undefined-condition', error?.attrs.type);
  }
}

/** A received stanza as an event for the inbox; undefined if it is none. */
export function describe(tree) {
  const { from, to, id, type } = tree.attrs;
  const error = type === 'error' ? StanzaError.of(tree).condition : undefined;
  switch (tree.name) {
    case 'message': {
      const delay = tree.children.find((c) => c.name === 'delay' && c.attrs.xmlns === NS.delay);
      const receipt = child(tree, 'received', NS.receipts);
      return {
        event: 'message', from, to, id, type: type ?? 'normal', error,
        body: text(child(tree, 'body')),
        state: tree.children.find((c) => c.attrs?.xmlns === NS.states)?.name,
        wantsReceipt: child(tree, 'request', NS.receipts) ? true : undefined,
        receipt: receipt?.attrs.id,
        delay: delay?.attrs.stamp,
      };
    }
    case 'presence': {
      const composed = child(tree, 'composed', NS.composed);
      return {
        event: 'presence', from, to, id, type: type ?? 'available', error,
        show: text(child(tree, 'show')), status: text(child(tree, 'status')),
        state: composed?.attrs.state, since: composed?.attrs.since,
      };
    }
    case 'iq': {
      const query = child(tree, 'query', NS.roster);
      if (type === 'set' && query) return { event: 'push', ver: query.attrs.ver, items: children(query, 'item').map(rosterItem) };
    }
  }
  return undefined;
}

function rosterItem(tree) {
  const { jid, name, subscription, ask } = tree.attrs;
  return { jid, name, subscription, ask, groups: children(tree, 'group').map(text).sort() };
}

/**
 * Player speaks with trees. A client supplies connect, send, request and
 * disconnect, and overrides the words it has an interface of its own for.
 */
export class Player {
  constructor(report) {
    this.report = (event) => event && report(JSON.parse(JSON.stringify(event)));
  }

  received(tree) {
    this.report(describe(tree));
  }

  online({ show, status, priority } = {}) {
    return this.send(el('presence', {},
      show && el('show', {}, show), status && el('status', {}, status), priority !== undefined && el('priority', {}, String(priority))));
  }

  offline(status) {
    return this.send(el('presence', { type: 'unavailable' }, status && el('status', {}, status)));
  }

  presence(to, type) {
    return this.send(el('presence', { to, type }));
  }

  say(to, body, { id, type = 'chat', wantsReceipt } = {}) {
    return this.send(el('message', { to, type, id }, el('body', {}, body),
      wantsReceipt && el('request', { xmlns: NS.receipts })));
  }

  state(to, state) {
    return this.send(el('message', { to, type: 'chat' }, el(state, { xmlns: NS.states })));
  }

  receipt(to, id) {
    return this.send(el('message', { to, type: 'chat' }, el('received', { xmlns: NS.receipts, id })));
  }

  async query(type, to, payload) {
    const reply = await this.request(el('iq', { type, ...(to && { to }) }, payload));
    if (reply.attrs.type === 'error') throw StanzaError.of(reply);
    return reply;
  }

  async roster() {
    const reply = await this.query('get', undefined, el('query', { xmlns: NS.roster }));
    const query = child(reply, 'query');
    return { ver: query.attrs.ver, items: children(query, 'item').map(rosterItem).sort((a, b) => (a.jid < b.jid ? -1 : 1)) };
  }

  async setContact({ jid, name, groups = [] }) {
    await this.query('set', undefined, el('query', { xmlns: NS.roster },
      el('item', { jid, ...(name && { name }) }, groups.map((g) => el('group', {}, g)))));
  }

  async removeContact(jid) {
    await this.query('set', undefined, el('query', { xmlns: NS.roster }, el('item', { jid, subscription: 'remove' })));
  }

  async ping(to) {
    await this.query('get', to, el('ping', { xmlns: NS.ping }));
  }

  async disco(to) {
    const query = child(await this.query('get', to, el('query', { xmlns: NS.info })), 'query');
    return {
      identities: children(query, 'identity').map(({ attrs: { category, type, name } }) => ({ category, type, name })),
      features: children(query, 'feature').map((f) => f.attrs.var).sort(),
    };
  }

  async version(to) {
    const query = child(await this.query('get', to, el('query', { xmlns: NS.version })), 'query');
    return { name: text(child(query, 'name')), version: text(child(query, 'version')) };
  }

  async time(to) {
    const reply = child(await this.query('get', to, el('time', { xmlns: NS.time })), 'time');
    return { tzo: text(child(reply, 'tzo')), utc: text(child(reply, 'utc')) };
  }

  async last(to) {
    const query = child(await this.query('get', to, el('query', { xmlns: NS.last })), 'query');
    return { seconds: Number(query.attrs.seconds), status: text(query) };
  }

  async vcard(to) {
    const card = child(await this.query('get', to, el('vCard', { xmlns: NS.vcard })), 'vCard');
    return { fullName: text(child(card, 'FN')), nickname: text(child(card, 'NICKNAME')) };
  }

  async setVCard({ fullName, nickname }) {
    await this.query('set', undefined, el('vCard', { xmlns: NS.vcard }, el('FN', {}, fullName), el('NICKNAME', {}, nickname)));
  }

  /** The fields that can be searched, of a form and without. */
  async searchFields(to) {
    const query = child(await this.query('get', to, el('query', { xmlns: NS.search })), 'query');
    const form = child(query, 'x', NS.form);
    return {
      plain: query.children.map((c) => c.name).filter((name) => ['first', 'last', 'nick', 'email'].includes(name)).sort(),
      form: children(form, 'field').map((f) => f.attrs.var),
    };
  }

  /** What is found by text in a field of a form, as objects by the names of columns. */
  async search(to, field, typed) {
    const form = el('x', { xmlns: NS.form, type: 'submit' },
      el('field', { var: 'FORM_TYPE', type: 'hidden' }, el('value', {}, NS.search)),
      el('field', { var: field }, el('value', {}, typed)));
    const query = child(await this.query('set', to, el('query', { xmlns: NS.search }, form)), 'query');
    return children(child(query, 'x', NS.form), 'item').map((item) =>
      Object.fromEntries(children(item, 'field').map((f) => [f.attrs.var, text(child(f, 'value')) ?? ''])));
  }

  /** The same without a form. */
  async searchPlain(to, field, typed) {
    const query = child(await this.query('set', to, el('query', { xmlns: NS.search }, el(field, {}, typed))), 'query');
    return children(query, 'item').map((item) => ({
      jid: item.attrs.jid, ...Object.fromEntries(item.children.filter((c) => c.name).map((c) => [c.name, text(c)])),
    }));
  }

  async bookmarks() {
    const query = child(await this.query('get', undefined, el('query', { xmlns: NS.private }, el('storage', { xmlns: NS.bookmarks }))), 'query');
    return children(child(query, 'storage'), 'conference').map(({ attrs: { jid, name } }) => ({ jid, name }));
  }

  async setBookmarks(rooms) {
    await this.query('set', undefined, el('query', { xmlns: NS.private },
      el('storage', { xmlns: NS.bookmarks }, rooms.map(({ jid, name }) => el('conference', { jid, name })))));
  }

  async changePassword(username, password) {
    await this.query('set', undefined, el('query', { xmlns: NS.register }, el('username', {}, username), el('password', {}, password)));
  }

  /** Any request, for what no client has an interface for. */
  async raw(tree) {
    return this.request(tree);
  }
}
