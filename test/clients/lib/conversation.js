// What two people do, whatever their clients: each function is one chapter.

import assert from 'node:assert/strict';
import { NS } from './player.js';
import { isDeskline, PASSWORD } from './server.js';

/** Bodies that break clients and servers which escape or count wrongly. */
export const BODIES = [
  'Hello!',
  'Grüße aus Köln — 東京 😀 👩‍👩‍👧 ‏שלום‎ e\u0301',
  '<b>bold</b> &amp; "quotes" \'single\' <![CDATA[no]]> </body>',
  'line one\nline two\n\ttabbed',
  ' leading and trailing ',
  'x'.repeat(5000),
];

/** Makes bob and alice contacts of each other and takes what that sends them. */
export async function befriend(alice, bob) {
  await alice.do('setContact', { jid: bob.jid, name: 'Bob', groups: ['Desk'] });
  await alice.do('presence', bob.jid, 'subscribe');
  await bob.takePresence({ type: 'subscribe', from: alice.jid });
  await bob.do('presence', alice.jid, 'subscribed');
  await alice.takePresence({ type: 'subscribed', from: bob.jid });
  await alice.takePresence({ type: 'available', from: bob.full });
  await bob.do('presence', alice.jid, 'subscribe');
  await alice.takePresence({ type: 'subscribe', from: bob.jid });
  await alice.do('presence', bob.jid, 'subscribed');
  await bob.takePresence({ type: 'subscribed', from: alice.jid });
  await bob.takePresence({ type: 'available', from: alice.full });
  const item = (peer, jid) => peer.do('roster').then((r) => r.items.find((i) => i.jid === jid));
  assert.deepEqual(await item(alice, bob.jid), { jid: bob.jid, name: 'Bob', subscription: 'both', groups: ['Desk'], ask: undefined });
  assert.equal((await item(bob, alice.jid)).subscription, 'both');
}

export async function presence(alice, bob) {
  for (const [who, sees] of [[alice, bob], [bob, alice]]) {
    await who.become({ show: 'away' });
    await sees.takePresence({ type: 'available', from: who.full, show: 'away' });
    await who.become({ show: 'dnd', status: 'In a “meeting” & busy <1h' });
    await sees.takePresence({ type: 'available', from: who.full, show: 'dnd', status: 'In a “meeting” & busy <1h' });
    await who.become();
    await sees.takePresence((e) => e.from === who.full && e.type === 'available' && !e.show && !e.status);
  }
}

export async function chat(alice, bob) {
  for (const [from, to] of [[alice, bob], [bob, alice]]) {
    for (const body of BODIES) await from.do('say', to.full, body);
    for (const body of BODIES) {
      const next = await to.takeMessage((e) => e.body !== undefined && e.from === from.full);
      assert.equal(next.body, body, `${to.inbox.owner} got the bodies in order`);
      assert.equal(next.type, 'chat');
    }
  }
  const burst = 20;
  const got = async (from, to) => {
    const bodies = [];
    while (bodies.length < burst) bodies.push((await to.takeMessage((e) => e.body !== undefined && e.from === from.full)).body);
    return bodies;
  };
  const sent = (letter) => Array.from({ length: burst }, (_, i) => `${letter} ${i}`);
  for (const [from, to, letter] of [[alice, bob, 'c'], [bob, alice, 'd']]) {
    for (const body of sent(letter)) await from.do('say', to.jid, body);
    assert.deepEqual(await got(from, to), sent(letter));
  }
  // In both directions at once. Over BOSH these clients have two requests open then, and
  // take the answers as the network brings them and not by their rids (XEP-0124 §14.2).
  for (let i = 0; i < burst; i++) {
    await Promise.all([alice.do('say', bob.jid, `a ${i}`), bob.do('say', alice.jid, `b ${i}`)]);
  }
  for (const [to, from, letter] of [[bob, alice, 'a'], [alice, bob, 'b']]) {
    const bodies = await got(from, to);
    if (to.transport === 'bosh') assert.deepEqual(bodies.sort(), sent(letter).sort());
    else assert.deepEqual(bodies, sent(letter));
  }
}

export async function notifications(alice, bob) {
  for (const [from, to] of [[alice, bob], [bob, alice]]) {
    for (const state of ['composing', 'paused', 'active']) {
      await from.do('state', to.full, state);
      await to.takeMessage({ state, from: from.full });
    }
    const id = (await from.do('say', to.full, 'Did this arrive?', { id: `r-${from.client}-${from.jid}`, wantsReceipt: true })) ?? `r-${from.client}-${from.jid}`;
    await to.takeMessage({ body: 'Did this arrive?', wantsReceipt: true, id });
    if (!to.autoReceipts) await to.do('receipt', from.full, id);
    await from.takeMessage({ receipt: id, from: to.full });
  }
}

