// The last values: thousands of rows known, a few dozen drawn.

import { byId, cells, element, price, say, size, span } from "./words.js";

const ROW_PX = 22; // as the style sheet has it, with the line below
const SPARE = 6; // rows drawn beyond what can be seen, so that scrolling shows no holes

const COLUMNS = [
  { name: "symbol", text: true, width: "19%", of: (row) => row.symbol },
  { name: "feed", text: true, width: "10%", of: (row) => row.feed },
  { name: "trade", width: "15%", of: (row) => row.cell[0] },
  { name: "size", width: "12%", of: (row) => row.cell[1] },
  { name: "bid", width: "15%", of: (row) => row.cell[2] },
  { name: "ask", width: "15%", of: (row) => row.cell[4] },
  // The younger the better: descending by when it came is ascending by age.
  { name: "age", width: "14%", of: (row) => (row.cell[6] == null ? null : -row.cell[6]) },
];

let rows = [];
let shown = [];
let sort = { at: 0, up: true };
let wanted = "";
let chosen = null;
let timeMs = 0;
let tell = () => {};
let stale = true; // the order has to be made anew

const box = byId("values-box");
const head = byId("values-table").tHead;
const body = byId("values-table").tBodies[0];
const top = spacer();
const bottom = spacer();
const pool = [];
body.append(top, bottom);

function spacer() {
  const row = element("tr", { className: "spacer" });
  row.setAttribute("aria-hidden", "true");
  row.append(element("td"));
  row.firstChild.colSpan = COLUMNS.length;
  return row;
}

const heads = element("tr");
COLUMNS.forEach((column, at) => {
  const button = element("button", { text: column.name });
  button.type = "button";
  button.onclick = () => {
    sort = { at, up: sort.at === at ? !sort.up : true };
    stale = true;
    draw();
  };
  const th = element("th", { className: column.text ? "text" : "" }, button);
  th.scope = "col";
  th.style.width = column.width;
  heads.append(th);
});
head.append(heads);

export const onChoose = (listener) => { tell = listener; };

export function take(message, nowMs) {
  timeMs = nowMs;
  if (message.first) rows = [];
  for (const [feed, symbol] of message.symbols || []) {
    rows.push({ number: rows.length, feed, symbol, cell: [], way: "" });
    stale = true;
  }
  for (const [number, ...cell] of message.values || []) {
    const row = rows[number];
    const [before, after] = [row.cell[0], cell[0]];
    if (before != null && after !== before) row.way = after > before ? "up" : "down";
    row.cell = cell;
    stale ||= sort.at > 1 || Boolean(wanted && cell[8]);
  }
  if (!chosen && rows.length) choose(rows.find((row) => row.cell[2] != null) || rows[0]);
  if (chosen && rows.length && rows[chosen.number]?.symbol !== chosen.symbol) {
    chosen = rows.find((row) => row.symbol === chosen.symbol && row.feed === chosen.feed) || chosen;
  }
  if (message.symbols || message.values || message.first) draw();
}

export function tick(nowMs) {
  timeMs = nowMs;
  draw();
}

function order() {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (row) => {
    const text = `${row.symbol} ${row.feed} ${row.cell[8] || ""}`.toLowerCase();
    return words.every((word) => text.includes(word));
  };
  const of = COLUMNS[sort.at].of;
  const up = sort.up ? 1 : -1;
  shown = words.length ? rows.filter(fits) : [...rows];
  shown.sort((one, other) => {
    const [a, b] = [of(one), of(other)];
    if (a == null || b == null) return (a == null) - (b == null) || one.number - other.number; // what is missing comes last, either way
    return (a < b ? -up : a > b ? up : 0) || one.number - other.number;
  });
  stale = false;
  [...heads.cells].forEach((th, at) => {
    if (at === sort.at) th.setAttribute("aria-sort", sort.up ? "ascending" : "descending");
    else th.removeAttribute("aria-sort");
  });
  byId("values-table").setAttribute("aria-rowcount", shown.length + 1);
  say(byId("values-count"), words.length ? `${shown.length} of ${rows.length}` : `${rows.length} symbols`);
}

function draw() {
  if (stale) order();
  const height = box.clientHeight;
  const first = Math.max(0, Math.floor(box.scrollTop / ROW_PX) - SPARE);
  const last = Math.min(shown.length, first + Math.ceil(height / ROW_PX) + 2 * SPARE);
  top.firstChild.style.height = `${first * ROW_PX}px`;
  bottom.firstChild.style.height = `${(shown.length - last) * ROW_PX}px`;
  while (pool.length < last - first) {
    const row = element("tr");
    row.onclick = () => choose(row.shows);
    pool.push(row);
    bottom.before(row);
  }
  pool.forEach((tr, at) => {
    const row = shown[first + at];
    tr.hidden = first + at >= last;
    if (tr.hidden) return;
    tr.shows = row;
    tr.setAttribute("aria-rowindex", first + at + 2);
    tr.setAttribute("aria-selected", row === chosen);
    const cell = row.cell;
    const age = cell[6] == null ? "" : span((timeMs - cell[6]) / 1000);
    const name = cell[8] ? `${row.symbol} · ${cell[8]}` : row.symbol;
    cells(tr, [name, row.feed, price(cell[0]), size(cell[1]), price(cell[2]), price(cell[4]), age],
      ["text", "text", row.way, "", "", "", ""]);
  });
}

function choose(row) {
  if (!row || row === chosen) return;
  chosen = row;
  draw();
  tell({ feed: row.feed, symbol: row.symbol });
}

const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -1e9, End: 1e9 };
box.addEventListener("keydown", (event) => {
  if (!(event.key in STEPS) || event.target !== box || !shown.length) return;
  event.preventDefault();
  const at = Math.min(shown.length - 1, Math.max(0, shown.indexOf(chosen) + STEPS[event.key]));
  const up = at * ROW_PX;
  const room = box.clientHeight - 2 * ROW_PX; // the heading stands over the first row
  if (up < box.scrollTop) box.scrollTop = up;
  if (up > box.scrollTop + room) box.scrollTop = up - room;
  choose(shown[at]);
});
box.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
byId("filter").addEventListener("input", (event) => {
  wanted = event.target.value;
  stale = true;
  box.scrollTop = 0;
  draw();
});
byId("filter").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && shown.length) {
    choose(shown[0]);
    box.focus();
  }
});
