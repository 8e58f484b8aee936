// Prosody behind the same interface, to compare.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { PASSWORD, Server } from './base.js';
import { freePort } from './network.js';

/** Prosody with the modules that match what is tested. */
export class Prosody extends Server {
  async prepare() {
    [this.port, this.tlsPort] = [await freePort(), await freePort()];
    const data = path.join(this.dir, 'data');
    const accounts = path.join(data, encodeURIComponent(this.domain).replaceAll('.', '%2e'), 'accounts');
    await fs.mkdir(accounts, { recursive: true });
    for (const user of this.users) {
      await fs.writeFile(path.join(accounts, `${user}.dat`), `return { ["password"] = ${JSON.stringify(PASSWORD)} };\n`);
    }
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${this.domain}`,
      '-addext', `subjectAltName=DNS:${this.domain},DNS:localhost`, '-keyout', 'key.pem', '-out', 'cert.pem'], { cwd: this.dir, stdio: 'ignore' });
    const bosh = this.config.bosh ?? {};
    await fs.writeFile(path.join(this.dir, 'prosody.cfg.lua'), `
data_path = "${data}"
modules_enabled = { "roster", "saslauth", "tls", "dialback", "disco", "private", "vcard_legacy", "version", "uptime", "time", "ping", "pep",
"register", "lastactivity", "offline", "bosh", "websocket" }
modules_disabled = { "s2s" }
c2s_ports = { }
certificates = "."
allow_registration = false
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
consider_bosh_secure = true
consider_websocket_secure = true
authentication = "internal_plain"
cross_domain_bosh = true
cross_domain_websocket = true
bosh_max_inactivity = ${parseInt(bosh.inactivity ?? '60', 10)}
http_interfaces = { "127.0.0.1" }
https_interfaces = { "127.0.0.1" }
http_ports = { ${this.port} }
https_ports = { ${this.tlsPort} }
https_ssl = { certificate = "${this.dir}/cert.pem", key = "${this.dir}/key.pem" }
http_default_host = "${this.domain}"
pidfile = "${this.dir}/prosody.pid"
log = { { levels = { min = "info" }, to = "console" } }
VirtualHost "${this.domain}"
http_paths = { bosh = "/http-bind", websocket = "/xmpp-websocket" }
`);
    if (process.getuid() === 0) {
      execFileSync('chown', ['-R', 'nobody:nogroup', this.dir]);
      this.as = { uid: Number(execFileSync('id', ['-u', 'nobody'])), gid: Number(execFileSync('id', ['-g', 'nobody'])) };
    }
  }

  async start() {
    this.child = this.run('prosody', ['--config', path.join(this.dir, 'prosody.cfg.lua'), '-F'], this.as);
    for (let tries = 0; ; tries++) {
      const socket = net.connect(this.port, '127.0.0.1');
      const open = await new Promise((resolve) => socket.on('connect', () => resolve(true)).on('error', () => resolve(false)));
      socket.destroy();
      if (open) return;
      if (tries > 200 || this.child.exitCode !== null) throw new Error(`prosody does not listen\n${this.log}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
