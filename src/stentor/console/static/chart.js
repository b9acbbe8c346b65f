// Draws the table in each <figure class="chart" data-chart>: its first column is the time (or a name), each further one a line.
// A <th data-kind> says how: `area`, `line`, `bars`, `forecast` (dashed); data-tone names the role that colours it. The figure's
// data-quiet is a JSON list of [from, to] in ISO 8601, shaded as quiet hours. The table stays for whoever listens to it.
import uPlot from "uplot";

const HEIGHT = 220;
const plots = new Map();

const role = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// A computed custom property still says light-dark(…): an element that uses it says which of the two.
function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

// The legend of what was drawn before is a table, too.
const tableOf = (figure) => figure.querySelector("table:not(.u-legend)");

function reading(figure) {
  const table = tableOf(figure);
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...table.tBodies[0].rows];
  const times = rows.map((row) => row.querySelector("time")?.dateTime);
  const isTime = times.length > 0 && times.every(Boolean);
  const value = (cell) => {
    const said = cell?.dataset.v ?? cell?.textContent.replaceAll(",", "").trim() ?? "";
    return said === "" || said === "–" ? null : Number(said);
  };
  return {
    isTime,
    names: rows.map((row) => row.cells[0].textContent.trim()),
    series: heads.slice(1).map((head) => ({ label: head.textContent.trim(), kind: head.dataset.kind || "line", tone: head.dataset.tone || "handed" })),
    data: [
      rows.map((_, place) => (isTime ? Date.parse(times[place]) / 1000 : place)),
      ...heads.slice(1).map((_, column) => rows.map((row) => value(row.cells[column + 1]))),
    ],
  };
}

function shaded(figure) {
  const spans = JSON.parse(figure.dataset.quiet || "[]").map(([begins, ends]) => [Date.parse(begins) / 1000, Date.parse(ends) / 1000]);
  return (plot) => {
    const { left, top, width, height } = plot.bbox;
    plot.ctx.save();
    plot.ctx.fillStyle = colour("quiet-soft");
    for (const [begins, ends] of spans) {
      const x = Math.max(left, plot.valToPos(begins, "x", true));
      const until = Math.min(left + width, plot.valToPos(ends, "x", true));
      if (until > x) plot.ctx.fillRect(x, top, until - x, height);
    }
    plot.ctx.restore();
  };
}

const short = (value) => (value >= 1e6 ? `${+(value / 1e6).toFixed(1)}M` : value >= 1e4 ? `${+(value / 1e3).toFixed(1)}k` : value.toLocaleString("en"));

function options(figure, told, width) {
  const unit = figure.dataset.unit || "";
  const axis = { stroke: colour("ink-3"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: `11px ${role("sans")}` };
  return {
    width,
    height: HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    scales: { x: { time: told.isTime }, y: { range: (_, least, most) => [Math.min(0, least ?? 0), (most ?? 0) > 0 ? most * 1.08 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, ...(told.isTime ? {} : { values: (_, splits) => splits.map((split) => told.names[split] ?? "") }) },
      { ...axis, size: 52, values: (_, splits) => splits.map((split) => short(split)) },
    ],
    series: [
      { label: told.isTime ? "UTC" : "", value: (_, at) => (at == null ? "–" : told.isTime ? new Date(at * 1000).toISOString().slice(11, 19) : told.names[at]) },
      ...told.series.map(({ label, kind, tone }) => ({
        label,
        stroke: colour(kind === "forecast" ? "pending" : tone),
        width: 1.75,
        dash: kind === "forecast" ? [4, 4] : undefined,
        fill: kind === "area" ? colour("accent-soft") : kind === "bars" ? colour(tone) : undefined,
        paths: kind === "bars" ? uPlot.paths.bars({ size: [0.7, 40] }) : undefined,
        points: { show: kind !== "bars" && told.data[0].length < 3 },
        value: (_, value) => (value == null ? "–" : `${value.toLocaleString("en")}${unit}`),
      })),
    ],
    hooks: { drawClear: [shaded(figure)] },
  };
}

function draw(figure) {
  const table = tableOf(figure);
  if (!table) return;
  let place = figure.querySelector(".plot");
  if (!place) {
    place = document.createElement("div");
    place.className = "plot";
    place.dataset.keep = "";
    place.setAttribute("aria-hidden", "true");
    figure.prepend(place);
  }
  const told = reading(figure);
  const width = place.clientWidth;
  if (!width) return;
  const shape = JSON.stringify([told.series, told.isTime, figure.dataset.quiet, document.documentElement.dataset.theme, width]);
  const drawn = plots.get(place);
  if (drawn?.shape === shape && told.isTime) {
    drawn.plot.setData(told.data);
    return;
  }
  drawn?.plot.destroy();
  plots.set(place, { shape, plot: new uPlot(options(figure, told, width), told.data, place) });
}

function drawAll(within = document) {
  for (const [place, { plot }] of plots) {
    if (place.isConnected) continue;
    plot.destroy();
    plots.delete(place);
  }
  const own = within.matches?.("[data-chart]") ? [within] : [];
  for (const figure of [...own, ...within.querySelectorAll("[data-chart]")]) draw(figure);
}

drawAll();
document.addEventListener("stentor:changed", (event) => drawAll(event.detail.closest("[data-chart]") ?? event.detail));
document.addEventListener("stentor:theme", () => drawAll());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const one of plots.values()) one.shape = "";
  drawAll();
});
let resizing = 0;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(drawAll, 150);
});
