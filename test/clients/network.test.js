// Networks as they are: proxies that cut polls, send twice or answer in HTML, and pages of other origins.

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { befriend } from './lib/conversation.js';
import { Browser } from './lib/pages.js';
import { leaveAll, Peer } from './lib/peer.js';
import { Proxy } from './lib/proxy.js';
import { isDeskline, startServer } from './lib/server.js';
import { deferred, within } from './lib/wait.js';

let server;
let browser;

before(async () => {
  browser = await Browser.start({ hosts: ['MAP desk.test 127.0.0.1', 'MAP evil.test 127.0.0.1'] });
  browser.port = new URL(browser.origin).port;
  server = await startServer({ accounts: 40, config: { http: { cors_origins: [`http://desk.test:${browser.port}`] } } });
});

after(async () => {
  await browser?.close();
  await server?.close();
});

const CLIENTS = [['strophe', false], ['stanza', false], ['converse', true], ['strophe', true]];

/** alice behind a proxy with faults, bob without; both write until done and nothing may be lost, doubled or late. */
async function talkThrough(client, inPage, setFault, done) {
  const [aliceJid, bobJid] = server.accounts(2);
  const proxy = await Proxy.start(server.port);
  const alice = new Peer(server, client, { browser: inPage && browser });
  const bob = new Peer(server, 'xmppclient', { transport: 'ws' });
  try {
    await alice.login(aliceJid, { service: proxy.door });
    await bob.login(bobJid);
    await Promise.all([alice.become(), bob.become()]);
    await befriend(alice, bob); // Converse.js opens chats with contacts alone
    setFault(proxy);
    let sent = 0;
    const stop = deferred();
    const write = async () => {
      while (!done(proxy.counts)) {
        await Promise.all([alice.do('say', bob.full, `a ${sent}`), bob.do('say', alice.full, `b ${sent}`)]);
        sent++;
        await new Promise((resolve) => setTimeout(resolve, 250)); // the pace of the talk
      }
    };
    write().then(stop.resolve, stop.reject);
    await within(stop.promise, `the proxy has done its worst: ${JSON.stringify(proxy.counts)}`, 25_000);
    for (const [to, letter, from] of [[bob, 'a', alice], [alice, 'b', bob]]) {
      for (let i = 0; i < sent; i++) await to.takeMessage({ body: `${letter} ${i}`, from: from.full }, 20_000);
      await to.do('ping', server.domain); // anything that comes again has come by now
      const bodies = to.inbox.seen({ event: 'message' }).map((m) => m.body).filter((b) => b?.startsWith(letter));
      assert.deepEqual(bodies, Array.from({ length: sent }, (_, i) => `${letter} ${i}`), `${to.name}: each once and in order`);
    }
    return proxy.counts;
  } finally {
    proxy.cutAfter = 0;
    proxy.twice = false;
    await leaveAll([alice, bob]).finally(() => proxy.close());
  }
}

describe('proxies', { concurrency: 4 }, () => {
  for (const [client, inPage] of CLIENTS) {
    const name = `${client}${inPage ? ' in a page' : ''}`;

    test(`${name}: polls are cut after 2 s`, { timeout: 120_000 }, async () => {
      await talkThrough(client, inPage, (proxy) => (proxy.cutAfter = 2000), ({ cuts, requests }) => cuts >= 2 || requests > 60);
    });

    test(`${name}: a 504 page of HTML instead of the answer, once`, { timeout: 120_000 }, async () => {
      const { pages } = await talkThrough(client, inPage, (proxy) => (proxy.pages = 1), ({ pages: n }) => n >= 1);
      assert.equal(pages, 1);
    });

    test(`${name}: each request reaches the server twice`, { timeout: 120_000 }, async () => {
      const { doubled } = await talkThrough(client, inPage, (proxy) => (proxy.twice = true), ({ doubled: n }) => n >= 12);
      assert.ok(doubled >= 12);
    });
  }
});

/** One request, with the headers of the answer as they were sent. */
async function ask(method, path, headers, body) {
  const req = http.request(`${server.url}${path}`, { method, headers });
  const answer = deferred();
  req.on('response', answer.resolve).on('error', answer.reject).end(body);
  const res = await within(answer.promise, `${method} ${path}`);
  const chunks = [];
  for await (const chunk of res) chunks.push(chunk);
  const all = (name) => res.rawHeaders.filter((h, i) => i % 2 === 0 && h.toLowerCase() === name).length;
  return { status: res.statusCode, headers: res.headers, count: all, body: Buffer.concat(chunks).toString() };
}

const CREATE = (to) => `<body xmlns='http://jabber.org/protocol/httpbind' to='${to}' rid='1573741820' wait='1' hold='1' ver='1.6' xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh'/>`;
const STALE = "<body xmlns='http://jabber.org/protocol/httpbind' rid='1573741820' sid='nosuchsession'/>";

test('CORS headers come once each', async () => {
  const origin = `http://desk.test:${browser.port}`;
  const preflight = await ask('OPTIONS', '/http-bind', { Origin: origin, 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'content-type' });
  assert.ok(preflight.status === 200 || preflight.status === 204, `preflight: ${preflight.status}`);
  for (const header of ['access-control-allow-origin', 'access-control-allow-methods', 'access-control-allow-headers']) {
    assert.equal(preflight.count(header), 1, `${header} in the preflight's answer`);
  }
  assert.match(preflight.headers['access-control-allow-methods'], /POST/);
  assert.match(preflight.headers['access-control-allow-headers'], /content-type|\*/i);
  if (isDeskline) assert.ok(Number(preflight.headers['access-control-max-age']) > 0, 'the preflight may be cached');

  for (const [what, body] of [['a new session', CREATE(server.domain)], ['an unknown session', STALE], ['no XML', '<html>']]) {
    const answer = await ask('POST', '/http-bind', { Origin: origin, 'Content-Type': 'text/xml; charset=utf-8' }, body);
    assert.equal(answer.count('access-control-allow-origin'), 1, `Access-Control-Allow-Origin for ${what}`);
    assert.ok([origin, '*'].includes(answer.headers['access-control-allow-origin']));
    assert.equal(answer.count('content-type'), 1);
  }
});

test('a page of a listed origin may sign in, one of another may not', { skip: !isDeskline && 'Prosody allows all' }, async () => {
  const [good, bad] = server.accounts(2);
  const from = (host, transport) => {
    const there = Object.assign(Object.create(browser), { origin: browser.origin.replace('localhost', host) });
    return new Peer(server, 'strophe', { browser: there, transport }).load();
  };
  for (const transport of ['bosh', 'ws']) {
    const [listed, other] = await Promise.all([from('desk.test', transport), from('evil.test', transport)]);
    try {
      await listed.login(good);
      await listed.do('ping', server.domain);
      const login = other.login(bad);
      if (transport === 'ws') await assert.rejects(login, { status: 'CONNFAIL' });
      else {
        login.catch(() => {}); // Strophe.js tries again and again
        await other.page.hears(/blocked by CORS policy/);
      }
      assert.deepEqual(other.inbox.seen({ event: 'status', status: 'CONNECTED' }), []);
    } finally {
      await Promise.all([leaveAll([listed]), other.page.close()]);
    }
  }
});
