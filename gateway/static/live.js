// Keeps a page true while something on it is in progress: fetches the page again and takes over its live parts.

const isBusy = (page) => Number(page.body.dataset.refresh ?? 0);
let timer;
let failures = 0;

async function refresh() {
  clearTimeout(timer);
  let every = isBusy(document);
  if (!document.hidden) {
    try {
      every = await update();
      failures = 0;
    } catch {
      every *= 2 ** Math.min(++failures, 3); // the page stays as it was; the next try may work
    }
  }
  if (every) timer = setTimeout(refresh, every);
}

async function update() {
  const response = await fetch(location.pathname + location.search, {
    headers: { Accept: 'text/html' },
    signal: AbortSignal.timeout(20_000),
  });
  if (!response.ok || response.redirected) throw new Error(`HTTP ${response.status}`);
  const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
  for (const part of document.querySelectorAll('[data-live]')) replace(part, fresh.getElementById(part.id));
  document.title = fresh.title;
  document.body.dataset.refresh = isBusy(fresh);
  document.dispatchEvent(new Event('live:updated'));
  return isBusy(fresh);
}

/** Only what changed, and without taking the focus away or opening what was closed. */
function replace(part, fresh) {
  if (!fresh || part.innerHTML === fresh.innerHTML) return;
  const focused = part.contains(document.activeElement) ? document.activeElement.id : '';
  const open = [...part.querySelectorAll('details[open]')].map((details) => details.id);
  part.replaceChildren(...fresh.childNodes);
  for (const id of open) if (id) part.querySelector('#' + CSS.escape(id))?.setAttribute('open', '');
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

document.addEventListener('visibilitychange', () => document.hidden || (isBusy(document) && refresh()));
document.addEventListener('live:refresh', refresh);
if (isBusy(document)) timer = setTimeout(refresh, isBusy(document));
