// SPDX-License-Identifier: Apache-2.0
// The dashboard: asks the server that sent it for the last look at the whole cache (cache.json) every second, and for the last
// hour (history.json) every ten, and shows both. docs/operations.md says what the numbers mean.
"use strict";

const CACHE_EVERY_MS = 1000;
const HISTORY_EVERY_MS = 10000;
const STALE_MS = 8000; // a look older than this is said to be old

const byId = (id) => document.getElementById(id);
const map = new RegionMap(byId("map"));
const charts = new LagCharts(byId("charts"));
let lastHistory = null;

// --- what a look says, table by table ---

const isShipment = (pair) => pair.group === "ship";
const pairKey = (pair) => (isShipment(pair) ? `${pair.source}→${pair.destination}` : `${pair.source}, repair`);
const pairName = (pair) => (isShipment(pair) ? `${pair.source} → ${pair.destination}` : `${pair.source}, repair`);
const stateKind = (state) => ({fine: "good", slow: "warn"})[state] || "bad";
const scoreKind = (score) => (score >= 90 ? "good" : score >= 50 ? "warn" : "bad");

function countCell(value, field, kindAboveZero = "", isKnown = true) {
  if (!isKnown) return {text: "–", field, kind: "zero"};
  return {text: showCount(value), field, kind: value === 0 ? "zero" : kindAboveZero};
}

function unexplainedCell(pair) {
  const field = "unexplained";
  if (pair.unexplained === null) return {text: pair.known ? "moving" : "–", kind: "zero", field};
  return {text: showCount(pair.unexplained), kind: pair.unexplained === 0 ? "good" : "bad", field};
}

function drawBooks(cache) {
  const headings = ["", "<state", "events/s", "p50", "p99", "oldest", "produced", "in flight", "applied", "coalesced", "other", "lost", "duplicate", "unexplained"];
  const rows = [...cache.pairs].sort((a, b) => isShipment(b) - isShipment(a)).map((pair) => {
    const {applied, coalesced, ...others} = pair.outcomes;
    const count = (value, field, kindAboveZero) => countCell(value, field, kindAboveZero, pair.known);
    const lag = isShipment(pair) && pair.recent_lag_us.count > 0 ? pair.recent_lag_us : null;
    const detail = Object.entries(others).filter(([, count]) => count > 0).map(([name, count]) => `${name} ${showCount(count)}`).join(", ");
    return {key: pairKey(pair), cells: [
      {text: pairName(pair)},
      {text: pair.state === "unknown" ? "silent" : pair.state, kind: `left ${stateKind(pair.state)}`, field: "state"},
      {text: showRate(pair.rate), field: "rate", kind: pair.rate === 0 ? "zero" : ""},
      {text: lag ? showDuration(lag.p50) : "–"}, {text: lag ? showDuration(lag.p99) : "–"},
      {text: pair.waiting_us > 0 ? showDuration(pair.waiting_us) : "–", kind: pair.state === "slow" ? "warn" : pair.state === "stalled" ? "bad" : ""},
      countCell(pair.produced, "produced"), count(pair.in_flight, "in_flight"), count(applied, "applied"), count(coalesced, "coalesced"),
      {...count(Object.values(others).reduce((sum, events) => sum + events, 0), "other"), label: detail},
      count(pair.lost, "lost", "bad"), count(pair.duplicate, "duplicate"), unexplainedCell(pair),
    ]};
  });
  drawTable(byId("books"), headings, rows);
}

function drawReadiness(cache) {
  const names = cache.regions.map((region) => region.name);
  const rows = names.map((source) => ({key: source, cells: [{text: `${source} →`}, ...names.map((destination) => {
    const pair = cache.pairs.find((p) => p.source === source && p.destination === destination);
    if (!isShipment(pair)) return {text: "", kind: "zero"};
    const {score, reason, parts} = pair.readiness;
    return {text: String(score), strong: true, small: reason, kind: scoreKind(score), field: `ready ${destination}`, label: Object.entries(parts).map(([name, part]) => `${name} ${part}`).join(", ")};
  })]}));
  drawTable(byId("ready"), ["", ...names], rows);
}

