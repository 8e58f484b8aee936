// A page is loaded anew and goes on with its session; a client pauses; a client vanishes.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { befriend } from './lib/conversation.js';
import { Browser } from './lib/pages.js';
import { leaveAll, Peer } from './lib/peer.js';
import { startServer } from './lib/server.js';

let server;
let browser;

before(async () => {
  // The shortest inactivity there is, so that pauses are longer in a short test.
  server = await startServer({ accounts: 30, config: { bosh: { inactivity: '5s' } } });
  browser = await Browser.start();
});

after(async () => {
  await browser?.close();
  await server?.close();
});

async function pair(client, options) {
  const [aliceJid, bobJid] = server.accounts(2);
  const alice = new Peer(server, client, { browser });
  const bob = new Peer(server, 'xmppclient', { transport: 'ws' });
  await Promise.all([alice.login(aliceJid, options), bob.login(bobJid)]);
  for (const who of [alice, bob]) {
    await who.do('roster');
    await who.become();
  }
  await befriend(alice, bob); // Converse.js opens chats with contacts alone
  return [alice, bob];
}

const bodies = (peer, prefix) => peer.inbox.seen({ event: 'message' }).map((m) => m.body).filter((b) => b?.startsWith(prefix));
const numbered = (prefix, n) => Array.from({ length: n }, (_, i) => `${prefix} ${i}`);

/** Loads alice's page anew and does something while she is away. */
async function reload(alice, meanwhile) {
  const { page } = alice.page;
  let away;
  const isAway = new Promise((resolve) => (away = resolve));
  let goOn;
  const mayLoad = new Promise((resolve) => (goOn = resolve));
  await page.route('**/bundle/*', async (route) => {
    away(); // the old page is gone, the new one has no code yet
    await mayLoad;
    await route.continue();
  });
  const loaded = alice.page.reload();
  await isAway;
  // The browser cuts the old page's poll in its own time and tells nobody; what is answered till then is lost with the page.
  await new Promise((resolve) => setTimeout(resolve, 500));
  await meanwhile();
  goOn();
  await loaded;
  await page.unroute('**/bundle/*');
}

/** Takes the session up again as a user of the client would: without a password. */
async function restore(alice) {
  const service = server.door('bosh');
  if (alice.client === 'converse') await alice.do('connect', { service });
  else await alice.do('restore', { jid: alice.jid, service });
}

