// Trust in a certificate made by the server under test, as an administrator
// would install it; all that Node.js verifies stays verified.

import tls from 'node:tls';

const create = tls.createSecureContext;
const trusted = [];

tls.createSecureContext = (options) => {
  const context = create(options);
  for (const pem of trusted) context.context.addCACert(pem);
  return context;
};

/** Makes every client in this process trust the certificate. */
export function trust(pem) {
  trusted.push(pem);
}