// A share of the way from 1 ms to 1 min, on a logarithmic scale, as a colour.
function heatColor(us) {
  const share = Math.max(0, Math.min(1, Math.log(Math.max(us, 1) / 1e3) / Math.log(6e4)));
  const hue = 150 - 142 * Math.min(1, share / 0.75) - (share > 0.75 ? 18 * (share - 0.75) / 0.25 : 0);
  return {color: `hsl(${Math.round((hue + 360) % 360)} ${45 + Math.round(35 * share)}% ${share > 0.75 ? 42 : 48}% / ${(0.22 + 0.78 * share).toFixed(2)})`, isHot: share > 0.62};
}

function drawHeat(cache) {
  const shipments = cache.pairs.filter(isShipment);
  const count = Math.max(0, ...shipments.map((pair) => pair.partitions.length));
  const rows = shipments.map((pair) => ({key: pairKey(pair), cells: [{text: pairName(pair)}, ...pair.partitions.map((partition) => {
    const us = Math.max(partition.waiting_us, partition.recent_lag_p99_us);
    const {color, isHot} = heatColor(us);
    const label = `${pairName(pair)}, partition ${partition.partition}: ${partition.state}, ${partition.in_flight} in flight, oldest ${showDuration(partition.waiting_us)}, lost ${partition.lost}`;
    if (!partition.known) return {text: "silent", kind: "unknown", label};
    return {text: us > 0 ? showDuration(us) : "–", kind: `${isHot && us > 0 ? "hot" : ""} ${partition.lost > 0 ? "lost" : ""} ${partition.state}`,
      color: us > 0 ? color : "", small: partition.lost > 0 ? `lost ${showCount(partition.lost)}` : "", label, field: `partition ${partition.partition}`};
  }), ...Array.from({length: count - pair.partitions.length}, () => ({text: ""}))]}));
  drawTable(byId("heat"), ["", ...Array.from({length: count}, (_, i) => String(i))], rows);
}

// Of the keys' own text nothing is trusted: it is set as text, never as markup.
function drawPrefixes(cache) {
  const {rate, byte_rate, top} = cache.prefixes;
  const names = cache.regions.map((region) => region.name);
  const isHeard = (name) => cache.processes.some((process) => process.part === "relay" && process.region === name && process.answered);
  const rateCell = (value, field) => ({text: showRate(value), field, kind: value < 0.05 ? "zero" : ""});
  const row = (key, heading, prefix) => ({key, cells: [
    {text: heading}, rateCell(prefix.rate, "rate"),
    {text: `${(100 * prefix.share).toFixed(1)} %`, field: "share", bar: prefix.share},
    {text: `${showBytes(prefix.byte_rate)}/s`, field: "byte_rate", kind: prefix.byte_rate < 0.5 ? "zero" : ""},
    ...names.map((name) => {
      const field = `from ${name}`;
      if (!prefix.sources) return {text: "", field};
      return isHeard(name) ? rateCell(prefix.sources[name], field) : {text: "–", kind: "zero", field};
    }),
  ]});
  const rows = top.map((prefix) => row(prefix.prefix, prefix.prefix || "without a prefix", prefix));
  const sum = (field) => top.reduce((total, prefix) => total + prefix[field], 0);
  const rest = {rate: Math.max(0, rate - sum("rate")), byte_rate: Math.max(0, byte_rate - sum("byte_rate"))};
  rest.share = rate > 0 ? rest.rate / rate : 0;
  // No prefix is told as a backslash and a letter other than x.
  if (top.length === 0 || rest.share >= 0.0005) rows.push(row("\\others", "all others", rest));
  drawTable(byId("prefixes"), ["", "events/s", "share", "values", ...names.map((name) => `from ${name}`)], rows);
}

function drawNodes(cache) {
  const headings = ["", "<zone", "<state", "items", "memory", "evictions", "operations", "errors"];
  const rows = cache.nodes.map((node) => {
    const hasMemory = node.items !== undefined;
    return {key: `${node.zone} ${node.node}`, cells: [
      {text: node.node}, {text: node.zone, kind: "left"},
      {text: node.known ? node.state : "not known", kind: `left ${node.up ? "good" : "bad"}`, small: node.up ? "" : node.why, field: "state"},
      {text: hasMemory ? showCount(node.items) : "–"},
      hasMemory ? {text: `${showBytes(node.bytes)} of ${showBytes(node.bytes_max)}`, bar: node.bytes / Math.max(1, node.bytes_max)} : {text: "–"},
      hasMemory ? countCell(node.evictions, "evictions", "warn") : {text: "–"},
      countCell(node.ops, "ops"), countCell(node.errors, "errors", "warn"),
    ]};
  });
  drawTable(byId("nodes"), headings, rows);
}

