import { type Nodes } from "./nodes.js";
/** What localStorage offers, as far as it is used. */
export interface Store {
    getItem(key: string): string | null;
    setItem(key: string, value: string): void;
    removeItem(key: string): void;
}
/** An answer that is kept. */
export interface Entry {
    readonly nodes: Nodes;
    /** When it was given. */
    readonly at: number;
    /** When it was last asked for. */
    readonly checked: number;
}
/** Keeps answers by user, in a store that may be full or forbidden; then in memory alone. */
export declare class Cache {
    #private;
    constructor(store?: Store);
    get(user: string): Entry | undefined;
    set(user: string, entry: Entry): void;
    delete(user: string): void;
}
