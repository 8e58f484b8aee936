import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { RefusedError, ResolveError, Resolver } from "../dist/index.js";

const node = (name) => ({ node: name, bosh: `https://${name}.example.com:5280/http-bind`, websocket: `wss://${name}.example.com:5280/xmpp-websocket` });
const answer = (epoch, primary, secondary, more) => ({
  version: 1, domain: "example.com", epoch, ttl: 100, primary: node(primary), secondary: secondary ? node(secondary) : null, ...more,
});
const servers = ["https://a.example.com:5280/", "https://b.example.com:5280"];

/** A network of servers by host, each a body, a status, an Error, or a function. */
function network(hosts) {
  const asked = [];
  return {
    asked,
    hosts,
    fetch: async (address, init) => {
      const url = new URL(address);
      asked.push(url.hostname.split(".")[0]);
      assert.equal(url.pathname, "/discovery/v1/nodes");
      let said = hosts[asked.at(-1)];
      if (typeof said === "function") said = await said(init, url);
      if (said === undefined || said instanceof Error) throw said ?? new TypeError("fetch failed");
      return typeof said === "number" ? new Response("{}", { status: said }) : Response.json(said, { status: said.error ? 400 : 200 });
    },
  };
}

function setup(hosts, options) {
  const net = network(hosts);
  const clock = { now: 1_000_000 };
  const changes = [];
  const resolver = new Resolver({
    servers, fetch: net.fetch, now: () => clock.now, random: () => 0, onChange: (user, nodes) => changes.push([user, nodes.primary.node]), ...options,
  });
  return { ...net, net, clock, changes, resolver };
}

/** Lets what is in the background happen. */
const settle = () => new Promise((done) => setTimeout(done, 20));

const never = (init) => new Promise((_, reject) => init.signal.addEventListener("abort", () => reject(init.signal.reason)));

describe("asking", () => {
  const cases = [
    ["the primary server answers", { a: answer(1, "n1", "n2"), b: answer(1, "n1", "n2") }, ["a"]],
    ["the primary server is away", { b: answer(1, "n1", "n2") }, ["a", "b"]],
    ["the primary server fails", { a: 503, b: answer(1, "n1", "n2") }, ["a", "b"]],
    ["the primary server is asked too often", { a: 429, b: answer(1, "n1", "n2") }, ["a", "b"]],
    ["the primary server is no Deskline", { a: 404, b: answer(1, "n1", "n2") }, ["a", "b"]],
    ["the primary server is silent", { a: never, b: answer(1, "n1", "n2") }, ["a", "b"]],
    ["another version", { a: { version: 2 }, b: answer(1, "n1", "n2") }, ["a", "b"]],
    ["an address that runs a script", { a: answer(1, "n1", null, { primary: { node: "x", bosh: "javascript:alert(1)" } }), b: answer(1, "n1", "n2") }, ["a", "b"]],
    ["a node without an address", { a: answer(1, "n1", null, { primary: { node: "x" } }), b: answer(1, "n1", "n2") }, ["a", "b"]],
    ["no number", { a: answer("1", "n1"), b: answer(1, "n1", "n2") }, ["a", "b"]],
  ];
  for (const [name, hosts, asked] of cases) {
    test(name, async () => {
      const s = setup(hosts, { timeout: 30 });
      const got = await s.resolver.resolve("Alice@Example.com/desk");
      assert.deepEqual(s.asked, asked);
      assert.equal(got.primary.node, "n1");
      assert.equal(got.secondary.node, "n2");
      assert.equal(got.source, "network");
    });
  }

  test("nobody answers", async () => {
    const s = setup({ a: 503 });
    await assert.rejects(s.resolver.resolve("alice@example.com"), (error) => {
      assert.ok(error instanceof ResolveError);
      assert.equal(error.causes.length, 2);
      assert.match(error.causes[0].message, /a\.example\.com:5280: status 503/);
      return true;
    });
  });

  test("a refusal is final", async () => {
    const s = setup({ a: { version: 1, error: "domain-unknown", text: "not here" }, b: answer(1, "n1") });
    await assert.rejects(s.resolver.resolve("alice@example.net"), (error) => error instanceof RefusedError && error.condition === "domain-unknown");
    assert.deepEqual(s.asked, ["a"]);
  });

  test("a node that stands alone", async () => {
    const s = setup({ a: answer(0, "local", null) });
    assert.equal((await s.resolver.resolve("alice@example.com")).secondary, null);
  });

  test("those who ask at the same time share one request", async () => {
    const s = setup({ a: answer(1, "n1", "n2") });
    await Promise.all([1, 2, 3].map(() => s.resolver.resolve("alice@example.com")));
    assert.deepEqual(s.asked, ["a"]);
  });

  test("one gives up, the other does not", async () => {
    let go;
    const s = setup({ a: () => new Promise((done) => { go = () => done(answer(1, "n1")); }) });
    const stop = new AbortController();
    const first = s.resolver.resolve("alice@example.com", stop.signal);
    const second = s.resolver.resolve("alice@example.com");
    stop.abort(new Error("enough"));
    await assert.rejects(first, /enough/);
    go();
    assert.equal((await second).primary.node, "n1");
    await assert.rejects(s.resolver.resolve("alice@example.com", stop.signal), /enough/);
  });

  test("no server is a mistake of the caller", () => {
    assert.throws(() => new Resolver({ servers: [] }), TypeError);
    assert.throws(() => new Resolver({ servers: ["n1.example.com"] }), TypeError);
  });
});

