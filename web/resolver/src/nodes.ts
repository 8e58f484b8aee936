/** One node as clients reach it. */
export interface Node {
  readonly node: string;
  /** Address for BOSH, if the node has it. */
  readonly bosh?: string;
  /** Address for WebSocket, if the node has it. */
  readonly websocket?: string;
}

/** Where a user belongs. */
export interface Nodes {
  readonly domain: string;
  /** Raised by each change of an assignment. */
  readonly epoch: number;
  /** Seconds for which the answer is good. */
  readonly ttl: number;
  readonly primary: Node;
  readonly secondary: Node | null;
}

/** Reads an answer of discovery; what is not one is an error. */
export function parse(body: unknown): Nodes {
  const o = record(body);
  if (!o || o["version"] !== 1) throw new Error("the answer is of no known version");
  const { domain, epoch, ttl } = o;
  if (typeof domain !== "string" || !isCount(epoch) || !isCount(ttl)) throw new Error("the answer is malformed");
  const primary = node(o["primary"]);
  if (!primary) throw new Error("the answer names no primary node");
  return { domain, epoch, ttl, primary, secondary: node(o["secondary"]) };
}

function node(value: unknown): Node | null {
  if (value === null || value === undefined) return null;
  const o = record(value);
  const name = o?.["node"];
  if (!o || typeof name !== "string" || name === "") throw new Error("the answer has a malformed node");
  const bosh = address(o["bosh"], ["https:", "http:"]);
  const websocket = address(o["websocket"], ["wss:", "ws:"]);
  if (!bosh && !websocket) throw new Error(`the answer has no address of ${name}`);
  return { node: name, ...(bosh && { bosh }), ...(websocket && { websocket }) };
}

function address(value: unknown, schemes: readonly string[]): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "string" || !URL.canParse(value) || !schemes.includes(new URL(value).protocol)) {
    throw new Error("the answer has an address of no known kind");
  }
  return value;
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** The servers of a kept answer: any node answers for every user. */
export function hosts(kept: Nodes | undefined): string[] {
  const list: string[] = [];
  for (const n of [kept?.primary, kept?.secondary]) {
    const url = n?.bosh ?? n?.websocket?.replace(/^ws/, "http");
    if (url) list.push(new URL(url).origin);
  }
  return list;
}
