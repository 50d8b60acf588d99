// The log of one deployment: fetches it, shows it, and finds text in it.

import { LogFeed } from './logfeed.js';
import { LogFind } from './logfind.js';
import { LogView, MOST_ROWS, idOf } from './logview.js';
import { markOf } from './logmarks.js';
import { PLAIN, after } from './sgr.js';

const card = document.getElementById('log-card');
const $ = (id) => document.getElementById(id);
const count = new Intl.NumberFormat('en');
const STAGES = { prepare: 'clone', clone: 'clone', detect: 'install', install: 'install', build: 'build', collect: 'publish', upload: 'publish' };

const styles = { stdout: PLAIN, stderr: PLAIN, system: PLAIN };
const stages = new Map(); // stage -> its first row
const marked = { error: [], warning: [] }; // their rows
let began = 0; // the time of the first line
let last = { attempt: 1, seq: 0, step: '' };
let received = 0;
let isEnded = false;
let hasGap = false;
let visible = 0;

const view = new LogView($('log'), { onScroll: showStage, onFollow: showFollowing });
const find = new LogFind(view.lines, { onChange: showFound, onShow: (index) => view.show(index, { isTarget: true }) });

function accept(lines) {
  const rows = [];
  for (const line of lines) {
    rows.push(...between(line));
    rows.push(toRow(line, view.lines.length + rows.length));
    marked[rows.at(-1).mark]?.push(view.lines.length + rows.length - 1);
    last = line;
  }
  received += lines.length;
  view.append(rows);
  find.search();
  showCount();
  showMarks();
  if (waitsForPlace) goToPlace();
}

function toRow(line, index) {
  if (line.step !== last.step || line.attempt !== last.attempt) Object.assign(styles, { stdout: PLAIN, stderr: PLAIN, system: PLAIN });
  const stream = line.stream in styles ? line.stream : 'stdout';
  const style = styles[stream];
  styles[stream] = after(line.log, style);
  const stage = STAGES[line.step];
  if (stage && !stages.has(stage)) stages.set(stage, index);
  const at = Date.parse(line.timestamp);
  began ||= at;
  return { text: line.log, stream, style, stage, attempt: line.attempt, number: line.seq, at, began, mark: markOf(line) };
}

/** Notes between two lines: a new attempt, or missing lines. */
function between(line) {
  const isAgain = line.attempt !== last.attempt;
  const notes = [];
  if (isAgain) stages.clear();
  if (isAgain && last.seq) notes.push(note(`Attempt ${line.attempt}: the builder was lost, the build starts over.`));
  const expected = isAgain ? 1 : last.seq + 1;
  hasGap = (hasGap && !isAgain) || line.seq > expected;
  if (line.seq > expected) notes.push(note(`${range(expected, line.seq - 1)} missing.`));
  return notes;
}

function note(text) {
  return { text, stream: 'note', style: PLAIN, number: 0 };
}

function range(first, end) {
  return first === end ? `Line ${count.format(first)} is` : `Lines ${count.format(first)}–${count.format(end)} are`;
}

// ---- Errors, warnings, times

function showMarks() {
  const found = Object.entries(marked).filter(([, rows]) => rows.length);
  const words = found.map(([word, rows]) => `${count.format(rows.length)} ${word}${rows.length === 1 ? '' : 's'}`);
  $('error-count').textContent = words.join(', ') || 'No errors';
  $('next-error').disabled = !found.length;
}

let shownMark = -1;

/** The errors one after the other, then from the first again; the warnings if there is no error. */
function nextMark() {
  const rows = marked.error.length ? marked.error : marked.warning;
  if (!rows.length) return;
  shownMark = rows.find((index) => index > shownMark) ?? rows[0];
  view.show(shownMark, { isTarget: true });
}

function toggleTimes() {
  const hasTimes = !view.hasTimes;
  view.showTimes(hasTimes);
  $('times').setAttribute('aria-pressed', hasTimes);
  localStorage.setItem('log-times', hasTimes ? 'yes' : '');
}

// ---- The header of the log

function showCount() {
  const end = isEnded ? '' : view.isFollowing ? ' · following' : ' · paused';
  $('log-count').textContent = `${count.format(received)} ${received === 1 ? 'line' : 'lines'}${end}`;
  $('log-empty').hidden = received > 0;
}

function showFollowing(isFollowing) {
  $('follow').setAttribute('aria-pressed', isFollowing);
  showCount();
}

const WAITING = $('log-empty').textContent;
const SENTENCES = {
  live: ['', ''],
  reconnecting: ['run', 'Reconnecting…'],
  login: ['bad', 'You are logged out. Reload the page to log in.'],
  gone: ['bad', 'This log no longer exists.'],
};

