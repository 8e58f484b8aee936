// Pages with the clients in them, served from an origin of their own, and the
// browser that opens them.

import { existsSync } from 'node:fs';
import fs from 'node:fs/promises';
import http from 'node:http';
import { createRequire } from 'node:module';
import { once } from 'node:events';
import path from 'node:path';
import esbuild from 'esbuild';
import { chromium } from 'playwright-core';
import { executablePath } from './chromium.js';
import { deferred, DEADLINE, within } from './wait.js';

const here = path.resolve(import.meta.dirname, '..');
const require = createRequire(import.meta.url);
const modules = path.join(here, 'node_modules');

const TYPES = { '.js': 'text/javascript', '.json': 'application/json', '.css': 'text/css', '.html': 'text/html', '.wasm': 'application/wasm', '.svg': 'image/svg+xml' };

/** The clients' own dist files, by beginning of the path. */
const FOLDERS = {
  '/dist/': path.join(modules, '@converse/headless/dist/'),
  '/converse/': path.join(modules, 'converse.js/dist/'),
  '/bundle/curve25519': path.join(modules, '@converse/headless/dist/curve25519'),
  '/xmpp/': path.join(modules, '@xmpp/client/dist/'),
};

async function bundle() {
  const result = await esbuild.build({
    entryPoints: ['strophe', 'stanza', 'xmppclient', 'converse'].map((name) => path.join(here, 'pages', `${name}.js`)),
    absWorkingDir: here, outdir: '/', bundle: true, write: false, format: 'esm', platform: 'browser', target: 'chrome110',
    external: ['/dist/*'], logLevel: 'warning', define: { global: 'globalThis' },
    alias: { events: require.resolve('events/') },
  });
  return new Map(result.outputFiles.map((file) => [path.basename(file.path), file.contents]));
}

const PAGES = {
  '/strophe': '<script type="module" src="/bundle/strophe.js"></script>',
  '/stanza': '<script type="module" src="/bundle/stanza.js"></script>',
  '/xmppclient': '<script src="/xmpp/xmpp.min.js"></script><script type="module" src="/bundle/xmppclient.js"></script>',
  '/converse': '<script type="module" src="/bundle/converse.js"></script>',
  '/blank': '',
  '/converse-ui': `<link rel="stylesheet" href="/converse/converse.min.css"><script type="module">
    import { converse } from '/converse/converse.min.js';
    window.converse = converse;
    document.title = 'ready';
  </script>`,
};

async function servePages() {
  const bundles = await bundle();
  const server = http.createServer(async (req, res) => {
    const { pathname } = new URL(req.url, 'http://localhost');
    const folder = Object.keys(FOLDERS).find((prefix) => pathname.startsWith(prefix));
    let body;
    if (PAGES[pathname] !== undefined) body = `<!doctype html><meta charset="utf-8"><title>loading</title>${PAGES[pathname]}`;
    else if (folder) body = await fs.readFile(FOLDERS[folder] + path.normalize(pathname).slice(folder.length)).catch(() => undefined);
    else if (pathname.startsWith('/bundle/')) body = bundles.get(path.basename(pathname));
    const type = PAGES[pathname] === undefined ? TYPES[path.extname(pathname)] ?? 'application/octet-stream' : TYPES['.html'];
    res.writeHead(body === undefined ? 404 : 200, { 'Content-Type': type });
    res.end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** Browser is one Chromium with a profile of its own and the pages it can open. */
export class Browser {
  /**
   * @param options.pins keys of certificates to trust, see Server.certificatePin
   * @param options.hosts rules such as "MAP name:443 127.0.0.1:5280"
   */
  static async start({ pins = [], hosts = [] } = {}) {
    if (!existsSync(executablePath)) {
      throw new Error(`Chromium is missing: ${executablePath} does not exist. Install Debian's package "chromium" or name the program in CHROMIUM.`);
    }
    const browser = new Browser();
    browser.pages = await servePages();
    browser.origin = `http://localhost:${browser.pages.address().port}`;
    const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'];
    if (pins.length) args.push(`--ignore-certificate-errors-spki-list=${pins.join(',')}`);
    if (hosts.length) args.push(`--host-resolver-rules=${hosts.join(',')}`);
    try {
      browser.chromium = await chromium.launch({ executablePath, headless: true, args }); // with an empty profile
    } catch (err) {
      await browser.close();
      throw new Error(`Chromium does not start: ${err.message}`);
    }
    return browser;
  }

  /** A page with storage of its own, as on a computer of its own. */
  async newPage() {
    const context = await this.chromium.newContext({ viewport: { width: 1100, height: 800 } });
    context.setDefaultTimeout(DEADLINE);
    return context.newPage();
  }

  async close() {
    await this.chromium?.close();
    this.pages.closeAllConnections();
    this.pages.close();
  }
}

/** Passes on what a page reports in the order of its numbers; calls out of a page may overtake each other. */
function inOrder(report) {
  const loads = new Map();
  return ({ load, n, event }) => {
    if (!loads.has(load)) loads.set(load, { next: 0, early: new Map() });
    const state = loads.get(load);
    state.early.set(n, event);
    for (; state.early.has(state.next); state.next++) {
      report(state.early.get(state.next));
      state.early.delete(state.next);
    }
  };
}

/** A player in a page, with the words of the client there. */
export class PagePlayer {
  static async open(browser, client, report) {
    const player = new PagePlayer();
    player.page = await browser.newPage();
    player.url = `${browser.origin}/${client}`;
    player.console = [];
    const hear = (line) => {
      player.console.push(line);
      player.page.emit('heard');
    };
    player.page.on('console', (line) => hear(line.text()));
    player.page.on('pageerror', (err) => hear(err.stack ?? err.message));
    await player.page.exposeFunction('report', inOrder(report));
    await player.page.goto(player.url);
    await player.ready();
    return player;
  }

  ready() {
    return this.page.waitForFunction(() => document.title === 'ready');
  }

  /** Waits for a line in the console. */
  async hears(pattern) {
    const heard = deferred();
    const look = () => this.console.some((line) => pattern.test(line)) && heard.resolve();
    this.page.on('heard', look);
    look();
    await within(heard.promise, `the page says ${pattern}`).finally(() => this.page.off('heard', look));
  }

  async call(word, args) {
    const { value, error } = await this.page.evaluate(([w, a]) => window.call(w, a), [word, args]);
    if (error) throw Object.assign(new Error(error.message), error);
    return value;
  }

  async reload() {
    await this.page.reload();
    await this.ready();
  }

  close() {
    return this.page.context().close();
  }
}
