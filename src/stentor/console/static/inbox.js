// New messages appear by themselves: every two seconds, while somebody looks at the first page and does not point at it.
const LOOK_EVERY_MS = 2000;
const pill = document.querySelector("[data-live-state]");
let asking = false;

async function look() {
  const list = document.querySelector("[data-live]");
  if (asking || document.hidden || list.contains(document.activeElement)) return;
  asking = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("[data-live]");
    if (fresh && fresh.dataset.live !== list.dataset.live) list.replaceWith(document.adoptNode(fresh));
  } catch {
    // The server is away for a moment; the next look finds it.
  } finally {
    asking = false;
  }
}

if (pill) {
  pill.hidden = false;
  setInterval(look, LOOK_EVERY_MS);
}