/** `details`: the gateway's sentence about an outage. */
function showState(state, details = '') {
  if (isEnded) return;
  say(...SENTENCES[state]);
  $('log-state').title = details;
  $('log-empty').textContent = details || WAITING;
}

function say(kind, sentence) {
  const place = $('log-state');
  if (place.textContent === sentence) return;
  place.className = sentence ? `pill ${kind}` : '';
  place.textContent = sentence;
}

function end(answer) {
  isEnded = true;
  view.follow(false);
  const missing = answer.missing ?? [];
  $('log-empty').textContent = missing.length ? 'No line of this log is stored.' : 'This deployment wrote no log.';
  if (answer.complete && !hasGap) say('ok', 'Complete');
  else if (missing.length) say('bad', 'Incomplete: ' + missing.map(([a, b]) => range(a, b)).join(', ').replace(/ (is|are)\b/g, '') + ' missing');
  else say('wait', 'Ended; some of the last lines may be missing');
  showCount();
  document.dispatchEvent(new Event('live:refresh'));
}

function isEnough() {
  if (view.lines.length < MOST_ROWS) return false;
  isEnded = true;
  view.append([note('The log is longer than this page can show. The raw text is complete.')]);
  say('wait', 'Too long to show in full');
  showCount();
  return true;
}

// ---- Stages

function showStage(index) {
  visible = index;
  // While a running build is followed, the last line is the current one.
  const current = view.lines[view.isFollowing && !isEnded ? view.lines.length - 1 : index]?.stage;
  for (const button of document.querySelectorAll('[data-stage]')) {
    if (button.dataset.stage === current) button.setAttribute('aria-current', 'step');
    else button.removeAttribute('aria-current');
    button.disabled = !stages.has(button.dataset.stage);
  }
}

card.addEventListener('click', (event) => {
  const stage = event.target.closest('[data-stage]')?.dataset.stage;
  if (stages.has(stage)) view.scrollTo(stages.get(stage));
});
document.addEventListener('live:updated', () => showStage(visible));

// ---- Find

let wanted;

function showFound({ at, count: found, isDone }) {
  const more = isDone ? '' : '…';
  if (!find.needle) $('found').textContent = '';
  else if (!found) $('found').textContent = isDone ? 'Nothing found' : 'Searching…';
  else $('found').textContent = (at ? `${count.format(at)} of ` : '') + `${count.format(found)}${more} ${found === 1 ? 'line' : 'lines'}`;
  for (const id of ['find-next', 'find-previous']) $(id).disabled = !found;
}

function lookNow() {
  clearTimeout(wanted);
  wanted = undefined;
  view.mark(find.look($('find').value));
}

function step(direction) {
  if (wanted !== undefined) lookNow();
  find.step(direction, visible);
}

$('find').addEventListener('input', () => {
  clearTimeout(wanted);
  wanted = setTimeout(lookNow, 120);
});
$('find').addEventListener('keydown', (event) => {
  if (event.key === 'Enter') step(event.shiftKey ? -1 : 1);
  if (event.key === 'Escape') {
    $('find').value = '';
    lookNow();
    $('log').focus();
  }
  if (event.key === 'Enter' || event.key === 'Escape') event.preventDefault();
});
$('find-next').addEventListener('click', () => step(1));
$('find-previous').addEventListener('click', () => step(-1));

// ---- Keys, buttons, links to lines

const KEYS = {
  '/': () => $('find').select(),
  n: () => step(1),
  N: () => step(-1),
  g: () => view.scrollTo(0),
  G: () => view.follow(true),
  f: () => view.follow(!view.isFollowing),
  e: nextMark,
  t: toggleTimes,
};

document.addEventListener('keydown', (event) => {
  const isTyping = event.target.closest('input, textarea, select');
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
});
$('top').addEventListener('click', KEYS.g);
$('bottom').addEventListener('click', KEYS.G);
$('follow').addEventListener('click', KEYS.f);
$('next-error').addEventListener('click', nextMark);
$('times').addEventListener('click', toggleTimes);
if (localStorage.getItem('log-times')) toggleTimes();

let waitsForPlace = location.hash.startsWith('#L');

function goToPlace() {
  const index = view.lines.findIndex((line) => line.number && idOf(line) === location.hash.slice(1));
  if (index < 0) return;
  waitsForPlace = false;
  view.show(index, { isTarget: true });
}
window.addEventListener('hashchange', goToPlace);

for (const hidden of card.querySelectorAll('[data-needs-script]')) hidden.hidden = false;
if (card.dataset.start === 'bottom' && !waitsForPlace) view.follow(true);
showCount();
new LogFeed(card.dataset.logs, { onLines: accept, onState: showState, onEnd: end, isEnough }).run();
