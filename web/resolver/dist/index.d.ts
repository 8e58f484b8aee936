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
import { type Store } from "./cache.js";
import { type Nodes } from "./nodes.js";
export type { Node, Nodes } from "./nodes.js";
export type { Store } from "./cache.js";
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
export declare class ResolveError extends Error {
    /** What each server said or did, in the order they were asked. */
    readonly causes: readonly Error[];
    readonly name = "ResolveError";
    constructor(message: string, 
    /** What each server said or did, in the order they were asked. */
    causes: readonly Error[]);
}
/** A server answered that it cannot tell: the name is malformed, or of another domain. */
export declare class RefusedError extends Error {
    /** user-missing, user-malformed, domain-unknown */
    readonly condition: string;
    readonly name = "RefusedError";
    constructor(message: string, 
    /** user-missing, user-malformed, domain-unknown */
    condition: string);
}
export declare class Resolver {
    #private;
    constructor(options: Options);
    /**
     * Returns where a user belongs: from the cache while it is fresh, and then
     * checks it in the background, else from the servers. Rejects with a
     * RefusedError or a ResolveError, or with the reason of the signal.
     */
    resolve(user: string, signal?: AbortSignal): Promise<Resolved>;
    /**
     * Asks now, as after the nodes of a cached answer could not be reached or a
     * node has told a newer epoch. The cached answer is used if nobody answers.
     */
    refresh(user: string, signal?: AbortSignal): Promise<Resolved>;
    /** Tells of an epoch seen elsewhere; a newer one than the cached answer's is asked for. */
    heal(user: string, epoch: number, signal?: AbortSignal): Promise<Resolved>;
    /** Forgets what is kept of a user. */
    forget(user: string): void;
}
