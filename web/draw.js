// SPDX-License-Identifier: Apache-2.0
// How things look: numbers as text, tables that are updated in place, the map of regions, lag charts.
"use strict";

// --- numbers ---

const counts = new Intl.NumberFormat("en");

function showCount(value) {
  return value === null || value === undefined ? "–" : counts.format(value);
}

function showRate(perSecond) {
  return perSecond >= 100 ? counts.format(Math.round(perSecond)) : String(Math.round(perSecond * 10) / 10);
}

function showDuration(us) {
  const [value, unit] = us >= 1e6 ? [us / 1e6, "s"] : us >= 1e3 ? [us / 1e3, "ms"] : [us, "µs"];
  return `${us < 1e3 || value >= 100 ? Math.round(value) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ${unit}`;
}

function showBytes(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit++;
  }
  return `${unit === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`;
}

// --- elements ---

const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== "") made.textContent = text;
  return made;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

// rows: [{key, cells: [{text, kind, small, bar, field, label, color}]}], the first cell a heading. What has not changed is left
// alone, so that a selection, the focus and a screen reader's place stay where they are.
function drawTable(table, headings, rows) {
  if (!table.tHead) {
    table.createTHead().insertRow();
    table.createTBody();
  }
  const signature = JSON.stringify([headings, rows.map((row) => row.key)]);
  if (table.dataset.signature !== signature) {
    table.dataset.signature = signature;
    table.tHead.rows[0].replaceChildren(...headings.map((text, i) =>
      element("th", {scope: "col", class: i === 0 || text.startsWith("<") ? "left" : ""}, text.replace("<", ""))));
    table.tBodies[0].replaceChildren(...rows.map((row) => {
      const tr = element("tr", {"data-key": row.key});
      row.cells.forEach((cell, i) => tr.append(i === 0 ? element("th", {scope: "row"}) : element("td")));
      return tr;
    }));
  }
  rows.forEach((row, r) => row.cells.forEach((cell, c) => drawCell(table.tBodies[0].rows[r].cells[c], cell)));
}

function drawCell(td, cell) {
  const signature = JSON.stringify(cell);
  if (td.dataset.signature === signature) return;
  td.dataset.signature = signature;
  td.className = cell.kind || "";
  td.style.background = cell.color || "";
  if (cell.field) td.dataset.field = cell.field;
  const title = cell.label || (td.tagName === "TH" ? cell.text : ""); // a narrow page cuts names
  if (title) {
    td.title = title;
  } else {
    td.removeAttribute("title");
  }
  td.replaceChildren(cell.strong ? element("b", {}, cell.text) : cell.text);
  if (cell.bar !== undefined) {
    const inner = element("i");
    inner.style.width = `${Math.round(100 * Math.min(1, cell.bar))}%`;
    td.append(element("span", {class: "bar", "aria-hidden": "true"}, inner));
  }
  if (cell.small) td.append(element("small", {}, cell.small));
}

// --- the map ---

const MAP = {wide: {box: [150, 72], margin: 20, height: 430, font: 14, bend: 46}, narrow: {box: [96, 62], margin: 2, height: 430, font: 13, bend: 21}};
const MAP_LABELS_MAX = 5; // with more regions arrows have no texts of their own; the table below has them

class RegionMap {
  constructor(holder) {
    this.holder = holder;
    this.arrows = new Map();
    new ResizeObserver(() => this.layOut()).observe(holder);
  }

  draw(cache) {
    const names = cache.regions.map((region) => region.name);
    if (JSON.stringify(names) !== this.signature) {
      this.signature = JSON.stringify(names);
      this.names = names;
      this.layOut();
    }
    this.cache = cache;
    this.update();
  }

