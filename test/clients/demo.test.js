// What a newcomer meets: "deskline serve" in an empty folder, its page in a
// browser, and the people of the demo.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Browser } from './lib/pages.js';
import { leaveAll, Peer } from './lib/peer.js';
import { isDeskline, startDemo } from './lib/server.js';

describe('the demo node', { skip: !isDeskline && 'only Deskline has one' }, () => {
  let server;
  let browser;

  before(async () => {
    server = await startDemo();
    browser = await Browser.start({ pins: [await server.certificatePin()] });
  });

  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const PEOPLE = {
    'alice@localhost': ['Alice Archer', 'Agents'],
    'bob@localhost': ['Bob Baker', 'Agents'],
    'carol@localhost': ['Carol Clark', 'Supervisors'],
    'dave@localhost': ['Dave Dixon', 'Experts'],
  };

  const contactsOf = (jid) => Object.entries(PEOPLE).filter(([other]) => other !== jid)
    .map(([other, [name, group]]) => ({ jid: other, name, subscription: 'both', groups: [group], ask: undefined }));

  test('alice and bob sign in with the printed password, see each other and talk', async () => {
    const { password } = server;
    assert.match(password, /^\S{8,}$/);
    const alice = new Peer(server, 'strophe', { browser });
    const bob = new Peer(server, 'xmppclient', { transport: 'ws' });
    try {
      await alice.login('alice@localhost', { password });
      assert.deepEqual((await alice.do('roster')).items, contactsOf('alice@localhost'));
      await alice.become();
      await bob.login('bob@localhost', { password });
      assert.deepEqual((await bob.do('roster')).items, contactsOf('bob@localhost'));
      await bob.become({ show: 'away' });
      await alice.takePresence({ from: bob.full, show: 'away' });
      await bob.takePresence({ from: alice.full, type: 'available' });
      await alice.do('say', bob.full, 'Hello, Bob');
      await bob.takeMessage({ body: 'Hello, Bob' });
      await bob.leave();
      await alice.takePresence({ from: bob.full, type: 'unavailable' });
    } finally {
      await leaveAll([alice, bob]);
    }
  });

  /** The text of the page at a URL, which must not complain about anything. */
  async function read(page, url) {
    const complaints = [];
    page.on('console', (line) => complaints.push(line.text()));
    page.on('pageerror', (err) => complaints.push(err.message));
    const answer = await page.goto(url);
    assert.equal(answer.status(), 200);
    for (const details of await page.locator('details').all()) {
      if (await details.getAttribute('open') === null) await details.locator('summary').click();
    }
    assert.deepEqual(complaints.filter((line) => !/favicon/.test(line)), []);
    return page.locator('body').innerText();
  }

  for (const secure of [false, true]) {
    test(`the page over ${secure ? 'HTTPS' : 'HTTP'} says what runs here, and one can connect as it says`, async () => {
      const base = secure ? server.tlsUrl : server.url;
      const page = await browser.newPage();
      const peers = [];
      try {
        const text = await read(page, `${base}/`);
        for (const jid of Object.keys(PEOPLE)) assert.ok(text.includes(jid), `${jid} is named`);
        assert.ok(!text.includes(server.password), 'the password is not shown');
        assert.match(text, /What runs here/);
        const service = text.match(/new Strophe\.Connection\('([^']+)'\)/)[1];
        const websocket = text.match(/websocket_url: '([^']+)'/)[1];
        assert.equal(service, server.door('bosh', secure));
        assert.equal(websocket, server.door('ws', secure));
        for (const address of [service, websocket]) {
          const peer = new Peer(server, 'strophe', { browser });
          peers.push(peer);
          await peer.login('carol@localhost', { password: server.password, service: address });
          await peer.do('ping', server.domain);
        }
      } finally {
        await leaveAll(peers);
        await page.context().close();
      }
    });
  }

  test('the page about the certificate shows the fingerprint of the one in service', async () => {
    const page = await browser.newPage();
    try {
      const text = await read(page, `${server.tlsUrl}/certificate`);
      const { fingerprint256 } = await server.x509();
      assert.ok(text.replaceAll(/\s/g, '').includes(fingerprint256), fingerprint256);
    } finally {
      await page.context().close();
    }
  });

  test('after a restart the password is the same, and no account is made again', async () => {
    const { password } = server;
    await server.stop();
    await server.start();
    assert.equal(server.password, password);
    const dave = new Peer(server, 'stanza');
    try {
      await dave.login('dave@localhost', { password });
      assert.deepEqual((await dave.do('roster')).items, contactsOf('dave@localhost'));
    } finally {
      await leaveAll([dave]);
    }
  });
});
