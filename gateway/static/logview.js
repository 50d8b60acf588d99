// Shows lines by windowing: all rows have one height, and only the visible ones exist.

import { paint, plain } from './sgr.js';

const ROW = 20;
const OVERSCAN = 20;
const GUTTER = 112;
const TIMES = 76;
const MOST_SELECTED = 2000;
export const MOST_ROWS = 1_500_000; // an element can't be higher than about 33 million pixels

export class LogView {
  constructor(element, { onScroll, onFollow }) {
    Object.assign(this, { element, onScroll, onFollow, lines: [], rows: new Map(), columns: 0, needle: null, target: -1 });
    this.hasTimes = false;
    this.isFollowing = false;
    this.window = document.createElement('div');
    this.window.className = 'rows';
    element.replaceChildren(this.window);
    element.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.schedule()).observe(element);
  }

  append(lines) {
    for (const line of lines) {
      this.lines.push(line);
      this.columns = Math.max(this.columns, columnsOf(line.text));
    }
    this.schedule();
  }

  follow(isFollowing) {
    if (isFollowing !== this.isFollowing) this.onFollow((this.isFollowing = isFollowing));
    this.schedule();
  }

  /** Scrolls a line into view, and marks it if asked to. */
  show(index, { isTarget = false } = {}) {
    this.follow(false);
    const top = index * ROW, { scrollTop, clientHeight } = this.element;
    if (isTarget) this.#retarget(index);
    this.#stretch();
    if (top < scrollTop + ROW || top > scrollTop + clientHeight - 2 * ROW) this.element.scrollTop = top - clientHeight / 3;
    this.schedule();
  }

  scrollTo(index) {
    this.follow(false);
    this.#stretch();
    this.element.scrollTop = index * ROW;
  }

  mark(needle) {
    this.needle = needle;
    this.repaint();
  }

  showTimes(hasTimes) {
    this.hasTimes = hasTimes;
    this.repaint();
  }

  repaint() {
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    this.schedule();
  }

  schedule() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.#draw();
    });
  }

  #scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.element;
    this.follow(scrollTop + clientHeight >= scrollHeight - 2 * ROW);
  }

  #retarget(index) {
    for (const at of [this.target, index]) this.rows.get(at)?.classList.toggle('target', at === index);
    this.target = index;
  }

  #stretch() {
    this.window.style.height = this.lines.length * ROW + 'px';
    this.window.style.width = `calc(${this.columns}ch + ${GUTTER + 24 + (this.hasTimes ? TIMES : 0)}px)`;
  }

  #draw() {
    const { element } = this;
    this.#stretch();
    if (this.isFollowing) element.scrollTop = element.scrollHeight;
    const first = Math.floor(element.scrollTop / ROW);
    const [from, to] = this.#withSelection(
      Math.max(0, first - OVERSCAN),
      Math.min(this.lines.length, Math.ceil((element.scrollTop + element.clientHeight) / ROW) + OVERSCAN),
    );
    this.#place(from, to);
    this.onScroll(Math.min(first + 1, this.lines.length - 1));
  }

  /** Keeps rows in the order of their lines, so that a selection is copied in order. */
  #place(from, to) {
    for (const [index, row] of this.rows) {
      if (index >= from && index < to) continue;
      row.remove();
      this.rows.delete(index);
    }
    let next = null;
    for (let index = to - 1; index >= from; index--) {
      const row = this.rows.get(index) ?? this.#make(index);
      if (row.parentNode !== this.window || row.nextSibling !== next) this.window.insertBefore(row, next);
      next = row;
    }
  }

  #make(index) {
    const line = this.lines[index];
    const row = document.createElement('div');
    row.className = `row ${line.stream}` + (line.mark ? ` is-${line.mark}` : '') + (index === this.target ? ' target' : '');
    row.style.top = index * ROW + 'px';
    row.dataset.index = index;
    if (line.number) row.append(link(line));
    if (this.hasTimes && line.number) row.append(time(line));
    const sign = document.createElement('span');
    sign.className = 'sign';
    sign.textContent = { error: 'error', warning: 'warn' }[line.mark] ?? { stderr: 'err', system: '›' }[line.stream] ?? '';
    const text = document.createElement('span');
    text.className = 'text';
    paint(text, line.text, line.style, this.needle);
    row.append(sign, text, '\n');
    this.rows.set(index, row);
    return row;
  }

  /** Keeps selected rows, because scrolling would otherwise shorten the selection. */
  #withSelection(from, to) {
    const selection = document.getSelection();
    if (!selection || selection.isCollapsed) return [from, to];
    const ends = [selection.anchorNode, selection.focusNode]
      .map((node) => (node instanceof Element ? node : node?.parentElement)?.closest('.row'))
      .filter((row) => row && this.window.contains(row))
      .map((row) => Number(row.dataset.index));
    const wide = [Math.min(from, ...ends), Math.max(to, ...ends.map((index) => index + 1))];
    return wide[1] - wide[0] <= MOST_SELECTED ? wide : [from, to];
  }
}

/** The part behind the # in a link to a line. */
export function idOf(line) {
  return line.attempt === 1 ? `L${line.number}` : `L${line.attempt}.${line.number}`;
}

function columnsOf(text) {
  const shown = plain(text);
  return shown.includes('\t') ? shown.length + 7 * (shown.split('\t').length - 1) : shown.length;
}

/** Since the first line; the whole time on hover. */
function time(line) {
  const place = document.createElement('time');
  place.className = 'time';
  place.title = new Date(line.at).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
  place.textContent = since(line.at - line.began);
  return place;
}

function since(milliseconds) {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 60) return `+${seconds.toFixed(2)} s`;
  const rest = String(Math.floor(seconds % 60)).padStart(2, '0');
  return `+${Math.floor(seconds / 60)}:${rest}`;
}

function link(line) {
  const anchor = document.createElement('a');
  anchor.className = 'number';
  anchor.href = '#' + idOf(line);
  anchor.tabIndex = -1;
  anchor.dataset.number = line.number;
  anchor.setAttribute('aria-label', `Line ${line.number}`);
  return anchor;
}