  layOut() {
    if (!this.names || this.holder.clientWidth === 0 || (this.width === this.holder.clientWidth && this.laid === this.signature)) return;
    this.width = this.holder.clientWidth;
    this.laid = this.signature;
    const style = this.width < 560 ? MAP.narrow : MAP.wide;
    const count = this.names.length;
    const height = count === 2 ? 230 : style.height;
    this.svg = shape("svg", {viewBox: `0 0 ${this.width} ${height}`, role: "group", "aria-label": "Map of the regions and what flows between them"});
    const [boxWidth, boxHeight] = style.box;
    const radiusX = Math.min(this.width / 2 - boxWidth / 2 - style.margin, 330), radiusY = height / 2 - boxHeight / 2 - 8;
    this.places = this.names.map((name, i) => {
      const turn = count === 2 ? Math.PI * (1 - i) : -Math.PI / 2 + (2 * Math.PI * i) / count;
      // A triangle stands on its side, with room for the arrow below.
      const [x, y] = count === 3 ? [[0, -1], [1, 0.76], [-1, 0.76]][i] : [Math.cos(turn), count === 2 ? 0 : Math.sin(turn)];
      return {x: this.width / 2 + radiusX * x, y: height / 2 + radiusY * y};
    });
    this.arrows.clear();
    for (const [s, source] of this.names.entries()) {
      for (const [d, destination] of this.names.entries()) {
        if (s !== d) this.svg.append(this.makeArrow(source, destination, this.places[s], this.places[d], style));
      }
    }
    // Texts above all lines.
    for (const arrow of this.arrows.values()) if (arrow.label) this.svg.append(arrow.label);
    this.boxes = this.names.map((name, i) => this.makeBox(name, this.places[i], style));
    this.svg.append(...this.boxes.map((box) => box.group));
    this.holder.replaceChildren(this.svg);
    if (this.cache) this.update();
  }

  makeArrow(source, destination, from, to, style) {
    const dx = to.x - from.x, dy = to.y - from.y, length = Math.hypot(dx, dy);
    const bend = Math.min(style.bend, length * 0.16);
    const control = {x: (from.x + to.x) / 2 - (dy / length) * bend * 2, y: (from.y + to.y) / 2 + (dx / length) * bend * 2};
    const start = leaveBox(control, from, style.box, 4), end = leaveBox(control, to, style.box, 9);
    const path = `M${start.x} ${start.y} Q${control.x} ${control.y} ${end.x} ${end.y}`;
    const group = shape("g", {class: "arrow", "data-pair": `${source}→${destination}`, role: "img"});
    if (this.names.length <= MAP_LABELS_MAX) group.setAttribute("tabindex", "0");
    const title = shape("title");
    const angle = Math.atan2(end.y - control.y, end.x - control.x);
    const point = (turn, size) => `${end.x + size * Math.cos(angle + turn)} ${end.y + size * Math.sin(angle + turn)}`;
    const drop = shape("circle", {class: "drop", r: 3.5});
    const motion = shape("animateMotion", {path, repeatCount: "indefinite", dur: "2s"});
    drop.append(motion);
    group.append(title, shape("path", {class: "line", d: path}), shape("path", {class: "head", d: `M${point(0, 6)} L${point(2.55, 9)} L${point(-2.55, 9)} Z`}), drop);
    const arrow = {group, title, drop, motion};
    if (this.names.length <= MAP_LABELS_MAX) {
      // Where there is little room, nearer to the source: arrows that cross then have their texts apart.
      const t = style === MAP.wide ? 0.5 : 0.36;
      const along = (a, b, c) => (1 - t) * (1 - t) * a + 2 * t * (1 - t) * b + t * t * c;
      const middle = {x: along(start.x, control.x, end.x), y: along(start.y, control.y, end.y)};
      const width = style === MAP.wide ? 92 : 78;
      middle.x = Math.max(width / 2, Math.min(this.width - width / 2, middle.x));
      arrow.label = shape("g", {class: "arrow", "aria-hidden": "true"});
      arrow.major = shape("text", {x: middle.x, y: middle.y - 2});
      arrow.minor = shape("text", {class: "minor", x: middle.x, y: middle.y + 12});
      arrow.label.append(shape("rect", {class: "plate", x: middle.x - width / 2, y: middle.y - 15, width, height: 32, rx: 6}), arrow.major, arrow.minor);
    }
    this.arrows.set(`${source}→${destination}`, arrow);
    return group;
  }

