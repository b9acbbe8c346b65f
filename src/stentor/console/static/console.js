// What every page of the console has: a theme that the reader chose, menus that close, a clock, buttons that copy. A page can be
// read and used without any of it.
const root = document.documentElement;
const YEAR_S = 31_536_000;

function isDark() {
  return (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
}

function turnTheme() {
  const theme = isDark() ? "light" : "dark";
  root.dataset.theme = theme;
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `stentor_theme=${theme}; path=/; max-age=${YEAR_S}; samesite=lax${secure}`;
  document.dispatchEvent(new CustomEvent("stentor:theme"));
}

async function copy(button) {
  const from = button.dataset.copy ? document.getElementById(button.dataset.copy) : button.closest(".code").querySelector("code");
  const label = button.querySelector("span") || button;
  const before = label.textContent;
  try {
    await navigator.clipboard.writeText(from.value ?? from.textContent);
    label.textContent = "Copied";
  } catch {
    // No leave, or no https: the reader copies by hand what is marked for them.
    getSelection().selectAllChildren(from);
    label.textContent = "Marked";
  }
  setTimeout(() => { label.textContent = before; }, 1500);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-theme-toggle], [data-copy]");
  if (button?.hasAttribute("data-theme-toggle")) turnTheme();
  else if (button) copy(button);
  for (const open of document.querySelectorAll("details.menu[open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const open of document.querySelectorAll("details.menu[open]")) {
      open.open = false;
      open.querySelector("summary").focus();
    }
  }
});

const clock = document.querySelector("[data-clock]");
if (clock) {
  const tick = () => {
    clock.textContent = `${new Date().toISOString().slice(11, 16)} UTC`;
    clock.hidden = false;
  };
  tick();
  setInterval(tick, 5000);
}
