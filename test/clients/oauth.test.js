// Sign-in with an access token (OAUTHBEARER) of an OpenID provider that the test starts.

import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { binary } from './lib/binary.js';
import { Issuer } from './lib/issuer.js';
import { Browser } from './lib/pages.js';
import { leaveAll, Peer } from './lib/peer.js';
import { isDeskline, startServer } from './lib/server.js';
import { deferred, within } from './lib/wait.js';

let issuer;
let other;
let server;
let browser;

const oauth = (more) => [{ issuer: issuer.url, audience: ['deskline'], scopes: ['profile'], ...more }];

before(async () => {
  if (!isDeskline) return;
  [issuer, other] = await Promise.all([Issuer.start(), Issuer.start()]);
  server = await startServer({ accounts: 30, config: { auth: { oauth: oauth() } } });
  browser = await Browser.start();
});

after(async () => {
  await browser?.close();
  await server?.close();
  await issuer?.close();
  await other?.close();
});

const CLIENTS = [['strophe', 'bosh'], ['strophe', 'ws'], ['strophe', 'bosh', true], ['strophe', 'ws', true], ['stanza', 'bosh'], ['stanza', 'ws']];

/** Signs in with a token in place of a password. */
function enter(peer, jid, token) {
  return peer.login(jid, { password: token, mechanism: 'OAUTHBEARER' });
}

/** Waits for a line of the log, past or to come. */
async function logged(pattern, what) {
  const line = deferred();
  const look = () => server.output.some(pattern) && line.resolve();
  server.child.on('line', look);
  look();
  await within(line.promise, what, 20_000).finally(() => server.child.off('line', look));
}

const localOf = (jid) => jid.split('@')[0];

describe('tokens', { concurrency: 3, skip: !isDeskline && 'Prosody has to be told otherwise' }, () => {
  for (const [client, transport, inPage] of CLIENTS) {
    const open = () => new Peer(server, client, { transport, browser: inPage && browser });
    const name = `${client} (${transport}${inPage ? ', page' : ''})`;

    test(`${name} signs in`, { timeout: 40_000 }, async () => {
      const [jid, bobJid] = server.accounts(2);
      const alice = open();
      const bob = new Peer(server, 'strophe');
      try {
        await Promise.all([enter(alice, jid, issuer.token({ preferred_username: localOf(jid) })), bob.login(bobJid)]);
        await alice.become();
        await bob.become();
        await bob.do('say', alice.full, 'hello');
        await alice.takeMessage({ body: 'hello', from: bob.full });
      } finally {
        await leaveAll([alice, bob]);
      }
    });

    const now = Math.floor(Date.now() / 1000);
    const REFUSED = {
      'an expired token': [(user) => issuer.token({ preferred_username: user, iat: now - 900, exp: now - 600 }), 'credentials-expired', /expired/],
      'the token of another issuer': [(user) => other.token({ preferred_username: user }), 'not-authorized', /issuer .* is none/],
      'a token signed by another': [(user) => other.token({ preferred_username: user, iss: issuer.url }), 'not-authorized', /signature is wrong/],
      'a token for another service': [(user) => issuer.token({ preferred_username: user, aud: 'account' }), 'not-authorized', /audience/],
      "another's token": [() => issuer.token({ preferred_username: 'u1' }), 'invalid-authzid', undefined],
    };
    test(`${name} is refused`, { timeout: 60_000 }, async () => {
      const jid = 'u30@localhost';
      // A browser adds nothing to who is refused, and takes its time to start.
      for (const [what, [make, condition, reason]] of Object.entries(REFUSED).slice(0, inPage ? 1 : undefined)) {
        const peer = open();
        const token = make(localOf(jid));
        try {
          await assert.rejects(enter(peer, jid, token), { status: 'AUTHFAIL' }, what);
          await peer.take({ event: 'wire', data: new RegExp(`<failure[^>]*><${condition}/>`) });
          if (reason) await logged((line) => line.includes('login refused') && reason.test(line), `the log says why: ${what}`);
          assert.ok(!server.output.some((line) => line.includes(token.slice(0, 60))), 'the log has no tokens');
        } finally {
          await leaveAll([peer]);
        }
      }
    });
  }

  test('the log and the metrics say what was', async () => {
    const res = await fetch(`http://${server.listening.admin}/metrics`);
    const metrics = await res.text();
    for (const line of [/deskline_logins_total\{mechanism="OAUTHBEARER",result="success"\} [1-9]/, /deskline_tokens_refused_total\{reason="expired"\} [1-9]/, /deskline_oauth_keys\{domain="localhost",issuer="[^"]*"\} 1/]) {
      assert.match(metrics, line);
    }
  });

  test('check reaches the issuer', async () => {
    const copy = server.file.replace('deskline.yaml', 'check.yaml');
    const config = JSON.parse(await fs.readFile(server.file, 'utf8'));
    await fs.writeFile(copy, JSON.stringify({ ...config, http: { listen: '127.0.0.1:0' } }));
    const run = server.run(binary, ['check', '-c', copy]);
    const lines = [];
    run.on('line', (line) => lines.push(line));
    const { code } = await within(run.exited, 'check', 20_000);
    assert.equal(code, 0, lines.join('\n'));
    assert.ok(lines.some((line) => /auth\.oauth\[0\].*1 keys in .*clocks differ by \ds/.test(line)), lines.join('\n'));
  });
});

describe('tokens while the server runs', { skip: !isDeskline && 'Prosody has to be told otherwise' }, () => {
  test('issuers come, make accounts, change keys and go', { timeout: 60_000 }, async () => {
    const changing = await startServer({ accounts: 1 });
    const reload = async (config) => {
      changing.config = config;
      await changing.writeConfig();
      const done = new Promise((resolve) => {
        changing.child.on('line', (line) => line.includes('"msg":"reloaded"') && resolve());
      });
      changing.child.kill('SIGHUP');
      await within(done, 'the log line "reloaded"', 20_000);
    };
    const sign = async (user, token) => {
      const peer = new Peer(changing, 'strophe');
      try {
        await enter(peer, `${user}@localhost`, token);
        return 'in';
      } catch (err) {
        if (err.status !== 'AUTHFAIL') throw err;
        return 'refused';
      } finally {
        await leaveAll([peer]);
      }
    };
    const offered = async () => {
      const body = "<body xmlns='http://jabber.org/protocol/httpbind' rid='1000' to='localhost' ver='1.11' wait='5' hold='1'/>";
      return (await (await fetch(changing.door('bosh'), { method: 'POST', body })).text()).match(/<mechanisms.*<\/mechanisms>/)[0];
    };
    try {
      assert.doesNotMatch(await offered(), /OAUTHBEARER/);
      await reload({ auth: { oauth: oauth() } });
      assert.equal(await sign('u1', issuer.token({ preferred_username: 'u1' })), 'in');
      assert.equal(await sign('newcomer', issuer.token({ preferred_username: 'newcomer' })), 'refused', 'no account');
      issuer.newKey('second');
      await reload({ auth: { mechanisms: ['OAUTHBEARER'], oauth: oauth({ create: true }) } });
      assert.equal(await sign('newcomer', issuer.token({ preferred_username: 'newcomer' }, { kid: 'second' })), 'in');
      assert.match(await offered(), />(<mechanism>OAUTHBEARER<\/mechanism>)<\/mechanisms>/, 'there are no passwords any more');
      await reload({});
      assert.doesNotMatch(await offered(), /OAUTHBEARER/);
    } finally {
      await changing.close();
    }
  });
});