function drawProcesses(cache) {
  const headings = ["", "<address", "<state", "up for", "CPU", "journal waiting", "lost at journal"];
  const rows = cache.processes.map((process) => ({key: process.name, cells: [
    {text: process.name}, {text: process.address, kind: "left"},
    {text: !process.answered ? "does not answer" : process.stalled ? "queue stalled" : "answers", kind: `left ${process.answered && !process.stalled ? "good" : "bad"}`, small: process.why || process.error, field: "state"},
    {text: process.answered ? showDuration(process.uptime_s * 1e6) : "–"}, {text: process.answered ? showDuration(process.cpu_us) : "–"},
    countCell(process.journal_waiting, "journal_waiting"), countCell(process.lost_at_journal, "lost_at_journal", "bad"),
  ]}));
  drawTable(byId("processes"), headings, rows);
}

// --- what needs attention ---

function drawNotes(cache) {
  const notes = cache.notes.filter((note) => note.kind !== "ready") // readiness has a table of its own
    .map((note) => ({kind: note.kind === "bad" ? "down" : "slow", text: `${note.subject} ${note.text}`}));
  const shown = notes.length > 0 ? notes : [{kind: "fine", text: "Every process answers, nothing is lost, nothing is behind."}];
  const signature = JSON.stringify(shown);
  if (byId("notes").dataset.signature !== signature) {
    byId("notes").dataset.signature = signature;
    byId("notes").replaceChildren(...shown.map(({kind, text}) => element("li", {class: kind}, text)));
  }
  setVerdict(notes.some((note) => note.kind === "down") ? "down" : notes.length > 0 ? "slow" : "fine",
    notes.length === 0 ? "all regions are fresh" : notes.length === 1 ? "1 thing needs attention" : `${notes.length} things need attention`);
}

function setVerdict(kind, text) {
  setAttribute(byId("verdict"), "class", `pill ${kind}`);
  setText(byId("verdict"), text);
}

// --- asking ---

async function get(path) {
  const response = await fetch(path, {cache: "no-store", signal: AbortSignal.timeout(5000)});
  if (!response.ok) throw new Error(`${path} answers ${response.status}`);
  return response.json();
}

function drawCache(cache) {
  document.title = `evcache ${cache.cache}`;
  setText(byId("cache"), cache.cache);
  map.draw(cache);
  drawNotes(cache);
  drawReadiness(cache);
  drawBooks(cache);
  drawHeat(cache);
  drawPrefixes(cache);
  drawNodes(cache);
  drawProcesses(cache);
  const age = Date.now() - cache.time_us / 1000;
  setText(byId("updated"), `looked at ${new Date(cache.time_us / 1000).toLocaleTimeString([], {hour12: false})}${age > STALE_MS ? ", which is long ago" : ""}`);
  document.body.dataset.time = cache.time_us;
}

function drawHistory() {
  if (lastHistory === null) return;
  const sources = [...new Set(lastHistory.pairs.map((pair) => pair.source))];
  const isMany = sources.length > 4; // then one source at a time
  byId("from-label").hidden = !isMany;
  if (byId("from").options.length !== sources.length) byId("from").replaceChildren(...sources.map((name) => element("option", {value: name}, name)));
  charts.draw(lastHistory, isMany ? byId("from").value : "");
}

async function repeat(everyMs, work, failed) {
  for (;;) {
    const started = performance.now();
    try {
      await work();
    } catch (error) {
      failed(error);
    }
    await new Promise((resolve) => setTimeout(resolve, Math.max(100, everyMs - (performance.now() - started))));
  }
}

function showTheme() {
  const theme = document.documentElement.dataset.theme;
  setText(byId("theme"), `Theme: ${theme}`);
  drawHistory();
}

byId("theme").addEventListener("click", () => {
  themeSet(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length]);
  showTheme();
});
byId("from").addEventListener("change", drawHistory);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawHistory);
showTheme();
repeat(CACHE_EVERY_MS, async () => drawCache(await get("cache.json")), (error) => setVerdict("down", `this page has lost its server: ${error.message}`));
repeat(HISTORY_EVERY_MS, async () => {
  lastHistory = await get("history.json");
  drawHistory();
}, () => {}); // cache.json, asked more often, says what is wrong
