// The editor of a template. Without it the page has plain fields, and buttons that look and show; with it colours, choices for what
// can be typed, and a look that follows. The text itself stays in its textarea: undo, input methods and readers' aids are the
// browser's own.
const form = document.getElementById("editor");
const HIGHLIGHTED_CHARS_MAX = 200_000;
const CHOICES_MAX = 12;
const PAUSE_MS = 500;
const INDENT = "  ";

const TOKEN = new RegExp(
  [
    /(?<com>\{%-?\s*comment\b[^]{0,20000}?\{%-?\s*endcomment\s*-?%\}|\{%-?\s*#[^]{0,4000}?%\}|<!--[^]{0,20000}?-->)/,
    /(?<var>\{\{[^]{0,4000}?\}\}|\{%[^]{0,4000}?%\})/,
    /(?<tag><\/?[a-zA-Z][\w-]*|\/?>)/,
    /(?<key>[\w-]+(?==["']))/,
  ].map((one) => one.source).join("|"),
  "g",
);

// --- colours ---------------------------------------------------------------------------------------------------------------

function linesOf(text, isMarkup) {
  const lines = [[]];
  const add = (kind, piece) => {
    piece.split("\n").forEach((line, index) => {
      if (index) lines.push([]);
      if (line) lines.at(-1).push([kind, line]);
    });
  };
  if (text.length > HIGHLIGHTED_CHARS_MAX) {
    add("", text);
    return lines;
  }
  let at = 0;
  for (const found of text.matchAll(TOKEN)) {
    const [kind] = Object.entries(found.groups).find(([, said]) => said !== undefined);
    if (!isMarkup && (kind === "tag" || kind === "key")) continue;
    add("", text.slice(at, found.index));
    add(`k-${kind}`, found[0]);
    at = found.index + found[0].length;
  }
  add("", text.slice(at));
  return lines;
}

function lineElement(tokens) {
  const line = document.createElement("span");
  line.className = "ln";
  for (const [kind, text] of tokens) {
    if (!kind) line.append(text);
    else {
      const piece = document.createElement("span");
      piece.className = kind;
      piece.textContent = text;
      line.append(piece);
    }
  }
  return line;
}

class Editor {
  constructor(box) {
    this.box = box;
    this.text = box.querySelector("textarea");
    this.widget = box.dataset.editor;
    this.keys = [];
    this.bad = new Set();
    this.mayLeave = false;
    this.pre = document.createElement("pre");
    this.pre.setAttribute("aria-hidden", "true");
    this.pre.dir = this.text.dir;
    box.prepend(this.pre);
    box.classList.add("live");
    this.paint();
    this.text.addEventListener("input", () => {
      this.paint();
      choices.offer(this);
    });
    this.text.addEventListener("keydown", (event) => this.keydown(event));
    this.text.addEventListener("focus", () => { lastUsed = this; });
    this.text.addEventListener("blur", () => {
      this.mayLeave = false;
      setTimeout(() => choices.close(), 150);
    });
    this.text.addEventListener("click", () => choices.close());
    box.addEventListener("scroll", () => choices.close());
  }

  paint() {
    const lines = linesOf(this.text.value, this.widget === "code");
    const keys = lines.map((tokens, index) => JSON.stringify([tokens, this.bad.has(index + 1)]));
    let head = 0;
    while (head < keys.length && head < this.keys.length && keys[head] === this.keys[head]) head += 1;
    let tail = 0;
    while (tail < Math.min(keys.length, this.keys.length) - head && keys.at(-1 - tail) === this.keys.at(-1 - tail)) tail += 1;
    const before = this.pre.children[this.keys.length - tail] ?? null;
    for (let index = this.keys.length - tail - 1; index >= head; index -= 1) this.pre.children[index].remove();
    for (let index = head; index < lines.length - tail; index += 1) {
      const line = lineElement(lines[index]);
      line.classList.toggle("bad", this.bad.has(index + 1));
      this.pre.insertBefore(line, before);
    }
    this.keys = keys;
  }

  mark(lines) {
    this.bad = new Set(lines);
    this.paint();
  }

  keydown(event) {
    if (choices.editor === this && choices.keydown(event)) return;
    if (event.key === "Escape") {
      this.mayLeave = true;
    } else if (event.key === "Tab" && !event.shiftKey && this.widget === "code" && !this.mayLeave && !this.text.readOnly) {
      event.preventDefault();
      this.insert(INDENT);
    } else if (event.key === "Enter" && this.widget === "line") {
      event.preventDefault();
    } else if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      choices.offer(this);
    } else if (!["Shift", "Tab", "Control", "Alt", "Meta"].includes(event.key)) {
      this.mayLeave = false;
    }
  }

  // What is typed by us is undone as what is typed by hand.
  insert(text, from = this.text.selectionStart, to = this.text.selectionEnd) {
    this.text.focus();
    this.text.setSelectionRange(from, to);
    if (!document.execCommand("insertText", false, text)) {
      this.text.setRangeText(text, from, to, "end");
      this.text.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }

  // Where the caret is on the screen: the painted text lies exactly below the typed one.
  caretBox() {
    const before = this.text.value.slice(0, this.text.selectionStart);
    const line = this.pre.children[before.split("\n").length - 1];
    let column = before.length - before.lastIndexOf("\n") - 1;
    if (!line) return this.box.getBoundingClientRect();
    const walker = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (column <= node.length) {
        const range = document.createRange();
        range.setStart(node, Math.max(0, column - 1));
        range.setEnd(node, column);
        return range.getBoundingClientRect();
      }
      column -= node.length;
    }
    return line.getBoundingClientRect();
  }
}

// --- choices ---------------------------------------------------------------------------------------------------------------

const options = (id) => [...(document.getElementById(id)?.options ?? [])].map((one) => ({ text: one.value, about: "" }));
const FILTERS = options("liquid-filters");
const TAGS = options("liquid-tags");
const FIELDS = [...document.querySelectorAll("[data-insert]")].map((one) => ({
  text: one.dataset.insert,
  about: one.closest("tr").cells[1].querySelector("b").textContent,
}));

// What can stand where the caret is: a field, a filter or a tag; null outside of Liquid and inside of its quotes.
function place(editor) {
  const { selectionStart, selectionEnd, value } = editor.text;
  if (selectionStart !== selectionEnd) return null;
  const before = value.slice(Math.max(0, selectionStart - 1000), selectionStart);
  const open = Math.max(before.lastIndexOf("{{"), before.lastIndexOf("{%"));
  if (open < 0 || Math.max(before.lastIndexOf("}}"), before.lastIndexOf("%}")) > open) return null;
  const inside = before.slice(open + 2);
  if ((inside.match(/"/g) ?? []).length % 2 || (inside.match(/'/g) ?? []).length % 2) return null;
  const word = inside.match(/[\w.-]*$/)[0];
  const rest = inside.slice(0, inside.length - word.length).trim();
  const isTag = before[open + 1] === "%";
  const from = selectionStart - word.length;
  if (rest.endsWith("|")) return { word, from, all: FILTERS, isTag };
  if (isTag && (rest === "" || rest === "-")) return { word, from, all: TAGS, isTag };
  if (!isTag && !["", "-"].includes(rest)) return null;
  return { word, from, all: FIELDS, isTag };
}

const choices = {
  editor: null,
  list: null,
  found: [],
  chosen: 0,

  offer(editor) {
    const here = place(editor);
    const wanted = here?.word.toLowerCase() ?? "";
    const fitting = (here?.all ?? []).filter((one) => one.text.toLowerCase().includes(wanted) && one.text !== here.word);
    fitting.sort((a, b) => b.text.toLowerCase().startsWith(wanted) - a.text.toLowerCase().startsWith(wanted));
    if (!fitting.length) {
      this.close();
      return;
    }
    this.close();
    this.editor = editor;
    this.here = here;
    this.found = fitting.slice(0, CHOICES_MAX);
    this.chosen = 0;
    this.draw();
  },

  draw() {
    this.list = document.createElement("ul");
    this.list.className = "choices";
    this.list.id = "choices";
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", "What can stand here");
    this.found.forEach((one, index) => {
      const item = document.createElement("li");
      item.id = `choice-${index}`;
      item.setAttribute("role", "option");
      const name = document.createElement("span");
      name.textContent = one.text;
      const about = document.createElement("small");
      about.textContent = one.about;
      item.append(name, about);
      item.addEventListener("mousedown", (event) => {
        event.preventDefault();
        this.take(index);
      });
      this.list.append(item);
    });
    document.body.append(this.list);
    const caret = this.editor.caretBox();
    const { offsetWidth, offsetHeight } = this.list;
    const below = caret.bottom + offsetHeight + 4 < innerHeight;
    this.list.style.left = `${Math.max(4, Math.min(caret.right, innerWidth - offsetWidth - 4))}px`;
    this.list.style.top = `${below ? caret.bottom + 2 : Math.max(4, caret.top - offsetHeight - 2)}px`;
    this.editor.text.setAttribute("aria-autocomplete", "list");
    this.editor.text.setAttribute("aria-controls", "choices");
    this.choose(0);
  },

  choose(index) {
    this.chosen = (index + this.found.length) % this.found.length;
    [...this.list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === this.chosen)));
    this.list.children[this.chosen].scrollIntoView({ block: "nearest" });
    this.editor.text.setAttribute("aria-activedescendant", `choice-${this.chosen}`);
  },

  take(index) {
    const { editor, here } = this;
    const { text } = this.found[index];
    const behind = editor.text.value.slice(editor.text.selectionStart);
    const ends = here.all === TAGS || /^[^{]*[}%]\}/.test(behind) ? "" : here.isTag ? " %}" : " }}";
    const blank = here.all === FIELDS && here.word === "" && /\{[{%]-?$/.test(editor.text.value.slice(0, here.from)) ? " " : "";
    this.close();
    editor.insert(`${blank}${text}${here.all === FIELDS && !here.isTag ? ends : ""}`, here.from, editor.text.selectionStart);
    this.close();
  },

  keydown(event) {
    if (!this.list) return false;
    if (event.key === "ArrowDown") this.choose(this.chosen + 1);
    else if (event.key === "ArrowUp") this.choose(this.chosen - 1);
    else if (event.key === "Enter" || (event.key === "Tab" && !event.shiftKey)) this.take(this.chosen);
    else if (event.key === "Escape") this.close();
    else return false;
    event.preventDefault();
    return true;
  },

  close() {
    this.list?.remove();
    this.editor?.text.removeAttribute("aria-activedescendant");
    this.editor?.text.removeAttribute("aria-controls");
    this.list = null;
    this.editor = null;
  },
};

// --- the look, as it is typed ------------------------------------------------------------------------------------------------

let asked = null;
let waiting = 0;
let coming = null;
let mails = 0;

function trouble(text) {
  document.getElementById("trouble").textContent = text;
}

function markLines() {
  const said = JSON.parse(document.getElementById("marks").value || "{}");
  for (const editor of editors) editor.mark(said[editor.text.name] ?? []);
}

function swap(page, id) {
  const fresh = page.getElementById(id);
  const old = document.getElementById(id);
  if (!fresh || !old) return;
  const opened = [...old.querySelectorAll("details[open]")].map((one) => one.id);
  old.replaceWith(document.adoptNode(fresh));
  for (const one of opened) document.getElementById(one)?.setAttribute("open", "");
}

async function look(button = null) {
  clearTimeout(waiting);
  asked?.abort();
  asked = new AbortController();
  const { signal } = asked;
  const body = new URLSearchParams(new FormData(form));
  body.set("do", button?.value ?? "look");
  try {
    const answer = await fetch(form.dataset.live, { method: "POST", headers: { "HX-Request": "true" }, body, signal });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!answer.ok) {
      trouble(page.getElementById("trouble-text")?.textContent ?? "The preview cannot be had. Save, then load the page anew.");
      return;
    }
    trouble("");
    for (const id of ["look", "checks", "marks", ...(button ? ["data-rows"] : [])]) swap(page, id);
    markLines();
    showMail();
  } catch (error) {
    if (error.name !== "AbortError") trouble("The server does not answer. What you typed is still here; the preview goes on when it does.");
  }
}

// The mail goes into a frame of its own policy, by a form, since a page's own policy would be the policy of what is written into it.
// The new one replaces the old once it is there, and is no step of the browser's history.
function showMail() {
  const button = document.getElementById("frame-button");
  const shown = document.querySelector("iframe[data-mail]");
  if (!button || !shown) return;
  coming?.remove();
  const fresh = shown.cloneNode();
  fresh.removeAttribute("src");
  fresh.removeAttribute("width");
  const width = document.getElementById("width").value;
  if (width) fresh.setAttribute("width", width);
  // A frame keeps the name that it was opened by, so that each has one of its own.
  mails += 1;
  fresh.name = button.formTarget = `mail-${mails}`;
  fresh.hidden = true;
  shown.after(fresh);
  coming = fresh;
  fresh.addEventListener("load", () => {
    shown.remove();
    fresh.hidden = false;
    coming = null;
  }, { once: true });
  form.requestSubmit(button);
}

function lookSoon() {
  clearTimeout(waiting);
  waiting = setTimeout(look, PAUSE_MS);
}

// --- the page ----------------------------------------------------------------------------------------------------------------

let lastUsed = null;
let isTouched = false;
const editors = form ? [...form.querySelectorAll("[data-editor]")].map((box) => new Editor(box)) : [];

if (form && form.dataset.live) {
  lastUsed = editors.find((one) => one.widget !== "line") ?? editors[0];
  form.querySelector("[data-keys]").hidden = false;
  for (const code of form.querySelectorAll("[data-insert]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "insert";
    button.title = "Put it where the caret is";
    code.replaceWith(button);
    button.append(code);
    button.addEventListener("click", () => {
      const isInside = place(lastUsed);
      lastUsed.insert(isInside ? code.dataset.insert : `{{ ${code.dataset.insert} }}`);
    });
  }
  form.addEventListener("input", (event) => {
    isTouched ||= /^(p-|d-|name$)/.test(event.target.name);
    if (!event.target.name.startsWith("to-") && event.target.name !== "route") lookSoon();
  });
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-redraw]");
    if (!button) return;
    event.preventDefault();
    isTouched = true;
    look(button);
  });
  form.addEventListener("submit", (event) => {
    if (event.submitter?.id !== "frame-button") isTouched = false;
  });
  addEventListener("beforeunload", (event) => {
    if (isTouched) event.preventDefault();
  });
  document.getElementById("generator")?.addEventListener("change", () => {
    document.getElementById("context").value = "";
  });
  const frame = document.querySelector("iframe[data-mail]");
  if (frame && (!frame.hasAttribute("src") || form.elements.dark.checked)) showMail();
  markLines();
}
