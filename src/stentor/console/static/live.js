// Parts of a page that move: the server says which changed (`live.py`), and they are changed in place, so that what a reader
// points at, has focused or has opened stays. While the connection is away the figures stay too, marked with their age.
const RETRY_MS = 5000;
// The server says something at least every ten seconds.
const SILENCE_MS = 25_000;

const from = document.querySelector("[data-live-from]")?.dataset.liveFrom;
const pill = document.querySelector("[data-live-state]");
const parts = new Set();
let source = null;
let heardAt = Date.now();
let isOver = false;

function sameKind(old, fresh) {
  return old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && (old.id || "") === (fresh.id || "");
}

// What a script put there is its own: it draws it anew when it is told of the change.
const isKept = (node) => node.nodeType === Node.ELEMENT_NODE && node.hasAttribute("data-keep");

function become(old, fresh) {
  if (!sameKind(old, fresh)) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  const was = [...old.childNodes].filter((node) => !isKept(node));
  const will = [...fresh.childNodes];
  will.forEach((node, place) => (was[place] ? become(was[place], node) : old.append(node)));
  for (const node of was.slice(will.length)) node.remove();
}

function change(part, html) {
  const old = document.getElementById(part);
  const template = document.createElement("template");
  template.innerHTML = html;
  const fresh = template.content.firstElementChild;
  if (!old || !fresh) return;
  parts.add(part);
  become(old, fresh);
  document.dispatchEvent(new CustomEvent("stentor:changed", { detail: document.getElementById(part) }));
}

function tell() {
  const age = Math.round((Date.now() - heardAt) / 1000);
  const isStale = !isOver && source?.readyState !== EventSource.OPEN && age >= 3;
  for (const part of parts) document.getElementById(part)?.classList.toggle("stale", isStale);
  if (!pill) return;
  pill.hidden = isOver;
  pill.classList.toggle("live", !isStale);
  pill.classList.toggle("go", !isStale);
  pill.classList.toggle("hold", isStale);
  const text = isStale ? `${new Date(heardAt).toISOString().slice(11, 19)}, ${age} s old` : "Live";
  if (pill.textContent !== text) pill.textContent = text;
}

function heard() {
  heardAt = Date.now();
  tell();
}

function listen() {
  if (source || isOver || document.hidden) return;
  source = new EventSource(from);
  source.addEventListener("fragments", (event) => {
    for (const [part, html] of Object.entries(JSON.parse(event.data))) change(part, html);
    heard();
  });
  source.addEventListener("still", heard);
  source.addEventListener("over", () => {
    isOver = true;
    leave();
    heard();
  });
}

function leave() {
  source?.close();
  source = null;
}

if (from) {
  listen();
  // A browser has six connections for all pages of a server: one that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : listen()));
  setInterval(() => {
    if (source && Date.now() - heardAt > SILENCE_MS) leave();
    // One that was refused does not come again by itself.
    if (source?.readyState === EventSource.CLOSED) leave();
    tell();
  }, 1000);
  setInterval(listen, RETRY_MS);
}
