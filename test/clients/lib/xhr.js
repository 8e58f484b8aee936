// XMLHttpRequest for Node, as far as Strophe.js uses it, on top of fetch and the
// DOMParser that Strophe.js installs.

export class XMLHttpRequest {
  readyState = 0;
  status = 0;
  statusText = '';
  responseText = '';
  responseXML = null;
  onreadystatechange = null;
  #headers = {};
  #control = new AbortController();

  open(method, url) {
    Object.assign(this, { method, url });
    this.#state(1);
  }

  setRequestHeader(name, value) {
    this.#headers[name] = value;
  }

  overrideMimeType() {}

  getAllResponseHeaders() {
    return this.response ? [...this.response.headers].map(([k, v]) => `${k}: ${v}\r\n`).join('') : '';
  }

  getResponseHeader(name) {
    return this.response?.headers.get(name) ?? null;
  }

  async send(body) {
    try {
      this.response = await fetch(this.url, { method: this.method, headers: this.#headers, body, signal: this.#control.signal });
      this.responseText = await this.response.text();
      this.status = this.response.status;
      this.statusText = this.response.statusText;
      this.responseXML = parse(this.responseText);
    } catch {
      this.status = 0;
    }
    if (!this.#control.signal.aborted) this.#state(4);
  }

  abort() {
    this.#control.abort();
    this.readyState = 0;
  }

  #state(n) {
    this.readyState = n;
    this.onreadystatechange?.();
  }
}

function parse(text) {
  try {
    return new DOMParser().parseFromString(text, 'text/xml');
  } catch {
    return null;
  }
}
