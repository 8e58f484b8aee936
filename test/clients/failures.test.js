// What goes wrong is told clearly, and clients come back by their own means.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Browser } from './lib/pages.js';
import { leaveAll, Peer } from './lib/peer.js';
import { isDeskline, PASSWORD, startServer } from './lib/server.js';
import { deferred, within } from './lib/wait.js';

let browser;

before(async () => {
  browser = await Browser.start();
});

after(async () => {
  await browser?.close();
});

describe('refusals', () => {
  let server;
  before(async () => {
    server = await startServer({ accounts: 20, config: { auth: { mechanisms: ['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'] } } });
  });
  after(() => server?.close());

  const SIGN_IN = [
    ['strophe', { transport: 'bosh' }, (e) => e.status === 'AUTHFAIL'],
    ['strophe', { transport: 'ws' }, (e) => e.status === 'AUTHFAIL'],
    ['stanza', { transport: 'bosh' }, (e) => e.status === 'AUTHFAIL'],
    ['xmppclient', { transport: 'ws' }, (e) => e.condition === 'not-authorized'],
    ['converse', { transport: 'bosh', page: true }, (e) => /incorrect/.test(e.message)],
  ];
  for (const [client, { transport, page }, expected] of SIGN_IN) {
    for (const [what, user, password] of [['a wrong password', undefined, 'wrong'], ['an unknown user', 'nobody-here', PASSWORD]]) {
      test(`${client} over ${transport}: ${what}`, async () => {
        const jid = user ? `${user}@${server.domain}` : server.accounts(1)[0];
        const peer = await new Peer(server, client, { transport, browser: page && browser }).load();
        try {
          await assert.rejects(peer.login(jid, { password, mechanism: page ? undefined : 'SCRAM-SHA-1' }), expected);
          if (client === 'strophe') await peer.take({ event: 'wire', data: /<failure[^>]*><not-authorized/ });
        } finally {
          await leaveAll([peer]);
        }
      });
    }
  }

  for (const mechanism of ['PLAIN', 'SCRAM-SHA-1', 'SCRAM-SHA-256', ...(isDeskline ? ['SCRAM-SHA-512'] : [])]) {
    test(`${mechanism} by each client that has it`, async () => {
      const peers = [new Peer(server, 'strophe'), new Peer(server, 'strophe', { transport: 'ws' })];
      if (mechanism !== 'SCRAM-SHA-512') peers.push(new Peer(server, 'stanza'));
      if (['PLAIN', 'SCRAM-SHA-1'].includes(mechanism)) peers.push(new Peer(server, 'xmppclient', { transport: 'ws' }));
      const [jid] = server.accounts(1);
      try {
        for (const peer of peers) {
          await peer.login(jid, { mechanism });
          await peer.do('ping', server.domain);
        }
      } finally {
        await leaveAll(peers);
      }
    });
  }

  test('a domain that is not served here', async () => {
    const peer = new Peer(server, 'strophe');
    await assert.rejects(peer.login('somebody@elsewhere.example'), (e) => /host-unknown/.test(e.condition));
  });

  test('a session that is gone: told so, and the next sign-in works', async () => {
    const [jid] = server.accounts(1);
    const peer = await new Peer(server, 'strophe').load();
    const service = server.door('bosh');
    peer.jid = jid;
    try {
      await peer.do('attach', { jid: `${jid}/old`, sid: 'no-such-session', rid: 4711, service });
      await peer.take({ event: 'status', status: 'DISCONNECTED' });
      peer.full = await peer.do('reconnect', { jid, password: PASSWORD });
      await peer.do('ping', server.domain);
    } finally {
      await leaveAll([peer]);
    }
  });

  test('the same resource signs in again: the older session is told why it ends', async () => {
    const [jid] = server.accounts(1);
    const [older, newer] = [new Peer(server, 'strophe'), new Peer(server, 'xmppclient', { transport: 'ws' })];
    try {
      await older.login(jid, { resource: 'desk' });
      await newer.login(jid, { resource: 'desk' });
      if (newer.full === older.full) {
        await older.take({ event: 'wire', data: /<conflict/ });
        await older.take({ event: 'status', status: 'DISCONNECTED' });
      }
      await newer.do('ping', server.domain);
    } finally {
      await leaveAll([older, newer]);
    }
  });
});