describe("caching", () => {
  test("later logins ask nobody", async () => {
    const s = setup({ a: answer(1, "n1", "n2") });
    await s.resolver.resolve("alice@example.com");
    s.clock.now += 99_000;
    const got = await s.resolver.resolve("alice@example.com");
    await settle();
    assert.equal(got.source, "cache");
    assert.deepEqual(s.asked, ["a"]);
    await s.resolver.resolve("bob@example.com");
    assert.deepEqual(s.asked, ["a", "a"]);
  });

  test("past its time it is asked for", async () => {
    const s = setup({ a: answer(1, "n1", "n2") });
    await s.resolver.resolve("alice@example.com");
    s.clock.now += 100_000;
    s.hosts.a = answer(2, "n2", "n1");
    assert.equal((await s.resolver.resolve("alice@example.com")).primary.node, "n2");
  });

  test("a forgotten user is asked for", async () => {
    const s = setup({ a: answer(1, "n1", "n2") });
    await s.resolver.resolve("alice@example.com");
    s.resolver.forget("alice@example.com");
    assert.equal((await s.resolver.resolve("alice@example.com")).source, "network");
  });

  test("a check with the user's own node heals it", async () => {
    const s = setup({ a: answer(1, "n1", "n2") }, { checkEvery: 50_000 });
    await s.resolver.resolve("alice@example.com");
    s.clock.now += 50_000;
    s.hosts.n2 = answer(2, "n3", "n1"); // n1 is away
    assert.equal((await s.resolver.resolve("alice@example.com")).primary.node, "n1");
    await settle();
    assert.deepEqual(s.asked, ["a", "n1", "n2"]);
    assert.deepEqual(s.changes, [["alice@example.com", "n3"]]);
    assert.equal((await s.resolver.resolve("alice@example.com")).primary.node, "n3");
    await settle();
    assert.equal(s.asked.length, 3, "checked again at once");
  });

  test("a check that changes nothing tells nobody", async () => {
    const s = setup({ a: answer(1, "n1", "n2"), n1: answer(1, "n1", "n2") }, { checkEvery: 0 });
    await s.resolver.resolve("alice@example.com");
    await s.resolver.resolve("alice@example.com");
    await settle();
    assert.deepEqual(s.asked, ["a", "n1"]);
    assert.deepEqual(s.changes, []);
  });

  test("an epoch seen elsewhere heals it", async () => {
    const s = setup({ a: answer(4, "n1", "n2") });
    await s.resolver.resolve("alice@example.com");
    s.hosts.a = answer(5, "n2", "n1");
    assert.equal((await s.resolver.heal("alice@example.com", 4)).primary.node, "n1");
    assert.equal((await s.resolver.heal("alice@example.com", 5)).primary.node, "n2");
  });

  test("an older epoch is not believed before the time is over", async () => {
    const s = setup({ a: answer(5, "n2", "n1") });
    await s.resolver.resolve("alice@example.com");
    s.hosts.a = answer(4, "n1", "n2");
    assert.equal((await s.resolver.refresh("alice@example.com")).primary.node, "n2");
    s.clock.now += 101_000;
    assert.equal((await s.resolver.refresh("alice@example.com")).primary.node, "n1");
  });

  test("stale while nobody can be asked, for a week", async () => {
    const s = setup({ a: answer(1, "n1", "n2") });
    await s.resolver.resolve("alice@example.com");
    s.hosts.a = 500;
    s.clock.now += 100_000 + 6 * 86_400_000;
    const got = await s.resolver.resolve("alice@example.com");
    assert.equal(got.source, "stale");
    assert.deepEqual(s.asked.slice(1), ["a", "b", "n1", "n2"]);
    s.clock.now += 2 * 86_400_000;
    await assert.rejects(s.resolver.resolve("alice@example.com"), ResolveError);
  });
});

describe("the store", () => {
  const store = () => {
    const map = new Map();
    return { map, getItem: (k) => map.get(k) ?? null, setItem: (k, v) => map.set(k, v), removeItem: (k) => map.delete(k) };
  };

  test("outlives the page", async () => {
    const kept = store();
    await setup({ a: answer(1, "n1", "n2") }, { store: kept }).resolver.resolve("alice@example.com");
    const later = setup({}, { store: kept });
    assert.equal((await later.resolver.resolve("alice@example.com")).source, "cache");
    assert.deepEqual([...kept.map.keys()], ["deskline.nodes.alice@example.com"]);
  });

  for (const [name, text] of [["no JSON", "{"], ["not ours", "7"], ["a bad address", JSON.stringify({ nodes: { ...answer(1, "n1"), primary: { node: "x", bosh: "data:," } }, at: 1e6, checked: 1e6 })]]) {
    test(`${name} is asked for anew`, async () => {
      const kept = store();
      kept.map.set("deskline.nodes.alice@example.com", text);
      const s = setup({ a: answer(1, "n1", "n2") }, { store: kept });
      assert.equal((await s.resolver.resolve("alice@example.com")).source, "network");
    });
  }

  test("full or forbidden, memory takes its place", async () => {
    const fail = () => { throw new Error("QuotaExceededError"); };
    const s = setup({ a: answer(1, "n1", "n2") }, { store: { getItem: fail, setItem: fail, removeItem: fail } });
    await s.resolver.resolve("alice@example.com");
    assert.equal((await s.resolver.resolve("alice@example.com")).source, "cache");
    s.resolver.forget("alice@example.com");
    assert.equal((await s.resolver.resolve("alice@example.com")).source, "network");
  });
});
