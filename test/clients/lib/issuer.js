// An OpenID provider over HTTP: discovery, keys, and tokens at the tests' wish.

import { createSign, generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

export class Issuer {
  #keys = new Map();

  static async start() {
    const issuer = new Issuer();
    issuer.newKey('first');
    issuer.http = http.createServer((req, res) => {
      const body = issuer.#answer(req.url);
      res.writeHead(body ? 200 : 404, { 'Content-Type': 'application/json' });
      res.end(JSON.stringify(body ?? { error: 'not found' }));
    });
    issuer.http.listen(0, '127.0.0.1');
    await once(issuer.http, 'listening');
    issuer.url = `http://127.0.0.1:${issuer.http.address().port}/realms/desk`;
    return issuer;
  }

  newKey(kid) {
    this.#keys.set(kid, generateKeyPairSync('rsa', { modulusLength: 2048 }));
  }

  #answer(path) {
    switch (path) {
      case '/realms/desk/.well-known/openid-configuration':
        return { issuer: this.url, jwks_uri: `${this.url}/certs`, authorization_endpoint: `${this.url}/auth` };
      case '/realms/desk/certs':
        return { keys: [...this.#keys].map(([kid, { publicKey }]) => ({ ...publicKey.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' })) };
    }
  }

  /** An access token as Keycloak makes them. */
  token(claims, { kid = 'first' } = {}) {
    const now = Math.floor(Date.now() / 1000);
    const payload = { iss: this.url, aud: ['deskline', 'account'], iat: now, exp: now + 300, typ: 'Bearer', azp: 'desktop', scope: 'openid profile', ...claims };
    const text = `${encode({ alg: 'RS256', typ: 'JWT', kid })}.${encode(payload)}`;
    return `${text}.${createSign('RSA-SHA256').update(text).sign(this.#keys.get(kid).privateKey, 'base64url')}`;
  }

  async close() {
    this.http.closeAllConnections();
    this.http.close();
  }
}
