// Search: clients find people while somebody types, also those that were added
// while the server runs.

import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { binary } from './lib/binary.js';
import { Browser } from './lib/pages.js';
import { leaveAll, Peer } from './lib/peer.js';
import { isDeskline, PASSWORD, startServer } from './lib/server.js';
import { within } from './lib/wait.js';

const PEOPLE = [
  ['amueller', 'Anna Müller', 'anna.mueller@corp.example'],
  ['aschmidt', 'Anna Schmidt', 'a.schmidt@corp.example'],
  ['hannah', 'Hannah O’Brien', ''],
  ['soren', 'Søren Strauß', 'soren@corp.example'],
];

describe('search', { skip: !isDeskline && 'only Deskline has one' }, () => {
  let server;
  let browser;

  before(async () => {
    server = await startServer({ accounts: 10 });
    browser = await Browser.start();
    // While it runs, by the command.
    const csv = path.join(server.dir, 'more.csv');
    await fs.writeFile(csv, PEOPLE.map(([user, name, mail]) => `${user},"${PASSWORD}",${name},${mail},\n`).join(''));
    const { code } = await within(server.run(binary, ['user', 'import', '-c', server.file, csv]).exited, 'user import');
    assert.equal(code, 0, server.log);
  });

  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const address = (user) => `${user}@${server.domain}`;
  const found = (items) => items.map((item) => item.jid.split('@')[0]);

  /** Asks until the node has heard of the people. */
  async function settled(peer) {
    const begun = performance.now();
    while ((await peer.do('search', server.domain, 'search', 'strauss')).length === 0) {
      assert.ok(performance.now() - begun < 30_000, 'people added by the command are found');
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }

  const CLIENTS = [
    ['strophe', { transport: 'bosh' }],
    ['strophe', { transport: 'bosh', page: true }],
    ['stanza', { transport: 'ws' }],
    ['xmppclient', { transport: 'ws' }],
    ['converse', { transport: 'bosh', page: true }],
  ];
  for (const [client, { transport, page }] of CLIENTS) {
    test(`${client} over ${transport}${page ? ', page' : ''}`, { timeout: 60_000 }, async () => {
      const peer = new Peer(server, client, { transport, browser: page && browser });
      try {
        await peer.login(server.accounts(1)[0]);
        const { domain } = server;
        assert.ok((await peer.do('disco', domain)).features.includes('jabber:iq:search'), 'search is told');
        const fields = await peer.do('searchFields', domain);
        assert.equal(fields.form.find((name) => name !== 'FORM_TYPE'), 'search');
        for (const name of ['first', 'last', 'nick', 'email']) assert.ok(fields.form.includes(name), name);
        await settled(peer);
        const steps = {
          'a': ['amueller', 'aschmidt'], 'an': ['amueller', 'aschmidt'], 'ann': ['amueller', 'aschmidt'],
          'anna': ['amueller', 'aschmidt'], 'anna ': ['amueller', 'aschmidt'], 'anna m': ['amueller'], 'anna mü': ['amueller'],
          'müller an': ['amueller'], 'MUELLER': ['amueller'], 'muller': ['amueller'], 'o\'br': ['hannah'], 'strass': [], 'strauß': ['soren'],
          'a.schmidt@corp': ['aschmidt'], 'hann*': ['hannah'], '*': [], ')(uid=*': [],
        };
        for (const [typed, people] of Object.entries(steps)) {
          assert.deepEqual(found(await peer.do('search', domain, 'search', typed)), people, `what ${typed} finds`);
        }
        const [soren] = await peer.do('search', domain, 'search', 'sor');
        assert.deepEqual([soren.jid, soren.nick, soren.email], [address('soren'), 'Søren Strauß', 'soren@corp.example']);
        if (client !== 'stanza') {
          assert.deepEqual(await peer.do('searchPlain', domain, 'email', 'anna.mue'),
            [{ jid: address('amueller'), nick: 'Anna Müller', email: 'anna.mueller@corp.example' }]);
        }
        assert.equal((await peer.do('vcard', address('soren'))).fullName, 'Søren Strauß');
      } finally {
        await leaveAll([peer]);
      }
    });
  }

  test('who is deleted is not found any more', async () => {
    const peer = new Peer(server, 'strophe');
    try {
      await peer.login(server.accounts(1)[0]);
      await settled(peer);
      const gone = server.run(binary, ['user', 'delete', '--yes', '-c', server.file, address('hannah')]);
      assert.equal((await within(gone.exited, 'user delete')).code, 0, server.log);
      const begun = performance.now();
      while ((await peer.do('search', server.domain, 'nick', 'hannah')).length > 0) {
        assert.ok(performance.now() - begun < 30_000, 'she is not found any more');
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    } finally {
      await leaveAll([peer]);
    }
  });
});
