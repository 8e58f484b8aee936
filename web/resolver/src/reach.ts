/**
 * Tells a server whose certificate the browser does not trust from one that is
 * down. To a page both are the same failed request, by design of browsers.
 *
 *     const { state, page } = await reach("https://n1.example.com:5280");
 *     if (state === "untrusted") button.onclick = () => accept("https://n1.example.com:5280");
 *
 * The node's port answers without TLS as well, and that is what is asked when
 * HTTPS fails: by plain HTTP where the page may (it came by HTTP itself, or the
 * server is this machine), else as a relay for WebRTC, which browsers let any page
 * ask without TLS, and which the node refuses with a code that the page sees.
 */

/**
 * trusted: HTTPS works. untrusted: HTTPS fails, though the server answers. down:
 * nothing answers. unknown: this browser or page cannot find out.
 */
export type Reach = "trusted" | "untrusted" | "down" | "unknown";

export interface Reached {
  readonly state: Reach;
  /** What has shown it: https, http, relay, or what was in the way: policy (of the page's own), permission (of the local network), browser (has no way). */
  readonly by: "https" | "http" | "relay" | "policy" | "permission" | "browser";
  /** The page that lets the user accept the certificate. */
  readonly page: string;
}

export interface ReachOptions {
  /** Milliseconds for each way of asking, 5000. */
  readonly timeout?: number;
}

const PROBE = "/certificate/probe";

/** Finds out whether a server can be used: https://n1.example.com:5280 */
export async function reach(server: string, options: ReachOptions = {}): Promise<Reached> {
  const url = new URL(server);
  if (url.protocol !== "https:") throw new TypeError(`server: ${server} is no https address`);
  const timeout = options.timeout ?? 5000;
  const done = (state: Reach, by: Reached["by"]): Reached => ({ state, by, page: certificatePage(url) });

  // Nothing answered, or nothing may be asked.
  const nothing = async (by: Reached["by"]) => ((await localNetworkDenied()) ? done("unknown", "permission") : done("down", by));

  const https = await ask(`https://${url.host}${PROBE}`, timeout);
  if (https === "answered") return done("trusted", "https");
  if (https === "forbidden") return done("unknown", "policy");
  if (mayAskPlain(url)) {
    const http = await ask(`http://${url.hostname}:${url.port || "443"}${PROBE}`, timeout);
    if (http === "answered") return done("untrusted", "http");
    if (http !== "forbidden") return nothing("http");
  }
  switch (await askRelay(url, timeout)) {
    case "answered":
      return done("untrusted", "relay");
    case "failed":
      return nothing("relay");
    case "silent":
      // Only with both is it the network, not the browser.
      return https === "silent" ? nothing("relay") : done("unknown", "browser");
    default:
      return done("unknown", "browser");
  }
}

/**
 * Opens the page of the certificate in a new tab, and resolves to true when the
 * browser takes it, to false when the user has closed the tab. It has to be called
 * by a click. The node tells origins of http.cors_origins only.
 */
export function accept(server: string): Promise<boolean> {
  const url = new URL(server);
  const tab = window.open(certificatePage(url, location.origin), "_blank");
  if (!tab) return Promise.resolve(false);
  return new Promise((resolve) => {
    const finish = (taken: boolean): void => {
      clearInterval(watch);
      window.removeEventListener("message", hear);
      resolve(taken);
    };
    const hear = (event: MessageEvent): void => {
      const said = event.data as { deskline?: unknown; trusted?: unknown } | null;
      if (event.origin === url.origin && said?.deskline === "certificate" && said.trusted === true) finish(true);
    };
    const watch = setInterval(() => tab.closed && finish(false), 500);
    window.addEventListener("message", hear);
  });
}

function certificatePage(url: URL, from?: string): string {
  return `${url.origin}/certificate${from ? `?from=${encodeURIComponent(from)}` : ""}`;
}

type Answer = "answered" | "failed" | "silent" | "forbidden";

/** Asks without reading the answer, so that no origin has to be allowed. */
async function ask(address: string, timeout: number): Promise<Answer> {
  let forbidden = false;
  const violated = (event: SecurityPolicyViolationEvent): void => {
    forbidden ||= address.startsWith(event.blockedURI) && event.disposition === "enforce";
  };
  document.addEventListener("securitypolicyviolation", violated);
  const limit = AbortSignal.timeout(timeout);
  try {
    await fetch(address, { mode: "no-cors", cache: "no-store", credentials: "omit", signal: limit });
    return "answered";
  } catch {
    // The event comes as a task of its own.
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (forbidden) return "forbidden";
    return limit.aborted ? "silent" : "failed";
  } finally {
    document.removeEventListener("securitypolicyviolation", violated);
  }
}

/** Whether the browser lets this page ask by plain HTTP (Mixed Content, W3C). */
function mayAskPlain(url: URL): boolean {
  return location.protocol === "http:" || /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
}

/** Chrome asks the user before a page of the internet may connect to the local network. */
async function localNetworkDenied(): Promise<boolean> {
  if (!window.isSecureContext) return false; // it is always denied there, and matters to pages of the internet alone
  try {
    const status = await navigator.permissions.query({ name: "local-network-access" as PermissionName });
    return status.state === "denied";
  } catch {
    return false; // the browser has no such rule
  }
}

/** Connecting failed, RFC 8445's own code in WebRTC: nothing was answered. */
const NO_ANSWER = 701;

async function askRelay(url: URL, timeout: number): Promise<Answer> {
  if (typeof RTCPeerConnection !== "function" || !("onicecandidateerror" in RTCPeerConnection.prototype)) return "forbidden";
  const peer = new RTCPeerConnection({
    iceServers: [{ urls: `turn:${url.hostname}:${url.port || "443"}?transport=tcp`, username: "probe", credential: "probe" }],
    iceTransportPolicy: "relay",
  });
  try {
    return await new Promise<Answer>((resolve, reject) => {
      let failed = false;
      peer.addEventListener("icecandidateerror", (event) => {
        if (event.errorCode === NO_ANSWER) failed = true;
        else if (event.errorCode >= 300) resolve("answered");
      });
      peer.addEventListener("icegatheringstatechange", () => {
        if (peer.iceGatheringState === "complete") setTimeout(() => resolve(failed ? "failed" : "forbidden"), 0);
      });
      setTimeout(() => resolve("silent"), timeout);
      peer.createDataChannel("probe");
      peer.createOffer().then((offer) => peer.setLocalDescription(offer)).catch(reject);
    });
  } catch {
    return "forbidden";
  } finally {
    peer.close();
  }
}
