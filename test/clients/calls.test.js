// Real calls: telephones (baresip) call each other through Kamailio, which tells one of
// two nodes what they do; unmodified Strophe.js clients at both nodes see it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { closeAll, Redis, startCluster } from './lib/cluster.js';
import { befriend } from './lib/conversation.js';
import { leaveAll, Peer } from './lib/peer.js';
import { Proxy } from './lib/proxy.js';
import { isDeskline } from './lib/server.js';
import { Kamailio, Phone } from './lib/telephony.js';
import { until } from './lib/wait.js';

/** How long anything may take on a loaded machine. */
const LONG = 30_000;

/** A state that is told twice, as may be when nodes come and go, is no change. */
const changes = (states) => states.filter((state, i) => state !== states[i - 1]);

describe('calls', { skip: !isDeskline && 'only Deskline has it' }, () => {
  let redis;
  let kamailio;
  let nodes = [];
  let proxies = []; // of alice and dora, to go on at another node
  let phones = []; // of alice and dora
  let peers = [];
  let alice; // at the first node
  let dora; // at the second
  let contacts; // one at each

  before(async () => {
    [redis, kamailio] = await Promise.all([Redis.start(), Kamailio.start()]);
    phones = await Promise.all(['3001', '3002'].map((number) => Phone.start(kamailio, number)));
    nodes = await startCluster(redis, {
      accounts: 4,
      config: (host) => ({
        presence: { lines: ['3001=u1', '3002=u2'] },
        sip: {
          listen: `${host}:0`,
          transports: ['udp', 'tcp'],
          subscribe: [{ server: `sip:${kamailio.addr};transport=tcp`, event: 'dialog', lines: ['3001', '3002'], expires: '5m' }],
        },
      }),
    });
    proxies = await Promise.all(nodes.map((node) => Proxy.start(node.port, node.host)));
    peers = ['bosh', 'bosh', 'ws', 'bosh'].map((transport, i) => new Peer(nodes[i % 2], 'strophe', { transport }));
    [alice, dora, ...contacts] = peers;
    await Promise.all(peers.map((peer, i) => peer.login(`u${1 + i}@localhost`, i < 2 ? { service: proxies[i].door } : {})));
    await Promise.all(peers.map((peer) => peer.become()));
    for (const contact of contacts) {
      for (const who of [alice, dora]) await befriend(who, contact);
    }
    await subscriber();
  }, { timeout: 120_000 });

  after(async () => {
    await leaveAll(peers).catch(() => {}); // who was at the killed node cannot
    await closeAll(nodes, [redis, kamailio, ...phones, ...proxies]);
  });

  /** Waits until one node alone, if given this one, subscribes to both lines, and returns it. */
  async function subscriber(wanted) {
    let found;
    await until('one node subscribes', async () => {
      const living = nodes.filter((node) => node.child);
      const counts = await Promise.all(living.map((node) => node.metric('deskline_sip_subscriptions')));
      found = living[counts.indexOf(2)];
      return counts.reduce((a, b) => a + b) === 2 && found && (!wanted || found === wanted);
    }, LONG);
    return found;
  }

  /** Waits until all living nodes know what somebody's line does. */
  function known(who, state) {
    return until(`${who.jid}'s line is ${state} at all nodes`, async () => {
      const all = await Promise.all(nodes.filter((node) => node.child).map((node) => node.presence(who.jid)));
      return all.every(({ sources }) => sources.some((s) => s.source === 'sip' && s.state === state));
    }, LONG);
  }

  /** What a contact is told of somebody from now on, in short. */
  function watch(contact, who) {
    const from = contact.inbox.all.length;
    contact.inbox.clear();
    return () => contact.inbox.all.slice(from).filter((e) => e.event === 'presence' && e.from === who.full).map((e) => e.state ?? e.type);
  }

  const sees = (contact, who, state, more) => contact.takePresence({ from: who.full, type: 'available', state, ...more }, LONG);
  const onThePhone = { show: 'dnd', status: 'On the phone' };

  /** What is told of a call that rings, is answered, held, taken up again and hung up: each once, with the time. */
  async function wholeCall([caller, callee], [callerPhone, calleePhone]) {
    const told = contacts.map((contact) => [watch(contact, caller), watch(contact, callee)]);
    const began = Math.floor(Date.now() / 1000) * 1000;
    await callerPhone.ring(calleePhone);
    await known(callee, 'ringing');
    for (const contact of contacts) await sees(contact, caller, 'on-the-phone', onThePhone); // who calls is off hook
    calleePhone.answer();
    for (const contact of contacts) {
      const { since } = await sees(contact, callee, 'on-the-phone', onThePhone);
      assert.ok(Date.parse(since) >= began && Date.parse(since) <= Date.now(), `${since} is not since the call`);
    }
    await Promise.all([callerPhone, calleePhone].map((phone) => phone.does('CALL_ESTABLISHED')));
    await callerPhone.hold(calleePhone);
    await callerPhone.resume(calleePhone);
    await calleePhone.end(callerPhone);
    for (const contact of contacts) {
      for (const who of [caller, callee]) await sees(contact, who, 'available', { show: undefined, status: undefined });
    }
    for (const [i, both] of told.entries()) {
      for (const states of both) assert.deepEqual(states(), ['on-the-phone', 'available'], `the contact at n${i + 1} was told of each change once`);
    }
  }

  test('a call from one node to the other is seen at both', { timeout: 120_000 }, async () => {
    await wholeCall([dora, alice], [phones[1], phones[0]]);
    await wholeCall([alice, dora], phones);
  });

  test('Do Not Disturb that was chosen stays through a call', { timeout: 60_000 }, async () => {
    const told = contacts.map((contact) => watch(contact, alice));
    await alice.become({ show: 'dnd', status: 'Training' });
    for (const contact of contacts) await sees(contact, alice, 'dnd', { show: 'dnd', status: 'Training' });
    await phones[1].call(phones[0]);
    await known(alice, 'in-call');
    for (const contact of contacts) await sees(contact, dora, 'on-the-phone', onThePhone);
    await phones[0].end(phones[1]);
    await known(alice, 'idle');
    for (const contact of contacts) await sees(contact, dora, 'available');
    await alice.become();
    for (const contact of contacts) await sees(contact, alice, 'available', { show: undefined, status: undefined });
    for (const states of told) assert.deepEqual(states(), ['dnd', 'available']);
  });

  test('ringing, answered and hung up in a burst', { timeout: 60_000 }, async (t) => {
    const told = contacts.map((contact) => watch(contact, alice));
    const began = performance.now();
    await phones[1].call(phones[0]);
    await phones[0].end(phones[1]);
    t.diagnostic(`the call took ${Math.round(performance.now() - began)} ms`);
    await known(alice, 'idle');
    await alice.become({ show: 'away' }); // what comes behind the burst
    for (const contact of contacts) await sees(contact, alice, 'away');
    for (const states of told) assert.ok(['away', 'on-the-phone,available,away'].includes(states().join()), `no flicker: ${states()}`);
    await alice.become();
    for (const contact of contacts) await sees(contact, alice, 'available');
  });

  describe('the node that subscribes is killed', () => {
    let node; // that is killed
    let other;
    let user; // signed in at it, on the phone
    let contact; // at the other

    before(async () => {
      node = await subscriber();
      const i = nodes.indexOf(node);
      [other, user, contact] = [nodes[1 - i], peers[i], contacts[1 - i]];
      contacts[i].player.vanish();
      contacts[i].player = undefined;
      // From now on the client finds the node that is left, as through a balancer.
      kill = async () => {
        await node.kill();
        Object.assign(proxies[i], { host: other.host, target: other.port });
      };
    });

    let kill;

    test('in a call, which ends later', { timeout: 120_000 }, async (t) => {
      const told = watch(contact, user);
      await phones[1].call(phones[0]);
      await sees(contact, user, 'on-the-phone', onThePhone);
      const killed = performance.now();
      await kill();
      await subscriber(other);
      t.diagnostic(`the other node subscribes after ${Math.round(performance.now() - killed)} ms`);
      // Strophe.js repeats what failed after 1, 8 and 27 s.
      await until('the session goes on', () => user.player.ping('localhost').then(() => true, () => false), 60_000);
      assert.deepEqual(changes(told()), ['on-the-phone'], 'the contact sees no change');
      const hungUp = performance.now();
      await phones[0].end(phones[1]);
      await sees(contact, user, 'available', { show: undefined, status: undefined });
      t.diagnostic(`free ${Math.round(performance.now() - hungUp)} ms after hanging up`);
      assert.deepEqual(changes(told()), ['on-the-phone', 'available']);
    });

    test('in a call, which ends while nobody hears', { timeout: 120_000 }, async (t) => {
      await node.start();
      await subscriber(node);
      const told = watch(contact, user);
      await phones[1].call(phones[0]);
      await sees(contact, user, 'on-the-phone', onThePhone);
      await kill();
      const hungUp = performance.now();
      await phones[0].end(phones[1]);
      await sees(contact, user, 'available', { show: undefined, status: undefined });
      t.diagnostic(`free ${Math.round(performance.now() - hungUp)} ms after hanging up`);
      assert.deepEqual(changes(told()), ['on-the-phone', 'available']);
    });
  });
});
