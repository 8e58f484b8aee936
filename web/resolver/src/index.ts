/**
 * Finds the nodes of a user: which one to use, and which is its mate.
 *
 *     const resolver = new Resolver({ servers: ["https://n1.example.com:5280", "https://n2.example.com:5280"] });
 *     const { primary, secondary } = await resolver.resolve("alice@example.com");
 *
 * The primary server is asked first, the next ones only if it cannot be reached.
 * The answer is kept for each user, so that later logins ask nobody first; it is
 * then checked with the nodes themselves, and a newer epoch heals it.
 */

import { Cache, type Entry, type Store } from "./cache.js";
import { hosts, parse, type Nodes } from "./nodes.js";

export type { Node, Nodes } from "./nodes.js";
export type { Store } from "./cache.js";
export { accept, reach, type Reach, type Reached, type ReachOptions } from "./reach.js";

/** Where an answer came from: a server, the cache, or a cache past its time since nobody could be asked. */
export type Source = "network" | "cache" | "stale";

/** The nodes of a user. */
export interface Resolved extends Nodes {
  readonly source: Source;
}

export interface Options {
  /** Addresses of discovery servers, the primary one first: https://n1.example.com:5280 */
  readonly servers: readonly string[];
  /** Where answers are kept; localStorage if there is one, else memory. */
  readonly store?: Store;
  /** Milliseconds that one server has to answer, 5000. */
  readonly timeout?: number;
  /** Most milliseconds before the next server is asked and before a cached answer is checked, 1000. */
  readonly jitter?: number;
  /** Least milliseconds between two checks of a cached answer, 10 minutes. */
  readonly checkEvery?: number;
  /** Called when a check has changed where a user belongs. */
  readonly onChange?: (user: string, nodes: Nodes) => void;
  readonly fetch?: typeof fetch;
  readonly now?: () => number;
  readonly random?: () => number;
}

/** No server answered, and nothing was kept. */
export class ResolveError extends Error {
  override readonly name = "ResolveError";
  constructor(
    message: string,
    /** What each server said or did, in the order they were asked. */
    readonly causes: readonly Error[],
  ) {
    super(message);
  }
}

/** A server answered that it cannot tell: the name is malformed, or of another domain. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
  constructor(
    message: string,
    /** user-missing, user-malformed, domain-unknown */
    readonly condition: string,
  ) {
    super(message);
  }
}

/** How long an answer may be used while nobody can be asked. */
const STALE = 7 * 24 * 3600 * 1000;

export class Resolver {
  readonly #o: Required<Omit<Options, "store" | "onChange">> & Pick<Options, "onChange">;
  readonly #cache: Cache;
  readonly #asking = new Map<string, Promise<Nodes>>();

