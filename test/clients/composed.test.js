// Composed presence: what a telephone does is seen by unmodified clients, each in
// its own way, and the choice of Do Not Disturb stays.

import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { befriend } from './lib/conversation.js';
import { Browser } from './lib/pages.js';
import { leaveAll, Peer } from './lib/peer.js';
import { isDeskline, startServer } from './lib/server.js';
import { Inbox } from './lib/wait.js';

const TOKEN = '5f0d3a9c8e7b41d2a6f4c1e09b8d7a35'; // made up

describe('composed presence', { skip: !isDeskline && 'only Deskline has it' }, () => {
  let folder;
  let server;
  let browser;

  before(async () => {
    folder = await fs.mkdtemp(path.join(os.tmpdir(), 'deskline-token-'));
    const file = path.join(folder, 'token');
    await fs.writeFile(file, `${TOKEN}\n`, { mode: 0o600 });
    const lines = [1, 2, 3, 4, 5, 6].map((i) => `${2000 + i}=u${i}`);
    server = await startServer({ accounts: 20, config: { presence: { lines, http: { token_file: file } } } });
    browser = await Browser.start();
  });

  after(async () => {
    await browser?.close();
    await server?.close();
    await fs.rm(folder, { recursive: true, force: true });
  });

  /** Says what a line does, as a switch would. */
  async function tell(line, state) {
    const to = `http://127.0.0.1:${server.port}/presence/v1/lines/${line}`;
    const answer = await fetch(to, { method: 'PUT', headers: { authorization: `Bearer ${TOKEN}` }, body: JSON.stringify({ state }) });
    assert.equal(answer.status, 200, await answer.text());
  }

  const CLIENTS = [
    ['strophe', { transport: 'bosh' }],
    ['strophe', { transport: 'bosh', page: true }],
    ['stanza', { transport: 'ws' }],
    ['xmppclient', { transport: 'ws' }],
    ['converse', { transport: 'bosh', page: true }],
  ];
  CLIENTS.forEach(([client, { transport, page }], i) => {
    test(`${client} over ${transport}${page ? ', page' : ''}`, { timeout: 60_000 }, async () => {
      const line = 2001 + i;
      const alice = new Peer(server, 'strophe', { transport: 'bosh' });
      const bob = new Peer(server, client, { transport, browser: page && browser });
      try {
        await alice.login(`u${1 + i}@${server.domain}`);
        await bob.login(`u${11 + i}@${server.domain}`);
        await alice.become();
        await bob.become();
        await befriend(alice, bob);
        const sees = (what) => bob.takePresence({ from: alice.full, type: 'available', ...what });

        await tell(line, 'ringing');
        await tell(line, 'in-call');
        await sees({ show: 'dnd', status: 'On the phone' });
        await tell(line, 'idle');
        await bob.takePresence((e) => e.from === alice.full && e.type === 'available' && !e.show && !e.status);

        await alice.become({ show: 'dnd', status: 'Training' });
        await sees({ show: 'dnd', status: 'Training' });
        await tell(line, 'in-call');
        await tell(line, 'idle');
        await alice.become();
        await bob.takePresence((e) => e.from === alice.full && e.type === 'available' && !e.show && !e.status);
      } finally {
        await leaveAll([alice, bob]);
      }
    });
  });

  test('told by a feed over WebSocket', { timeout: 60_000 }, async () => {
    const feed = new WebSocket(`ws://127.0.0.1:${server.port}/presence/v1/lines`, { headers: { authorization: `Bearer ${TOKEN}` } });
    const answers = new Inbox('the feed');
    feed.on('message', (data) => answers.add(JSON.parse(data)));
    const alice = new Peer(server, 'strophe', { transport: 'bosh' });
    const bob = new Peer(server, 'strophe', { transport: 'bosh' });
    try {
      await once(feed, 'open');
      await alice.login(`u6@${server.domain}`);
      await bob.login(`u16@${server.domain}`);
      await alice.become();
      await bob.become();
      await befriend(alice, bob);
      feed.send(JSON.stringify({ line: '2006', state: 'in-call', seq: 2 }));
      await answers.take({ message: 1, taken: 1 });
      await bob.takePresence({ from: alice.full, state: 'on-the-phone', show: 'dnd' });
      feed.send(JSON.stringify([{ line: '2006', state: 'idle', seq: 1 }]));
      await answers.take({ message: 2, stale: 1, rows: { 0: { row: 1, line: '2006', seq: 1, known: { state: 'in-call', seq: 2 } } } });
      feed.send(JSON.stringify({ ask: 'lines' }));
      await answers.take({ message: 3, lines: (all) => all.some((l) => l.line === '2006' && l.state === 'in-call'), more: false });
      feed.send('{"line":"2006","state":"idle","seq":3}\n{"line":"2006","state":"talking"}');
      await answers.take({ message: 4, taken: 1, failed: 1 });
      await bob.takePresence({ from: alice.full, state: 'available' });
    } finally {
      feed.close();
      await leaveAll([alice, bob]);
    }
  });
});