describe('restarts', { concurrency: 2 }, () => {
  for (const [how, signal] of [['a planned stop', 'stop'], ['kill -9', 'kill']]) {
    test(`${how}: what was stored is there, and clients come back`, { timeout: 120_000 }, async () => {
      const server = await startServer({ accounts: 8 });
      const [aliceJid, bobJid, carolJid, daveJid] = server.accounts(4);
      const alice = new Peer(server, 'xmppclient', { transport: 'ws' });
      const bob = new Peer(server, 'stanza');
      const carol = new Peer(server, 'converse', { browser });
      const dave = new Peer(server, 'strophe');
      const peers = [alice, bob, carol];
      try {
        await Promise.all([alice.login(aliceJid, { reconnect: true }), bob.login(bobJid, { reconnect: true }), carol.login(carolJid)]);
        await Promise.all([alice, bob, carol].map((p) => p.become()));
        await alice.do('setContact', { jid: bobJid, name: 'Bob', groups: ['Desk'] });
        await alice.do('presence', bobJid, 'subscribe');
        await bob.takePresence({ type: 'subscribe', from: aliceJid });
        await bob.do('presence', aliceJid, 'subscribed');
        await alice.takePresence({ type: 'subscribed', from: bobJid });
        await bob.do('setVCard', { fullName: 'Bob', nickname: 'b' });
        for (let i = 0; i < 10; i++) await alice.do('say', daveJid, `kept ${i}`);
        await alice.do('ping', server.domain); // answered: the server has taken them all
        const marks = peers.map((p) => p.inbox.all.length);

        await server[signal]();
        await server.start();

        const back = (peer, mark) => peer.take((e) => peer.inbox.all.indexOf(e) >= mark && e.event === 'status'
          && ['ONLINE', 'session:started', 'RECONNECTED', 'CONNECTED', 'RESTORED'].includes(e.status), 30_000);
        // Converse fails at a ping whose request is cut off, and goes on all the same.
        const answered = async (peer) => {
          for (const until = Date.now() + 30_000; ;) {
            try {
              return await peer.do('ping', server.domain);
            } catch (e) {
              if (Date.now() > until) throw e;
              await sleep(500);
            }
          }
        };
        const alive = async (peer, mark) => {
          // Over BOSH a client may not even notice, if its session outlived the restart.
          if (signal === 'kill' || peer.transport === 'ws') await back(peer, mark);
          else await Promise.race([back(peer, mark), answered(peer)]);
          await peer.do('ping', server.domain);
        };
        await Promise.all(peers.map((peer, i) => alive(peer, marks[i])));

        await dave.login(daveJid);
        peers.push(dave);
        await dave.become();
        for (let i = 0; i < 10; i++) await dave.takeMessage({ body: `kept ${i}` });
        await dave.do('ping', server.domain);
        assert.equal(dave.inbox.seen({ event: 'message' }).length, 10, 'each message once');
        assert.ok(dave.inbox.seen({ event: 'message' }).every((m) => m.delay), 'all with a delay stamp');
        const item = (await alice.do('roster')).items.find((i) => i.jid === bobJid);
        assert.deepEqual(item, { jid: bobJid, name: 'Bob', subscription: 'to', groups: ['Desk'], ask: undefined });
        assert.deepEqual(await alice.do('vcard', bobJid), { fullName: 'Bob', nickname: 'b' });
        await alice.do('say', carolJid, 'after the restart');
        await carol.takeMessage({ body: 'after the restart' });
      } finally {
        await leaveAll(peers).finally(() => server.close());
      }
    });
  }

  for (const [client, transport] of [['strophe', 'bosh'], ['xmppclient', 'ws']]) {
    test(`kill -9 while ${client} writes: what was answered for is kept, once and in order`, { timeout: 120_000 }, async () => {
      const server = await startServer({ accounts: 4 });
      const [aliceJid, bobJid] = server.accounts(2);
      const alice = new Peer(server, client, { transport });
      const bob = new Peer(server, 'stanza');
      try {
        await alice.login(aliceJid);
        let safe = 0;
        let written = 0;
        const enough = deferred();
        const write = async () => {
          for (;;) {
            for (let i = 0; i < 5; i++) await alice.do('say', bobJid, `kept ${written++}`);
            await alice.do('ping', server.domain); // answered in order: the five before are taken
            safe = written;
            if (safe >= 60) enough.resolve();
          }
        };
        write().catch(() => {}); // until the server is gone
        await within(enough.promise, 'sixty messages are taken');
        await server.kill();
        await alice.do('vanish');
        await server.start();
        await bob.login(bobJid);
        await bob.become();
        await bob.takeMessage({ body: `kept ${safe - 1}` });
        await bob.do('ping', server.domain);
        const bodies = bob.inbox.seen({ event: 'message' }).map((m) => m.body);
        assert.ok(bodies.length >= safe && bodies.length <= written, `${bodies.length} of ${written}, ${safe} of them answered for`);
        assert.deepEqual(bodies, Array.from(bodies, (_, i) => `kept ${i}`));
      } finally {
        alice.player = undefined; // nothing to leave
        await leaveAll([alice, bob]).finally(() => server.close());
      }
    });
  }
});