export async function queries(alice, bob) {
  const { domain } = alice.server;
  for (const me of [alice, bob]) {
    const server = await me.do('disco', domain);
    assert.ok(server.identities.some((i) => i.category === 'server' && i.type === 'im'), 'the server says what it is');
    for (const feature of [NS.info, NS.ping, NS.version]) assert.ok(server.features.includes(feature), `the server names ${feature}`);
    const account = await me.do('disco', me.jid);
    assert.ok(account.identities.some((i) => i.category === 'account' && i.type === 'registered'), 'the account says what it is');
    assert.ok(account.features.includes(NS.vcard), 'the account has a vCard');
    await me.do('ping', domain);
    const { name, version } = await me.do('version', domain);
    assert.ok(name && version, 'the server has a name and a version');
    const { utc } = await me.do('time', domain);
    assert.ok(Math.abs(Date.parse(utc) - Date.now()) < 5000, `the server's time is right: ${utc}`);
    assert.ok((await me.do('last', domain)).seconds >= 0, "the server's uptime");
  }
}

export async function storage(alice, bob) {
  const rooms = [{ jid: 'team@rooms.example', name: 'Team <A> & “B”' }];
  for (const me of [alice, bob]) {
    const card = { fullName: `Ms ${me.client} <O'Neil> & Söhne`, nickname: 'née 😀' };
    await me.do('setVCard', card);
    for (const who of [alice, bob]) assert.deepEqual(await who.do('vcard', me.jid), card);
    await me.do('setBookmarks', rooms);
    assert.deepEqual(await me.do('bookmarks'), rooms);
  }
}

/** A second session of the same account is kept up to date and hears what is for all. */
export async function secondSession(alice, other) {
  await other.login(alice.jid);
  await other.do('roster');
  await other.become();
  await alice.takePresence({ from: other.full, type: 'available' });
  const jid = `colleague@${alice.server.domain}`;
  await alice.do('setContact', { jid, name: 'Ä Colleague', groups: ['Two', 'One'] });
  const has = (subscription) => (e) => e.event === 'push' && e.items.length === 1 && e.items[0].jid === jid && e.items[0].subscription === subscription;
  const push = await other.take(has('none'));
  assert.deepEqual(push.items[0], { jid, name: 'Ä Colleague', subscription: 'none', groups: ['One', 'Two'] });
  await alice.take(has('none'));
  await other.do('removeContact', jid);
  await alice.take(has('remove'));
  assert.ok(!(await alice.do('roster')).items.some((i) => i.jid === jid));
  await other.leave();
  await alice.takePresence({ from: other.full, type: 'unavailable' });
}

/** bob leaves, alice writes, a new session of bob gets it. */
export async function offline(alice, bob, back) {
  await bob.leave();
  await alice.takePresence({ from: bob.full, type: 'unavailable' });
  const before = Date.now();
  for (const body of ['while you were out', BODIES[1], BODIES[2]]) await alice.do('say', bob.jid, body);
  await alice.do('ping', alice.server.domain); // the server is past them
  const { seconds } = await alice.do('last', bob.jid);
  assert.ok(seconds >= 0 && seconds < 60, `bob was last seen ${seconds} s ago`);
  await back.login(bob.jid);
  await back.do('roster');
  await back.become();
  for (const body of ['while you were out', BODIES[1], BODIES[2]]) {
    const { delay } = await back.takeMessage({ body, from: alice.full });
    const stamp = Date.parse(delay);
    assert.ok(stamp >= before - 5000 && stamp <= Date.now() + 5000, `a delay stamp: ${delay}`);
  }
  await alice.takePresence({ from: back.full, type: 'available' });
}

/** The end of a contact: both sides know, and presence stops. */
export async function part(alice, bob) {
  await alice.do('removeContact', bob.jid);
  await bob.takePresence({ from: alice.jid, type: 'unsubscribe' });
  await bob.takePresence({ from: alice.jid, type: 'unsubscribed' });
  await bob.takePresence({ from: alice.full, type: 'unavailable' });
  if (isDeskline) await alice.takePresence({ from: bob.full, type: 'unavailable' }); // RFC 6121 §3.3.3; Prosody does not
  const left = (await bob.do('roster')).items.find((i) => i.jid === alice.jid);
  assert.equal(left?.subscription ?? 'none', 'none'); // Converse.js removes such a contact by itself
  assert.deepEqual((await alice.do('roster')).items, []);
}

/** alice changes her password; only the new one opens the door. */
export async function changePassword(alice, again) {
  // @xmpp/client has only PLAIN in pages, and there sends what is not ASCII as Latin-1.
  const fresh = alice.client === 'xmppclient' ? `${PASSWORD} new` : `${PASSWORD} ñew ß`;
  await alice.do('changePassword', alice.jid.split('@')[0], fresh);
  await again.load();
  await assert.rejects(again.login(alice.jid), (err) => err.status === 'AUTHFAIL' || err.condition === 'not-authorized' || err.status === 'DISCONNECTED');
  await again.page?.reload();
  await again.login(alice.jid, { password: fresh });
  await again.do('ping', alice.server.domain);
}
