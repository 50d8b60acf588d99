// Turns terminal sequences into text nodes and classes. Text of a log can't become markup: innerHTML is never used.

const NAMES = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/;
// Colours; terminated strings (titles, links); other sequences; the rest of broken ones.
const SEQUENCE =
  /(?:\x1b\[|\x9b)([0-9;:]*)m|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]?|[\x00-\x08\x0a-\x1f\x7f-\x9f]/g;

export const PLAIN = Object.freeze({ fg: '', bg: '', bold: false, dim: false, italic: false, under: false, inverse: false });

/** The text without its sequences. */
export function plain(text) {
  return CONTROL.test(text) ? text.replace(SEQUENCE, '') : text;
}

/** The style after this text, with which the next line of the same stream begins. */
export function after(text, style) {
  if (!CONTROL.test(text)) return style;
  for (const found of text.matchAll(SEQUENCE)) if (found[1] !== undefined) style = restyle(style, found[1]);
  return style;
}

/** Fills an element with the line. Matches of `needle`, a global RegExp, are marked. */
export function paint(element, text, style, needle) {
  element.textContent = '';
  const pieces = CONTROL.test(text) ? [...split(text, style)] : [[text, style]];
  const marks = needle ? ranges(pieces.map(([piece]) => piece).join(''), needle) : [];
  let at = 0;
  for (const [piece, pieceStyle] of pieces) {
    for (const [part, isMarked] of cut(piece, at, marks)) put(element, part, classes(pieceStyle), isMarked);
    at += piece.length;
  }
}

function* split(text, style) {
  let at = 0;
  for (const found of text.matchAll(SEQUENCE)) {
    if (found.index > at) yield [text.slice(at, found.index), style];
    at = found.index + found[0].length;
    if (found[1] !== undefined) style = restyle(style, found[1]);
  }
  if (at < text.length) yield [text.slice(at), style];
}

function ranges(text, needle) {
  return [...text.matchAll(needle)].map((found) => [found.index, found.index + found[0].length]);
}

function* cut(piece, offset, marks) {
  let at = 0;
  for (const [first, last] of marks) {
    const a = Math.max(first - offset, at), b = Math.min(last - offset, piece.length);
    if (a >= b) continue;
    if (a > at) yield [piece.slice(at, a), false];
    yield [piece.slice(a, b), true];
    at = b;
  }
  if (at < piece.length) yield [piece.slice(at), false];
}

function put(element, text, className, isMarked) {
  if (!className && !isMarked) return element.append(text);
  const child = document.createElement(isMarked ? 'mark' : 'span');
  child.className = className;
  child.textContent = text;
  element.append(child);
}

function classes(style) {
  const names = [];
  if (style.fg) names.push('f-' + style.fg);
  if (style.bg) names.push('g-' + style.bg);
  for (const flag of ['bold', 'dim', 'italic', 'under', 'inverse']) if (style[flag]) names.push('t-' + flag);
  return names.join(' ');
}

function restyle(style, parameters) {
  const codes = parameters.split(/[;:]/).map(Number);
  const next = { ...style };
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (code === 38 || code === 48) {
      const [name, used] = extended(codes.slice(i + 1));
      next[code === 38 ? 'fg' : 'bg'] = name;
      i += used;
    } else simple(next, code);
  }
  return next;
}

function simple(style, code) {
  if (code === 0) Object.assign(style, PLAIN);
  else if (code === 1) style.bold = true;
  else if (code === 2) style.dim = true;
  else if (code === 3) style.italic = true;
  else if (code === 4) style.under = true;
  else if (code === 7) style.inverse = true;
  else if (code === 22) style.bold = style.dim = false;
  else if (code === 23) style.italic = false;
  else if (code === 24) style.under = false;
  else if (code === 27) style.inverse = false;
  else if (code >= 30 && code <= 37) style.fg = NAMES[code - 30];
  else if (code >= 90 && code <= 97) style.fg = NAMES[code - 90];
  else if (code === 39) style.fg = '';
  else if (code >= 40 && code <= 47) style.bg = NAMES[code - 40];
  else if (code >= 100 && code <= 107) style.bg = NAMES[code - 100];
  else if (code === 49) style.bg = '';
}

/** The nearest named colour for one of 256 or of all: it is readable on light and on dark. */
function extended(codes) {
  if (codes[0] === 5) return [indexed(codes[1]), 2];
  if (codes[0] === 2) return [nearest(codes[1], codes[2], codes[3]), 4];
  return ['', codes.length];
}

function indexed(index) {
  if (!(index >= 0 && index <= 255)) return '';
  if (index < 16) return NAMES[index % 8];
  if (index >= 232) return 'white';
  const level = (value) => (value ? 55 + 40 * value : 0);
  return nearest(level(Math.floor((index - 16) / 36)), level(Math.floor((index - 16) / 6) % 6), level((index - 16) % 6));
}

function nearest(red, green, blue) {
  const most = Math.max(red, green, blue), least = Math.min(red, green, blue);
  if (!(most - least > 24)) return 'white';
  const bit = (value) => (value - least > (most - least) / 2 ? 1 : 0);
  return NAMES[bit(red) + 2 * bit(green) + 4 * bit(blue)];
}
