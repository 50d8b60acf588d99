// Finds text in all lines of a log, in slices so short that scrolling stays smooth.

import { plain } from './sgr.js';

const SLICE_MS = 8;

export class LogFind {
  /** `onChange({ at, count, isDone })`: `at` counts from 1; 0 means that none is selected. */
  constructor(lines, { onChange, onShow }) {
    Object.assign(this, { lines, onChange, onShow, needle: null, found: [], at: -1, next: 0 });
  }

  look(text) {
    this.needle = text ? new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'gi') : null;
    Object.assign(this, { found: [], at: -1, next: 0 });
    this.search();
    return this.needle;
  }

  /** Searches the lines that were not searched yet. */
  search() {
    clearTimeout(this.timer);
    if (!this.needle) return this.#tell(true);
    const stop = performance.now() + SLICE_MS;
    const { lines, needle } = this;
    while (this.next < lines.length && performance.now() < stop) {
      const last = Math.min(this.next + 500, lines.length);
      for (; this.next < last; this.next++) {
        needle.lastIndex = 0;
        if (needle.test(plain(lines[this.next].text))) this.found.push(this.next);
      }
    }
    const isDone = this.next >= lines.length;
    if (!isDone) this.timer = setTimeout(() => this.search());
    this.#tell(isDone);
  }

  /** Goes to the next match (+1) or the previous one (-1), wrapping around; at first to the nearest one below the top. */
  step(direction, visible) {
    const { found } = this;
    if (!found.length) return;
    if (this.at < 0) {
      const below = found.findIndex((index) => index >= visible);
      this.at = direction > 0 ? Math.max(below, 0) : (below < 0 ? found.length : below) - 1;
      if (this.at < 0) this.at = found.length - 1;
    } else this.at = (this.at + direction + found.length) % found.length;
    this.onShow(found[this.at]);
    this.#tell(this.next >= this.lines.length);
  }

  #tell(isDone) {
    this.onChange({ at: this.at + 1, count: this.found.length, isDone });
  }
}
