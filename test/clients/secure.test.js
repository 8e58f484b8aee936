// HTTPS with the certificate that the server has made for itself, on the port
// that also speaks HTTP; and clients that find the doors from the domain alone.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Browser } from './lib/pages.js';
import { leaveAll, Peer } from './lib/peer.js';
import { isDeskline, startServer } from './lib/server.js';
import { trust } from './lib/trust.js';

const DOMAIN = 'desk.example';

let server;
let browser;

before(async () => {
  server = await startServer({ accounts: 30, domain: DOMAIN });
  trust(await server.certificate());
  // The name leads to the server at the port that browsers take for HTTPS.
  browser = await Browser.start({
    pins: [await server.certificatePin()], hosts: [`MAP ${DOMAIN}:443 127.0.0.1:${server.tlsPort ?? server.port}`],
  });
});

after(async () => {
  await browser?.close();
  await server?.close();
});

const CLIENTS = [
  ['strophe', 'bosh', true],
  ['strophe', 'ws', true],
  ['converse', 'bosh', true],
  ['strophe', 'bosh', false],
  ['stanza', 'bosh', false],
  ['stanza', 'ws', false],
  ['xmppclient', 'ws', false],
];

describe('HTTPS', { concurrency: 3 }, () => {
  for (const [client, transport, inPage] of CLIENTS) {
    test(`${client} (${transport}${inPage ? ', page' : ''}) with one who came without`, { timeout: 90_000 }, async () => {
      const [aliceJid, bobJid] = server.accounts(2);
      const alice = new Peer(server, client, { transport, browser: inPage && browser, secure: true });
      const bob = new Peer(server, 'strophe');
      try {
        await Promise.all([alice.login(aliceJid), bob.login(bobJid)]);
        for (const who of [alice, bob]) {
          await who.do('roster');
          await who.become();
        }
        await alice.do('setContact', { jid: bobJid, name: 'Bob' });
        for (let i = 0; i < 3; i++) {
          await bob.do('say', alice.full, `over there ${i}`);
          await alice.takeMessage({ body: `over there ${i}`, from: bob.full });
          await alice.do('say', bob.full, `and back ${i}`);
          await bob.takeMessage({ body: `and back ${i}`, from: alice.full });
        }
      } finally {
        await leaveAll([alice, bob]);
      }
    });
  }

  test('a client that does not trust the certificate stays out', async () => {
    const stranger = await Browser.start({ hosts: [`MAP ${DOMAIN}:443 127.0.0.1:${server.tlsPort ?? server.port}`] });
    try {
      const page = await stranger.newPage();
      await assert.rejects(page.goto(`https://${DOMAIN}/`), /ERR_CERT_AUTHORITY_INVALID/);
    } finally {
      await stranger.close();
    }
  });
});

describe('discovery', { concurrency: 3, skip: !isDeskline && 'Prosody answers in neither form by itself' }, () => {
  const doors = { bosh: `https://${DOMAIN}/http-bind`, ws: `wss://${DOMAIN}/xmpp-websocket` };
  const FORMS = { XML: '**/host-meta', JSON: '**/host-meta.json' };
  const FINDERS = [
    ['stanza', 'bosh', 'XML'],
    ['stanza', 'bosh', 'JSON'],
    ['stanza', 'ws', 'XML'],
    ['stanza', 'ws', 'JSON'],
    ['xmppclient', 'ws', 'XML'],
    ['converse', 'ws', 'XML'],
  ];
  for (const [client, transport, form] of FINDERS) {
    test(`${client} finds ${transport} by host-meta in ${form}`, async () => {
      const [jid] = server.accounts(1);
      const peer = await new Peer(server, client, { transport, browser }).load();
      const other = Object.values(FORMS).find((glob) => glob !== FORMS[form]);
      let asked = 0;
      await peer.page.page.route(FORMS[form], (route) => (asked++, route.continue()));
      await peer.page.page.route(other, (route) => route.abort());
      try {
        await peer.login(jid, { service: undefined, discover: transport });
        assert.ok(asked > 0, `the client asked for ${form}`);
        assert.equal(await peer.do('service'), doors[transport]);
        await peer.do('ping', DOMAIN);
      } finally {
        await leaveAll([peer]);
      }
    });
  }
});
