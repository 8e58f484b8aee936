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
export declare function parse(body: unknown): Nodes;
/** The servers of a kept answer: any node answers for every user. */
export declare function hosts(kept: Nodes | undefined): string[];
