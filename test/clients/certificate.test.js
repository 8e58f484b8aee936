// What a page can tell of a server whose certificate the browser does not trust,
// from pages that came by HTTP and by HTTPS; and the page that helps.

import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import esbuild from 'esbuild';
import { Browser } from './lib/pages.js';
import { isDeskline, startServer } from './lib/server.js';

const skip = !isDeskline && 'it is about Deskline';

let known;
let stranger;
let browser;
let module;
let closed; // a port where nobody listens
let silent; // one where nobody answers
const pages = {};

async function listen(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}

/** Serves an empty page and the module; a policy can be asked for. */
function serve(req, res) {
  const url = new URL(req.url, 'http://x');
  if (url.pathname === '/reach.js') {
    res.writeHead(200, { 'Content-Type': 'text/javascript' }).end(module);
    return;
  }
  const policy = url.searchParams.get('policy');
  res.writeHead(200, { 'Content-Type': 'text/html', ...(policy && { 'Content-Security-Policy': policy }) });
  res.end('<!doctype html><title>desk</title><script type="module">import * as m from "/reach.js"; window.m = m; document.title = "ready";</script><button>Chat</button>');
}

before(async () => {
  if (skip) return;
  const built = await esbuild.build({
    entryPoints: [path.resolve(import.meta.dirname, '../../web/resolver/src/reach.ts')], bundle: true, write: false, format: 'esm', target: 'chrome110',
  });
  module = built.outputFiles[0].contents;
  const http0 = http.createServer(serve);
  pages.plain = { server: http0, port: await listen(http0) };
  const config = { certs: { hosts: ['known.test', 'stranger.test', 'desk.test'] }, http: { cors_origins: ['https://*.desk.test', `http://desk.test:${pages.plain.port}`] } };
  known = await startServer({ config });
  stranger = await startServer({ config });
  const folder = path.join(known.dir, 'data', 'certs');
  const [cert, key] = await Promise.all(['self-signed.crt', 'self-signed.key'].map((name) => fs.readFile(path.join(folder, name))));
  const https0 = https.createServer({ cert, key }, serve);
  pages.secure = { server: https0, port: await listen(https0) };
  const gone = net.createServer();
  closed = await listen(gone);
  gone.close();
  silent = net.createServer((socket) => socket.on('error', () => {}));
  silent.port = await listen(silent);
  browser = await Browser.start({ pins: [await known.certificatePin()], hosts: ['MAP *.test 127.0.0.1'] });
});

after(async () => {
  await browser?.close();
  for (const { server } of Object.values(pages)) server.close();
  silent?.close();
  await Promise.all([known?.close(), stranger?.close()]);
});

const origin = (kind) => (kind === 'plain' ? `http://desk.test:${pages.plain.port}` : `https://desk.test:${pages.secure.port}`);

async function open(kind, policy = '') {
  const page = await browser.newPage();
  await page.goto(`${origin(kind)}/?policy=${encodeURIComponent(policy)}`);
  await page.waitForFunction(() => document.title === 'ready');
  return page;
}

describe('a page tells', { skip, concurrency: 2 }, () => {
  const CASES = [
    ['trusted', () => `https://known.test:${known.port}`, { plain: 'https', secure: 'https' }],
    ['untrusted', () => `https://stranger.test:${stranger.port}`, { plain: 'http', secure: 'relay' }],
    ['untrusted', () => `https://127.0.0.1:${stranger.port}`, { plain: 'http', secure: 'http' }],
    ['down', () => `https://stranger.test:${closed}`, { plain: 'http', secure: 'relay' }],
    ['down', () => `https://stranger.test:${silent.port}`, { plain: 'http', secure: 'relay' }],
  ];
  for (const kind of ['plain', 'secure']) {
    for (const [state, server, by] of CASES) {
      test(`${state} from a ${kind} page, by ${by[kind]}`, { timeout: 60_000 }, async () => {
        const page = await open(kind);
        const got = await page.evaluate((s) => window.m.reach(s, { timeout: 4000 }), server());
        assert.deepEqual(got, { state, by: by[kind], page: `${server()}/certificate` });
        await page.context().close();
      });
    }
  }

  test('that its own policy is in the way', { timeout: 60_000 }, async () => {
    const page = await open('secure', "connect-src 'self'");
    const got = await page.evaluate((s) => window.m.reach(s), `https://known.test:${known.port}`);
    assert.deepEqual([got.state, got.by], ['unknown', 'policy']);
    await page.context().close();
  });

  test('nothing for an address without TLS', { timeout: 60_000 }, async () => {
    const page = await open('plain');
    await assert.rejects(page.evaluate(() => window.m.reach('http://known.test')), /no https address/);
    await page.context().close();
  });
});

describe('the page of the certificate', { skip }, () => {
  test('tells the page that opened it when it is accepted', { timeout: 60_000 }, async () => {
    const page = await open('plain');
    const server = `https://known.test:${known.port}`;
    await page.evaluate((s) => document.querySelector('button').addEventListener('click', () => { window.taken = window.m.accept(s); }), server);
    const [popup] = await Promise.all([page.waitForEvent('popup'), page.click('button')]);
    assert.equal(await page.evaluate(() => window.taken), true);
    await popup.waitForLoadState();
    assert.match(await popup.textContent('main'), /Your browser takes the certificate now/);
    // The click closes the tab, maybe before it is reported as done.
    await Promise.all([popup.waitForEvent('close'), popup.click('#back').catch((err) => assert.match(err.message, /closed/))]);
    await page.context().close();
  });

  test('says that the tab was closed', { timeout: 60_000 }, async () => {
    const page = await open('plain');
    await page.evaluate((s) => document.querySelector('button').addEventListener('click', () => { window.taken = window.m.accept(s); }), `https://stranger.test:${stranger.port}`);
    const [popup] = await Promise.all([page.waitForEvent('popup'), page.click('button')]);
    await popup.close();
    assert.equal(await page.evaluate(() => window.taken), false);
    await page.context().close();
  });

  test('can be read without TLS and without scripts', { timeout: 60_000 }, async () => {
    const context = await browser.chromium.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    const refused = [];
    page.on('console', (line) => refused.push(line.text()));
    await page.goto(`http://stranger.test:${stranger.port}/certificate?from=${encodeURIComponent(origin('plain'))}`);
    const text = await page.textContent('main');
    assert.match(text, /This page came without encryption/);
    assert.match(text, /([0-9A-F]{2}:){31}[0-9A-F]{2}/);
    assert.match(text, /NET::ERR_CERT_AUTHORITY_INVALID/);
    const link = await page.getAttribute('.note a.button', 'href');
    assert.equal(link, `https://stranger.test:${stranger.port}/certificate?from=${encodeURIComponent(origin('plain'))}`);
    assert.deepEqual(refused, []);
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('a[href="/certificate.crt"]')]);
    const der = await fs.readFile(await download.path());
    const pem = await fs.readFile(path.join(stranger.dir, 'data', 'certs', 'self-signed.crt'), 'utf8');
    assert.equal(der.toString('base64'), pem.replace(/-----.*-----|\s/g, ''));
    await context.close();
  });
});
