// A reverse proxy with the faults of real ones. It is transparent until told.

import { once } from 'node:events';
import http from 'node:http';

const ERROR_PAGE = '<!DOCTYPE html>\n<html><head><title>504 Gateway Time-out</title></head>\n<body><center><h1>504 Gateway Time-out</h1></center><hr></body></html>\n';

/** Proxy stands before a port, the target, of a host and counts what it did. */
export class Proxy {
  /** How long a request may take before it is cut, in ms. */
  cutAfter = 0;
  /** How a request is cut: "reset" closes the connection, "page" answers 504 in HTML. */
  cut = 'reset';
  /** Answers that many requests with a page of HTML without asking the server. */
  pages = 0;
  /** Sends each request with a body to the server twice at once and passes one answer on. */
  twice = false;
  counts = { requests: 0, cuts: 0, pages: 0, doubled: 0 };
  #sockets = new Set();

  static async start(target, host = '127.0.0.1') {
    const proxy = new Proxy();
    Object.assign(proxy, { target, host });
    proxy.agent = new http.Agent({ keepAlive: true });
    proxy.server = http.createServer((req, res) => proxy.#serve(req, res));
    proxy.server.on('connection', (socket) => {
      proxy.#sockets.add(socket);
      socket.on('close', () => proxy.#sockets.delete(socket));
    });
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    return proxy;
  }

  get door() {
    return `http://localhost:${this.server.address().port}/http-bind`;
  }

  async #serve(req, res) {
    this.counts.requests++;
    const chunks = [];
    try {
      for await (const chunk of req) chunks.push(chunk);
    } catch {
      return;
    }
    const body = Buffer.concat(chunks);
    if (this.pages > 0 && req.method === 'POST') {
      this.pages--;
      this.counts.pages++;
      this.#page(res, req);
      return;
    }
    const first = this.#forward(req, body, res);
    if (this.twice && body.length) {
      this.counts.doubled++;
      this.#forward(req, body, null);
    }
    if (!this.cutAfter || req.method !== 'POST') return;
    const timer = setTimeout(() => {
      if (res.writableEnded || res.headersSent) return;
      this.counts.cuts++;
      if (this.cut === 'page') this.#page(res, req);
      else req.socket.destroy();
      first.destroy();
    }, this.cutAfter);
    res.on('close', () => clearTimeout(timer));
  }

  /** The answer goes to res, or nowhere. */
  #forward(req, body, res) {
    const up = http.request({ host: this.host, port: this.target, method: req.method, path: req.url, headers: req.headers, agent: this.agent }, (answer) => {
      if (!res || res.headersSent) {
        answer.resume();
        return;
      }
      res.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(res);
    });
    up.on('error', () => {
      if (res && !res.headersSent) this.#page(res, { headers: {} });
    });
    if (res) res.on('close', () => res.writableFinished || up.destroy());
    up.end(body);
    return up;
  }

  #page(res, { headers }) {
    // A proxy before the server adds no CORS headers of its own unless told to.
    const cors = headers.origin ? { 'Access-Control-Allow-Origin': headers.origin } : {};
    res.writeHead(504, { 'Content-Type': 'text/html', ...cors });
    res.end(ERROR_PAGE);
  }

  close() {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
    this.agent.destroy();
  }
}
