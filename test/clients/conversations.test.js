// Every client talks with every other: over BOSH and WebSocket, in Node and in pages.

import { after, before, describe, test } from 'node:test';
import * as talk from './lib/conversation.js';
import { Browser } from './lib/pages.js';
import { leaveAll, Peer } from './lib/peer.js';
import { startServer } from './lib/server.js';

let server;
let browser;

before(async () => {
  server = await startServer({ accounts: 60 });
  browser = await Browser.start();
});

after(async () => {
  await browser?.close();
  await server?.close();
});

const page = { inPage: true };
const ws = { transport: 'ws' };

/** Who talks with whom: alice, bob. */
const PAIRS = [
  [['strophe', {}], ['stanza', {}]],
  [['stanza', {}], ['xmppclient', ws]],
  [['xmppclient', ws], ['strophe', ws]],
  [['stanza', ws], ['strophe', {}]],
  [['converse', page], ['strophe', page]],
  [['strophe', {}], ['converse', page]],
  [['stanza', page], ['converse', page]],
  [['xmppclient', { ...page, ...ws }], ['stanza', page]],
  [['converse', { ...page, ...ws }], ['xmppclient', ws]],
];

function peer([client, { inPage, transport }]) {
  return new Peer(server, client, { transport, browser: inPage && browser });
}

describe('conversations', { concurrency: 3 }, () => {
  for (const [one, two] of PAIRS) {
    const name = ([client, { transport = 'bosh', inPage }]) => `${client} (${transport}${inPage ? ', page' : ''})`;
    test(`${name(one)} and ${name(two)}`, { timeout: 120_000 }, async (t) => {
      const [aliceJid, bobJid] = server.accounts(2);
      const peers = [];
      const make = (spec) => {
        const p = peer(spec);
        peers.push(p);
        return p;
      };
      const alice = make(one);
      let bob = make(two);
      const chapter = async (title, fn) => {
        const started = performance.now();
        try {
          await fn();
        } catch (err) {
          err.message = `${title}: ${err.message}`;
          throw err;
        }
        t.diagnostic(`${title}: ${Math.round(performance.now() - started)} ms`);
      };
      try {
        await chapter('sign in', async () => {
          await Promise.all([alice.login(aliceJid), bob.login(bobJid)]);
          for (const who of [alice, bob]) {
            await who.do('roster');
            await who.become();
          }
        });
        await chapter('become contacts', () => talk.befriend(alice, bob));
        await chapter('presence', () => talk.presence(alice, bob));
        await chapter('chat', () => talk.chat(alice, bob));
        await chapter('notifications', () => talk.notifications(alice, bob));
        await chapter('queries', () => talk.queries(alice, bob));
        await chapter('storage', () => talk.storage(alice, bob));
        await chapter('second session', () => talk.secondSession(alice, make(two)));
        await chapter('offline', async () => {
          const back = make(two);
          await talk.offline(alice, bob, back);
          bob = back;
        });
        await chapter('part', () => talk.part(alice, bob));
        await chapter('password', () => talk.changePassword(alice, make(one)));
      } finally {
        await leaveAll(peers);
      }
    });
  }
});
