// Keeps a page up to date while something on it is in progress: fetches the page again and replaces its live parts.

const isBusy = (page) => Number(page.body.dataset.refresh ?? 0);
let timer;
let failures = 0;
let isRunning = false;
let isWanted = false;

/** One refresh at a time: a request during one is done after it. */
async function refresh() {
  isWanted = true;
  clearTimeout(timer);
  if (isRunning) return;
  isRunning = true;
  let every = 0;
  while (isWanted) {
    isWanted = false;
    every = await tryToUpdate();
  }
  isRunning = false;
  if (every) timer = setTimeout(refresh, every);
}

async function tryToUpdate() {
  const every = isBusy(document);
  if (document.hidden) return every;
  try {
    const next = await update();
    failures = 0;
    return next;
  } catch {
    return every * 2 ** Math.min(++failures, 3); // the page stays unchanged; the next try may work
  }
}

async function update() {
  const response = await fetch(location.pathname + location.search, {
    headers: { Accept: 'text/html' },
    signal: AbortSignal.timeout(20_000),
  });
  if (!response.ok || response.redirected) throw new Error(`HTTP ${response.status}`);
  const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
  for (const part of document.querySelectorAll('[data-live]')) {
    const theirs = fresh.getElementById(part.id);
    if (theirs) morph(part, theirs);
  }
  document.title = fresh.title;
  document.body.dataset.refresh = isBusy(fresh);
  document.dispatchEvent(new Event('live:updated'));
  return isBusy(fresh);
}

/** Changes only what differs, so that focus is kept and a click ends on the element where it began. */
function morph(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  const [ours, theirs] = [[...old.childNodes], [...fresh.childNodes]];
  const isAlike = ours.length === theirs.length && ours.every((node, i) => node.nodeName === theirs[i].nodeName);
  if (isAlike) ours.forEach((node, i) => morph(node, theirs[i]));
  else old.replaceChildren(...theirs);
}

document.addEventListener('visibilitychange', () => document.hidden || (isBusy(document) && refresh()));
document.addEventListener('live:refresh', refresh);
if (isBusy(document)) timer = setTimeout(refresh, isBusy(document));
