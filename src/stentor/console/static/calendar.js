// Dragging in the calendar: fills in and sends the form below it, which does the same without a pointer or this script.
const calendar = document.querySelector("[data-calendar]");
const form = document.querySelector("[data-move-form]");
const FAR = 6;

let held = null;

function dayAt(x, y) {
  return document.elementFromPoint(x, y)?.closest("[data-day]") ?? null;
}

function aim(day) {
  held.over?.classList.remove("over");
  held.over = day;
  day?.classList.add("over");
}

function letGo() {
  if (!held) return;
  aim(null);
  held.chip.classList.remove("grab");
  held = null;
}

if (calendar && form) {
  calendar.addEventListener("dragstart", (event) => event.preventDefault());

  calendar.addEventListener("pointerdown", (event) => {
    const chip = event.target.closest("[data-move]");
    // A finger scrolls; it moves things by the form.
    if (!chip || event.button !== 0 || event.pointerType === "touch") return;
    held = { chip, from: chip.closest("[data-day]"), x: event.clientX, y: event.clientY, moved: false, over: null };
    chip.setPointerCapture(event.pointerId);
  });

  calendar.addEventListener("pointermove", (event) => {
    if (!held) return;
    if (!held.moved && Math.hypot(event.clientX - held.x, event.clientY - held.y) < FAR) return;
    held.moved = true;
    held.chip.classList.add("grab");
    aim(dayAt(event.clientX, event.clientY));
  });

  calendar.addEventListener("pointerup", (event) => {
    if (!held) return;
    const { chip, from, moved } = held;
    const day = moved ? dayAt(event.clientX, event.clientY) : null;
    letGo();
    if (!moved) return;
    // The click that follows would open what was only dropped.
    const swallow = (click) => click.preventDefault();
    chip.addEventListener("click", swallow);
    setTimeout(() => chip.removeEventListener("click", swallow));
    if (!day || day === from) return;
    form.elements.what.value = chip.dataset.move;
    form.elements.to.value = day.dataset.day;
    form.requestSubmit();
  });

  calendar.addEventListener("pointercancel", letGo);
  addEventListener("keydown", (event) => { if (event.key === "Escape") letGo(); });
}
