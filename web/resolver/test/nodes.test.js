// The resolver against two real nodes: DESKLINE_BIN, or bin/deskline of the tree.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { RefusedError, Resolver } from "../dist/index.js";

const bin = process.env.DESKLINE_BIN ?? fileURLToPath(new URL("../../../bin/deskline", import.meta.url));
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("DESKLINE_")));

/** Free ports, as far as one can know. */
async function ports(count) {
  const held = await Promise.all(Array.from({ length: count }, async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return server;
  }));
  const numbers = held.map((server) => server.address().port);
  await Promise.all(held.map((server) => new Promise((done) => server.close(done))));
  return numbers;
}

const nodes = {};
let dir;

async function start(name) {
  const n = nodes[name];
  n.process = spawn(bin, ["serve", "-c", n.file], { cwd: dir, env, stdio: ["ignore", "ignore", "pipe"] });
  n.log = "";
  await new Promise((done, fail) => {
    n.process.stderr.on("data", (text) => {
      n.log += text;
      if (n.log.includes("msg=ready")) done();
    });
    n.process.on("exit", (code) => fail(new Error(`${name} ended with ${code}: ${n.log}`)));
  });
}

async function stop(name, signal) {
  const p = nodes[name].process;
  if (p.exitCode !== null || p.signalCode !== null) return;
  p.removeAllListeners("exit");
  const ended = once(p, "exit");
  p.kill(signal);
  await ended;
}

/** Gives a user a home on all living nodes: each has a store of its own here. */
async function assign(user, ...home) {
  for (const name of ["n1", "n2"]) {
    await promisify(execFile)(bin, ["cluster", "assign", user, ...home, "-c", nodes[name].file], { cwd: dir, env });
  }
}

async function eventually(what, ok) {
  for (let tries = 0; tries < 200; tries++) {
    if (await ok()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.fail(`${what}: ${nodes.n1.log}\n${nodes.n2.log}`);
}

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "resolver-"));
  const p = await ports(6);
  for (const [i, name] of ["n1", "n2"].entries()) {
    const [http, admin, gossip] = p.slice(3 * i);
    nodes[name] = { base: `http://127.0.0.1:${http}`, file: join(dir, `${name}.yaml`) };
    await writeFile(nodes[name].file, `
domains: [example.com]
data_dir: ${name}
http: {listen: "127.0.0.1:${http}"}
admin: {listen: "127.0.0.1:${admin}"}
cluster:
  node: ${name}
  listen: "127.0.0.1:${gossip}"
  public_url: "http://127.0.0.1:${http}"
  seeds: ["127.0.0.1:${p[2]}", "127.0.0.1:${p[5]}"]
  pairs: [[n1, n2]]
`);
  }
  await Promise.all([start("n1"), start("n2")]);
  const probe = new Resolver({ servers: [nodes.n1.base] });
  await eventually("the nodes do not find each other", async () => (await probe.refresh("alice")).secondary !== null);
  const other = new Resolver({ servers: [nodes.n2.base] });
  await eventually("the nodes do not find each other", async () => (await other.refresh("alice")).secondary !== null);
});

after(async () => {
  await Promise.all(Object.keys(nodes).map((name) => stop(name, "SIGTERM")));
  await rm(dir, { recursive: true, force: true });
});

test("a user's life with two nodes", async (t) => {
  const resolver = new Resolver({ servers: [nodes.n1.base, nodes.n2.base], jitter: 10, timeout: 2000 });
  const told = [];
  const other = new Resolver({ servers: [nodes.n2.base], jitter: 10, checkEvery: 0, onChange: (user, n) => told.push(n.primary.node) });

  await t.test("any node answers for every user", async () => {
    for (const user of ["alice@example.com", "bob@example.com", "nobody-has-this-name@example.com"]) {
      const [a, b] = [await resolver.resolve(user), await other.resolve(user)];
      assert.deepEqual([a.primary, a.secondary], [b.primary, b.secondary]);
      assert.deepEqual([a.primary.node, a.secondary.node].sort(), ["n1", "n2"]);
      assert.equal(a.primary.bosh, `${nodes[a.primary.node].base}/http-bind`);
    }
    await assert.rejects(resolver.resolve("alice@example.net"), RefusedError);
  });

  await t.test("the answer is kept by its tag", async () => {
    const url = `${nodes.n1.base}/discovery/v1/nodes?user=alice@example.com`;
    const first = await fetch(url);
    const tag = first.headers.get("etag");
    assert.match(first.headers.get("cache-control"), /^private, max-age=86400, stale-if-error=604800$/);
    assert.equal((await fetch(url, { headers: { "If-None-Match": tag } })).status, 304);
  });

  await t.test("a new assignment heals what is kept", async () => {
    const before = await resolver.resolve("alice@example.com");
    assert.equal(before.source, "cache");
    const to = before.secondary.node;
    await other.resolve("alice@example.com");
    await eventually("the first check", async () => told.length === 0);
    await assign("alice@example.com", to);
    const healed = await resolver.heal("alice@example.com", before.epoch + 1);
    assert.equal(healed.primary.node, to);
    assert.ok(healed.epoch > before.epoch);
    await other.resolve("alice@example.com");
    await eventually("the check in the background", async () => told.includes(to));
  });

  await t.test("the secondary answers when the primary is killed", async () => {
    await stop("n1", "SIGKILL");
    const fresh = new Resolver({ servers: [nodes.n1.base, nodes.n2.base], jitter: 10 });
    for (const user of ["alice@example.com", "carol@example.com"]) {
      const got = await fresh.resolve(user);
      assert.equal(got.source, "network");
      assert.deepEqual([got.primary.node, got.secondary.node].sort(), ["n1", "n2"], "the home of a user does not change with a failure");
    }
  });

  await t.test("the cached answer serves when nobody answers", async () => {
    await stop("n2", "SIGKILL");
    assert.equal((await resolver.refresh("alice@example.com")).source, "stale");
  });

  await t.test("a node that starts alone knows its mate of old", async () => {
    await start("n2");
    const got = await other.refresh("alice@example.com");
    assert.equal(got.source, "network");
    assert.deepEqual([got.primary.node, got.secondary?.node].sort(), ["n1", "n2"]);
  });
});