  makeBox(name, place, style) {
    const [width, height] = style.box;
    const group = shape("g", {class: "region", "data-region": name});
    const fits = Math.floor(width / 8.5);
    const label = name.length > fits ? `${name.slice(0, fits - 1)}…` : name;
    const texts = [0, 1].map((line) => shape("text", {class: "figure", x: place.x, y: place.y + 10 + 16 * line}));
    group.append(shape("title", {}, name),
      shape("rect", {x: place.x - width / 2, y: place.y - height / 2, width, height, rx: 12}),
      shape("text", {class: "name", x: place.x, y: place.y - 10, "font-size": style.font}, label), ...texts);
    return {group, texts, isNarrow: style === MAP.narrow};
  }

  update() {
    for (const pair of this.cache.pairs) {
      const arrow = this.arrows.get(`${pair.source}→${pair.destination}`);
      if (arrow) this.updateArrow(arrow, pair);
    }
    for (const [i, region] of this.cache.regions.entries()) {
      const {group, texts, isNarrow} = this.boxes[i];
      const isServed = this.cache.processes.some((p) => p.part === "proxy" && p.region === region.name && p.answered);
      group.classList.toggle("bad", !isServed);
      setText(texts[0], isServed ? `${showRate(region.read_rate)} ${isNarrow ? "r/s" : "reads/s"}` : "no proxy answers");
      setText(texts[1], isServed ? `${showRate(region.write_rate)} ${isNarrow ? "w/s" : "writes/s"}` : "");
    }
  }

  updateArrow(arrow, pair) {
    const p99 = pair.recent_lag_us.count > 0 ? `p99 ${showDuration(pair.recent_lag_us.p99)}` : "quiet";
    const isBroken = pair.state === "down" || pair.state === "unknown";
    const state = pair.state === "unknown" ? "relay silent" : pair.state;
    const major = isBroken ? state : `${showRate(pair.rate)}/s`;
    const minor = isBroken ? "" : pair.state === "fine" ? p99 : `${pair.state}, ${showDuration(pair.waiting_us)}`;
    setAttribute(arrow.group, "data-state", pair.state);
    const summary = `${pair.source} to ${pair.destination}: ${state}, ${showRate(pair.rate)} events a second, ${p99}, ${pair.in_flight} on their way, ${pair.lost} lost`;
    setText(arrow.title, summary);
    setAttribute(arrow.group, "aria-label", summary);
    arrow.drop.style.visibility = pair.rate > 0 ? "" : "hidden";
    const seconds = pair.rate > 1000 ? "0.9s" : pair.rate > 100 ? "1.4s" : "2.4s";
    setAttribute(arrow.motion, "dur", seconds);
    if (arrow.label) {
      setAttribute(arrow.label, "data-state", pair.state);
      setText(arrow.major, major);
      setText(arrow.minor, minor);
    }
  }
}

// Where the line from a point to a box's middle enters the box, with a gap.
function leaveBox(point, middle, [width, height], gap) {
  const dx = point.x - middle.x, dy = point.y - middle.y;
  const scale = Math.min((width / 2 + gap) / Math.max(Math.abs(dx), 1e-6), (height / 2 + gap) / Math.max(Math.abs(dy), 1e-6), 1);
  return {x: middle.x + dx * scale, y: middle.y + dy * scale};
}

// --- lag charts ---

class LagCharts {
  constructor(holder) {
    this.holder = holder;
    this.charts = new Map();
  }

  draw(history, source) {
    const wanted = history.pairs.filter((pair) => source === "" || pair.source === source);
    const keys = wanted.map((pair) => `${pair.source}→${pair.destination}`);
    if (JSON.stringify(keys) !== this.signature) {
      this.signature = JSON.stringify(keys);
      for (const {chart} of this.charts.values()) chart.destroy();
      this.charts = new Map(keys.map((key) => [key, this.make(key)]));
      this.holder.replaceChildren(...[...this.charts.values()].map(({figure}) => figure));
    }
    const end = history.times.length > 0 ? history.times[history.times.length - 1] : Date.now() / 1000;
    wanted.forEach((pair, i) => this.update(this.charts.get(keys[i]), pair, history, end));
  }

