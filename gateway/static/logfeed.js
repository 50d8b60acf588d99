// Brings a log, each line once: first in pages what is stored, then by a stream what comes. A hidden page, and one that
// gets no stream, continues in pages.

import { LogStream } from './logstream.js';

const SOON_MS = 250;
const SELDOM_MS = 2000;
const HIDDEN_MS = 10_000;
const LATEST_RETRY_MS = 8000;
const TIMEOUT_MS = 30_000;
const FIRST_PAGE = 500;
const PAGE = 5000;
const STREAM_AGAIN_MS = 30_000;

export class LogFeed {
  /** `onLines(lines)`, `onState('live' | 'reconnecting' | 'login' | 'gone', details)`, `onEnd(answer)`. */
  constructor(url, { onLines, onState, onEnd, isEnough }) {
    Object.assign(this, { url, onLines, onState, onEnd, isEnough, cursor: null, wait: SOON_MS, failures: 0, streamAt: 0 });
    document.addEventListener('visibilitychange', () => document.hidden || this.wake?.());
    window.addEventListener('online', () => this.wake?.());
  }

  async run() {
    for (;;) {
      const delay = await this.#step();
      if (delay === null) return;
      if (delay > 0) await this.#sleep(delay);
    }
  }

  async #step() {
    let answer;
    try {
      answer = await this.#fetch();
    } catch (error) {
      return this.#failed(error);
    }
    this.failures = 0;
    this.onState('live');
    return this.#accept(answer);
  }

  #accept(answer) {
    const lines = answer.rawLogs ?? [];
    if (lines.length) this.onLines(lines);
    this.cursor = answer.next ?? this.cursor;
    if (this.isEnough()) return null;
    if (answer.ended) {
      this.onEnd(answer);
      return null;
    }
    this.wait = lines.length ? SOON_MS : Math.min(this.wait * 1.5, SELDOM_MS);
    if (lines.length >= FIRST_PAGE) return 0;
    if (document.hidden) return HIDDEN_MS;
    if (Date.now() < this.streamAt) return this.wait;
    return this.#stream();
  }

  /** Until the stream ends or breaks, or the page is hidden: an open stream holds one of the browser's few connections. */
  #stream() {
    return new Promise((resolve) => {
      const done = (delay) => {
        document.removeEventListener('visibilitychange', onHidden);
        stream.close();
        resolve(delay);
      };
      const onHidden = () => document.hidden && done(HIDDEN_MS);
      const stream = new LogStream(this.url, {
        onLines: (lines, cursor) => {
          this.onLines(lines);
          this.cursor = cursor;
          if (this.isEnough()) done(null);
        },
        onEnd: (answer) => {
          this.onEnd(answer);
          done(null);
        },
        onBroken: () => {
          this.streamAt = Date.now() + STREAM_AGAIN_MS;
          done(SOON_MS);
        },
      });
      document.addEventListener('visibilitychange', onHidden);
      stream.open(this.cursor);
    });
  }

  async #fetch() {
    const address = new URL(this.url, location.href);
    if (this.cursor !== null) address.searchParams.set('after', this.cursor);
    address.searchParams.set('limit', this.cursor === null ? FIRST_PAGE : PAGE);
    const response = await fetch(address, {
      headers: { Accept: 'application/json' },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!response.ok) {
      const { details } = await response.json().catch(() => ({}));
      throw Object.assign(new Error(`HTTP ${response.status}`), { status: response.status, details });
    }
    return response.json();
  }

  #failed(error) {
    const final = { 401: 'login', 403: 'login', 404: 'gone' }[error.status];
    this.onState(final ?? 'reconnecting', final ? '' : error.details);
    if (final) return null;
    return Math.min(SOON_MS * 2 ** ++this.failures, LATEST_RETRY_MS);
  }

  #sleep(milliseconds) {
    return new Promise((resolve) => {
      this.wake = resolve;
      setTimeout(resolve, milliseconds);
    });
  }
}
