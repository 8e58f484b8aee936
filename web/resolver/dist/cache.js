import { parse } from "./nodes.js";
const PREFIX = "deskline.nodes.";
/** Keeps answers by user, in a store that may be full or forbidden; then in memory alone. */
export class Cache {
    #memory = new Map();
    #store;
    constructor(store) {
        this.#store = store ?? local();
    }
    get(user) {
        try {
            const text = this.#store?.getItem(PREFIX + user);
            if (text) {
                const { nodes, at, checked } = JSON.parse(text);
                if (Number.isFinite(at) && Number.isFinite(checked)) {
                    return { nodes: parse({ version: 1, ...nodes }), at, checked };
                }
            }
        }
        catch {
            // Unreadable or not ours; what memory has counts.
        }
        return this.#memory.get(user);
    }
    set(user, entry) {
        this.#memory.set(user, entry);
        try {
            this.#store?.setItem(PREFIX + user, JSON.stringify(entry));
        }
        catch {
            // Full or forbidden; an older answer must not win over memory.
            this.#remove(user);
        }
    }
    delete(user) {
        this.#memory.delete(user);
        this.#remove(user);
    }
    #remove(user) {
        try {
            this.#store?.removeItem(PREFIX + user);
        }
        catch {
            // Forbidden: then there is nothing in it.
        }
    }
}
function local() {
    try {
        return globalThis.localStorage;
    }
    catch {
        return undefined; // a frame without storage
    }
}
