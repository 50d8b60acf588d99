// On every page: finds projects, updates ages, sends each form once.

import './live.js';

const box = document.getElementById('find-project');

function filter() {
  const wanted = box.value.trim().toLowerCase();
  for (const item of document.querySelectorAll('[data-project]')) item.hidden = !item.dataset.project.includes(wanted);
  for (const note of document.querySelectorAll('[data-none-found]')) {
    note.hidden = [...document.querySelectorAll('.projects [data-project]')].some((item) => !item.hidden);
  }
}

if (box) {
  box.closest('[hidden]')?.removeAttribute('hidden');
  box.addEventListener('input', filter);
  box.addEventListener('keydown', (event) => {
    const first = document.querySelector('.projects [data-project]:not([hidden]) a');
    if (event.key === 'Enter' && first) first.click();
    if (event.key !== 'Escape') return;
    box.value = '';
    filter();
    box.blur();
  });
  document.addEventListener('live:updated', filter);
  document.addEventListener('keydown', (event) => {
    if (event.key !== '/' || event.defaultPrevented || event.target.closest('input, textarea, select')) return;
    event.preventDefault();
    box.select();
  });
}

// ---- Times: in the same words as gateway/routes/pages/views.py

const UNITS = [[60, 1, 's'], [3600, 60, 'min'], [86400, 3600, 'h'], [30 * 86400, 86400, 'd']];

function ago(at, isShort) {
  const seconds = Math.max(0, (Date.now() - at) / 1000);
  if (seconds < 10) return 'now';
  const [, unit, word] = UNITS.find(([limit]) => seconds < limit) ?? [];
  if (!unit) return at.toISOString().slice(0, 10);
  return `${Math.floor(seconds / unit)} ${word}` + (isShort ? '' : ' ago');
}

function lasting(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return whole < 3600 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${Math.floor(whole / 3600)} h ${Math.floor(whole / 60) % 60} min`;
}

function tick() {
  for (const time of document.querySelectorAll('time[datetime]')) {
    const at = new Date(time.dateTime);
    const text = ago(at, 'short' in time.dataset);
    time.title = at.toLocaleString();
    if (time.textContent !== text) time.textContent = text;
  }
  for (const running of document.querySelectorAll('[data-since]')) {
    running.textContent = lasting(Math.max(0, (Date.now() - Number(running.dataset.since)) / 1000));
  }
}

tick();
setInterval(tick, 1000);
document.addEventListener('live:updated', tick);

// ---- Forms

document.addEventListener('submit', (event) => {
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = 'yes';
});
window.addEventListener('pageshow', () => {
  for (const form of document.forms) delete form.dataset.sent;
});

// ---- Files whose text goes into a field, because forms here carry text alone

for (const part of document.querySelectorAll('[data-needs-script]')) part.hidden = false;
for (const chooser of document.querySelectorAll('[data-text-into]')) {
  chooser.addEventListener('change', async () => {
    const [file] = chooser.files;
    if (file) document.getElementById(chooser.dataset.textInto).value = await file.text();
  });
}
