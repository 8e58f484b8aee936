import { parse, type Nodes } from "./nodes.js";

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

const PREFIX = "deskline.nodes.";

/** Keeps answers by user, in a store that may be full or forbidden; then in memory alone. */
export class Cache {
  readonly #memory = new Map<string, Entry>();
  readonly #store: Store | undefined;

  constructor(store?: Store) {
    this.#store = store ?? local();
  }

  get(user: string): Entry | undefined {
    try {
      const text = this.#store?.getItem(PREFIX + user);
      if (text) {
        const { nodes, at, checked } = JSON.parse(text) as Entry;
        if (Number.isFinite(at) && Number.isFinite(checked)) {
          return { nodes: parse({ version: 1, ...nodes }), at, checked };
        }
      }
    } catch {
      // Unreadable or not ours; what memory has counts.
    }
    return this.#memory.get(user);
  }

  set(user: string, entry: Entry): void {
    this.#memory.set(user, entry);
    try {
      this.#store?.setItem(PREFIX + user, JSON.stringify(entry));
    } catch {
      // Full or forbidden; an older answer must not win over memory.
      this.#remove(user);
    }
  }

  delete(user: string): void {
    this.#memory.delete(user);
    this.#remove(user);
  }

  #remove(user: string): void {
    try {
      this.#store?.removeItem(PREFIX + user);
    } catch {
      // Forbidden: then there is nothing in it.
    }
  }
}

function local(): Store | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined; // a frame without storage
  }
}