  make(key) {
    const canvas = element("canvas", {role: "img"}), latest = element("span");
    const [source, destination] = key.split("→");
    const figure = element("figure", {"data-pair": key}, element("figcaption", {}, `${source} → ${destination}`, latest), element("div", {class: "canvas"}, canvas));
    const line = {data: [], borderWidth: 1.75, pointRadius: 0, pointHitRadius: 8, tension: 0, spanGaps: false};
    const chart = new Chart(canvas, {
      type: "line",
      data: {datasets: [{...line, label: "p50"}, {...line, label: "p99"}]},
      options: {
        animation: false, maintainAspectRatio: false, parsing: false, normalized: true,
        interaction: {mode: "index", intersect: false},
        plugins: {legend: {display: false}, tooltip: {callbacks: {
          title: (items) => new Date(items[0].parsed.x * 1000).toLocaleTimeString([], {hour12: false}),
          label: (item) => `${item.dataset.label} ${showDuration(item.parsed.y * 1000)}`,
        }}},
        scales: {
          x: {type: "linear", ticks: {maxTicksLimit: 4, maxRotation: 0, callback: (t) => new Date(t * 1000).toLocaleTimeString([], {hour: "2-digit", minute: "2-digit", hour12: false})}},
          y: {type: "logarithmic", ticks: {maxTicksLimit: 5, callback: (ms) => /^[1]0*$|^0\.0*1$/.test(String(ms)) ? showDuration(ms * 1000).replace(/\.0+ /, " ") : null}},
        },
      },
    });
    return {figure, chart, canvas, latest};
  }

  update({chart, canvas, latest}, pair, history, end) {
    const colors = getComputedStyle(document.documentElement);
    const point = (values) => history.times.map((time, i) => ({x: time, y: values[i] === null ? NaN : Math.max(values[i], 0.01)}));
    [["p50_ms", "--p50"], ["p99_ms", "--p99"]].forEach(([name, color], i) => {
      chart.data.datasets[i].data = point(pair[name]);
      chart.data.datasets[i].borderColor = colors.getPropertyValue(color).trim();
      // One point alone is no line yet.
      chart.data.datasets[i].pointRadius = history.times.length < 3 ? 2 : 0;
    });
    const span = Math.min(history.point_s * history.points_max, Math.max(600, end - (history.times[0] ?? end)));
    const values = [...pair.p50_ms, ...pair.p99_ms].filter((ms) => ms !== null);
    Object.assign(chart.options.scales.x, {min: end - span, max: end});
    // Whole decades, so that charts side by side can be compared.
    Object.assign(chart.options.scales.y, {
      min: 10 ** Math.floor(Math.log10(Math.max(0.01, Math.min(1, ...values)))), max: 10 ** Math.ceil(Math.log10(Math.max(100, ...values)))});
    for (const scale of [chart.options.scales.x, chart.options.scales.y]) {
      scale.grid = {color: colors.getPropertyValue("--line").trim(), drawTicks: false, borderColor: "transparent"};
      scale.ticks.color = colors.getPropertyValue("--muted").trim();
      scale.ticks.font = {size: 11};
    }
    chart.update("none");
    const known = pair.p99_ms.filter((ms) => ms !== null);
    const highest = known.length > 0 ? showDuration(Math.max(...known) * 1000) : "none";
    const now = pair.p99_ms.length > 0 ? pair.p99_ms[pair.p99_ms.length - 1] : null;
    setText(latest, now === null ? "quiet" : `p99 ${showDuration(now * 1000)}`);
    setAttribute(canvas, "aria-label", `Lag from ${pair.source} to ${pair.destination} over the last hour: p99 now ${now === null ? "quiet" : showDuration(now * 1000)}, highest ${highest}`);
  }
}
