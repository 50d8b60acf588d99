// Follows a log by server-sent events. Where they do not get through, the caller asks for pages instead.

const OPEN_MS = 10_000;

export class LogStream {
  /** `onLines(lines, cursor)`; `onEnd(answer)`; `onBroken()`: the stream is closed, and does not come back by itself. */
  constructor(url, { onLines, onEnd, onBroken }) {
    Object.assign(this, { url, onLines, onEnd, onBroken, waiting: [] });
  }

  open(cursor) {
    const address = new URL(`${this.url}/stream`, location.href);
    address.searchParams.set('after', cursor);
    this.source = new EventSource(address);
    this.timer = setTimeout(() => this.#break(), OPEN_MS);
    this.source.addEventListener('open', () => clearTimeout(this.timer));
    this.source.addEventListener('message', (event) => this.#take(event));
    this.source.addEventListener('end', (event) => this.#end(JSON.parse(event.data)));
    this.source.addEventListener('error', () => this.#break());
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = undefined;
    this.#pass();
  }

  /** Lines that arrive together are passed on together. */
  #take(event) {
    this.waiting.push(JSON.parse(event.data));
    this.cursor = event.lastEventId;
    this.task ??= setTimeout(() => this.#pass());
  }

  #pass() {
    clearTimeout(this.task);
    this.task = undefined;
    const lines = this.waiting.splice(0);
    if (lines.length) this.onLines(lines, this.cursor);
  }

  #end(answer) {
    this.close();
    this.onEnd(answer);
  }

  #break() {
    if (!this.source) return;
    this.close();
    this.onBroken();
  }
}