  constructor(options: Options) {
    if (options.servers.length === 0) throw new TypeError("servers: name at least one");
    this.#o = {
      timeout: 5000,
      jitter: 1000,
      checkEvery: 600_000,
      fetch: (input, init) => globalThis.fetch(input, init),
      now: Date.now,
      random: Math.random,
      ...options,
      servers: options.servers.map((s) => new URL(s).origin),
    };
    this.#cache = new Cache(options.store);
  }

  /**
   * Returns where a user belongs: from the cache while it is fresh, and then
   * checks it in the background, else from the servers. Rejects with a
   * RefusedError or a ResolveError, or with the reason of the signal.
   */
  async resolve(user: string, signal?: AbortSignal): Promise<Resolved> {
    signal?.throwIfAborted();
    const name = bare(user);
    const kept = this.#cache.get(name);
    const now = this.#o.now();
    if (kept && now < kept.at + kept.nodes.ttl * 1000) {
      if (now >= kept.checked + this.#o.checkEvery) {
        void this.#checkLater(name);
      }
      return { ...kept.nodes, source: "cache" };
    }
    return this.#fresh(name, kept, signal);
  }

  /**
   * Asks now, as after the nodes of a cached answer could not be reached or a
   * node has told a newer epoch. The cached answer is used if nobody answers.
   */
  async refresh(user: string, signal?: AbortSignal): Promise<Resolved> {
    signal?.throwIfAborted();
    const name = bare(user);
    return this.#fresh(name, this.#cache.get(name), signal);
  }

  /** Tells of an epoch seen elsewhere; a newer one than the cached answer's is asked for. */
  async heal(user: string, epoch: number, signal?: AbortSignal): Promise<Resolved> {
    const kept = this.#cache.get(bare(user));
    return kept && epoch > kept.nodes.epoch ? this.refresh(user, signal) : this.resolve(user, signal);
  }

  /** Forgets what is kept of a user. */
  forget(user: string): void {
    this.#cache.delete(bare(user));
  }

  async #fresh(name: string, kept: Entry | undefined, signal?: AbortSignal): Promise<Resolved> {
    try {
      return { ...(await abortable(this.#ask(name, [...this.#o.servers, ...hosts(kept?.nodes)]), signal)), source: "network" };
    } catch (error) {
      const usable = kept && this.#o.now() < kept.at + kept.nodes.ttl * 1000 + STALE;
      if (signal?.aborted || !usable || error instanceof RefusedError) throw error;
      return { ...kept.nodes, source: "stale" };
    }
  }

  /** Checks a cached answer after a while, so that many pages do not ask at once. */
  async #checkLater(name: string): Promise<void> {
    await sleep(this.#o.random() * this.#o.jitter);
    const kept = this.#cache.get(name);
    if (!kept) return;
    const before = kept.nodes;
    try {
      // The user's own nodes are asked first: discovery servers are for those
      // who know no node yet.
      const after = await this.#ask(name, [...hosts(before), ...this.#o.servers]);
      if (!same(before, after)) this.#o.onChange?.(name, after);
    } catch {
      // It stays as it is; the next login tries again.
    }
  }

  /** Asks the servers one after another. Those who want the same at the same time share it. */
  #ask(name: string, servers: readonly string[]): Promise<Nodes> {
    const under = this.#asking.get(name);
    if (under) return under;
    const asking = this.#askEach(name, new Set(servers)).finally(() => this.#asking.delete(name));
    this.#asking.set(name, asking);
    return asking;
  }

  async #askEach(name: string, servers: Iterable<string>): Promise<Nodes> {
    const causes: Error[] = [];
    for (const server of servers) {
      if (causes.length > 0) await sleep((this.#o.random() * this.#o.jitter) / 4);
      try {
        const nodes = await this.#askOne(server, name);
        return this.#keep(name, nodes);
      } catch (error) {
        if (error instanceof RefusedError) throw error;
        causes.push(new Error(`${server}: ${error instanceof Error ? error.message : String(error)}`, { cause: error }));
      }
    }
    throw new ResolveError(`no discovery server answers for ${name}`, causes);
  }

  async #askOne(server: string, name: string): Promise<Nodes> {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(new Error(`no answer within ${this.#o.timeout} ms`)), this.#o.timeout);
    try {
      // no-cache lets the browser revalidate by the tag of the answer, and needs
      // no preflight.
      const response = await this.#o.fetch(`${server}/discovery/v1/nodes?user=${encodeURIComponent(name)}`, {
        cache: "no-cache",
        credentials: "omit",
        signal: abort.signal,
      });
      const body: unknown = await response.json().catch(() => undefined);
      const said = body as { error?: unknown; text?: unknown } | undefined;
      if (response.status === 400 && typeof said?.error === "string") {
        throw new RefusedError(String(said.text), said.error);
      }
      if (!response.ok) throw new Error(`status ${response.status}`);
      return parse(body);
    } catch (error) {
      throw abort.signal.aborted ? abort.signal.reason : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Keeps an answer. One of an older epoch than what is kept comes from a node
   * that has not heard yet; only once the kept one is past its time is it
   * believed, for the epochs may have begun anew.
   */
  #keep(name: string, nodes: Nodes): Nodes {
    const kept = this.#cache.get(name);
    const now = this.#o.now();
    if (kept && nodes.epoch < kept.nodes.epoch && now < kept.at + kept.nodes.ttl * 1000) {
      this.#cache.set(name, { ...kept, checked: now });
      return kept.nodes;
    }
    this.#cache.set(name, { nodes, at: now, checked: now });
    return nodes;
  }
}

/** The user without a resource, as it is compared. */
function bare(user: string): string {
  return (user.split("/", 1)[0] ?? "").trim().toLowerCase();
}

function same(a: Nodes, b: Nodes): boolean {
  return JSON.stringify([a.primary, a.secondary]) === JSON.stringify([b.primary, b.secondary]);
}

function sleep(ms: number): Promise<void> {
  return new Promise((done) => {
    setTimeout(done, ms);
  });
}

/** Settles as promise does, or rejects when the signal says so; promise goes on for others. */
function abortable<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