describe('reload', { concurrency: 4 }, () => {
  for (const client of ['strophe', 'converse']) {
    test(`${client}: reloaded while polling, with messages coming meanwhile`, { timeout: 120_000 }, async () => {
      const [alice, bob] = await pair(client, { keepalive: true });
      try {
        const { sid } = await alice.do('position');
        await bob.do('presence', alice.full); // directed presence: bob is told when alice's session ends
        let n = 0;
        for (let round = 0; round < 4; round++) {
          await bob.do('say', alice.full, `b ${n++}`);
          await alice.takeMessage({ body: `b ${n - 1}` });
          await reload(alice, async () => {
            for (let i = 0; i < 5; i++) await bob.do('say', alice.full, `b ${n++}`);
            await bob.do('ping', server.domain);
          });
          await restore(alice);
          for (let i = n - 5; i < n; i++) await alice.takeMessage({ body: `b ${i}` });
          await alice.do('say', bob.full, `a ${round}`);
          await bob.takeMessage({ body: `a ${round}`, from: alice.full });
          assert.equal((await alice.do('position')).sid, sid, 'the same session');
        }
        await alice.do('ping', server.domain);
        assert.deepEqual(bodies(alice, 'b '), numbered('b', n));
        assert.deepEqual(bodies(bob, 'a '), numbered('a', 4));
        if (client === 'converse') {
          // It sorts by milliseconds, and what came just before a reload it may not have saved.
          const latest = numbered('b', n).slice(-5);
          for (const body of latest) await alice.take({ event: 'shown', body });
          const shown = (await alice.do('chat', bob.jid)).filter((b) => b.startsWith('b '));
          assert.deepEqual(shown.filter((b) => latest.includes(b)).sort(), latest, 'as shown in the chat');
          assert.equal(new Set(shown).size, shown.length, `nothing is shown twice: ${shown}`);
        }
        assert.deepEqual(bob.inbox.seen({ event: 'presence', type: 'unavailable', from: alice.full }), [], 'nobody saw her leave');
      } finally {
        await leaveAll([alice, bob]);
      }
    });
  }

  test('strophe: reloaded while sending', { timeout: 120_000 }, async () => {
    const [alice, bob] = await pair('strophe', { keepalive: true });
    try {
      const { sid } = await alice.do('position');
      const rounds = 8;
      for (let round = 0; round < rounds; round++) {
        await alice.page.page.evaluate(([to, r]) => {
          for (let i = 0; i < 5; i++) {
            window.call('say', [to, `m ${r} ${i}`]);
          }
          window.player.conn.flush(); // the request is on its way when the page goes
          setTimeout(() => location.reload(), r);
        }, [bob.full, round]);
        await alice.page.page.waitForEvent('framenavigated');
        await alice.page.ready();
        await restore(alice);
        await alice.do('ping', server.domain);
        assert.equal((await alice.do('position')).sid, sid, 'the same session');
        await alice.do('say', bob.full, `end ${round}`);
        await bob.takeMessage({ body: `end ${round}` });
        const got = bodies(bob, `m ${round} `);
        // The browser may have dropped the request before it was on the wire; what came, came whole and once.
        if (got.length) assert.deepEqual(got, numbered(`m ${round}`, 5));
      }
      const all = bodies(bob, 'm ');
      assert.ok(all.length >= rounds, `most of what was sent arrived: ${all.length} of ${rounds * 5}`);
      assert.deepEqual(all, [...all].sort(), 'in order');
    } finally {
      await leaveAll([alice, bob]);
    }
  });
});

describe('pause and inactivity', { concurrency: 3 }, () => {
  test('strophe pauses for longer than the inactivity and goes on', { timeout: 90_000 }, async () => {
    const [alice, bob] = await pair('strophe');
    try {
      await bob.do('presence', alice.full);
      await alice.do('pauseSession', 20);
      await bob.do('say', alice.full, 'while paused');
      await new Promise((resolve) => setTimeout(resolve, 8000)); // the inactivity is 5 s
      assert.deepEqual(bodies(alice, 'while'), []);
      await alice.do('resumeSession');
      await alice.takeMessage({ body: 'while paused' });
      await alice.do('ping', server.domain);
      assert.deepEqual(bob.inbox.seen({ event: 'presence', type: 'unavailable', from: alice.full }), []);
    } finally {
      await leaveAll([alice, bob]);
    }
  });

  test('a client that vanishes is unavailable after the inactivity, and what it did not get is kept', { timeout: 90_000 }, async () => {
    const [aliceJid, bobJid] = server.accounts(2);
    const alice = new Peer(server, 'strophe');
    const bob = new Peer(server, 'xmppclient', { transport: 'ws' });
    const again = new Peer(server, 'stanza');
    try {
      await Promise.all([alice.login(aliceJid), bob.login(bobJid)]);
      await Promise.all([alice.become(), bob.become()]);
      await alice.do('presence', bobJid);
      await bob.takePresence({ from: alice.full, type: 'available' });
      await alice.do('vanish');
      await bob.do('say', aliceJid, 'are you there?');
      await bob.takePresence({ from: alice.full, type: 'unavailable' }, 15_000);
      await again.login(aliceJid);
      await again.become();
      await again.takeMessage({ body: 'are you there?', delay: /^\d{4}-/ });
    } finally {
      alice.player = undefined; // nothing to leave
      await leaveAll([bob, again]);
    }
  });
});
