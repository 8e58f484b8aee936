// Waiting: for events, with a deadline, never by sleeping.

/** The time an event may take on a loaded machine before a test gives up on it. */
export const DEADLINE = 10_000;

/** Settles like promise, or fails after ms saying what was waited for. */
export async function within(promise, what, ms = DEADLINE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing after ${ms} ms: ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A promise with its resolve and reject. */
export function deferred() {
  const d = {};
  d.promise = new Promise((resolve, reject) => Object.assign(d, { resolve, reject }));
  return d;
}

/** Whether value has everything that pattern has; a function in a pattern is asked. */
export function matches(value, pattern) {
  if (typeof pattern === 'function') return Boolean(pattern(value));
  if (pattern instanceof RegExp) return typeof value === 'string' && pattern.test(value);
  if (pattern === null || typeof pattern !== 'object') return value === pattern;
  if (value === null || typeof value !== 'object') return false;
  return Object.keys(pattern).every((key) => matches(value[key], pattern[key]));
}

/** Inbox keeps events in order until somebody expects them. */
export class Inbox {
  #waiting = [];
  #fresh = [];
  all = [];

  constructor(owner) {
    this.owner = owner;
  }

  add(event) {
    this.all.push(event);
    const i = this.#waiting.findIndex((w) => matches(event, w.pattern));
    if (i < 0) this.#fresh.push(event);
    else this.#waiting.splice(i, 1)[0].resolve(event);
  }

  /** Takes the first event that matches, past or to come. */
  async take(pattern, ms) {
    const i = this.#fresh.findIndex((event) => matches(event, pattern));
    if (i >= 0) return this.#fresh.splice(i, 1)[0];
    const waiter = { pattern, ...deferred() };
    this.#waiting.push(waiter);
    try {
      return await within(waiter.promise, `${this.owner} gets ${show(pattern)}`, ms);
    } catch (err) {
      this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
      err.message += `; not taken: ${this.#fresh.slice(-12).map(show).join(' ') || 'nothing'}`;
      throw err;
    }
  }

  /** Everything so far that matches, taken or not. */
  seen(pattern) {
    return this.all.filter((event) => matches(event, pattern));
  }

  /** Forgets what was not taken. */
  clear() {
    this.#fresh = [];
  }
}

function show(value) {
  return JSON.stringify(value, (_, v) => (typeof v === 'function' || v instanceof RegExp ? String(v) : v));
}

/** Asks again and again until the answer is yes. */
export async function until(what, ask, ms = DEADLINE) {
  let over = false;
  const asking = (async () => {
    while (!over && !(await ask())) await new Promise((resolve) => setTimeout(resolve, 50));
  })();
  try {
    await within(asking, what, ms);
  } finally {
    over = true;
  }
}
