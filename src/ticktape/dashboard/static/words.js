// Figures and times for people; and the only way in which text reaches the page: as text.

export const byId = (id) => document.getElementById(id);

export function element(name, { className = "", text = "", title = "" } = {}, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== "") made.textContent = text;
  if (title) made.title = title;
  made.append(...children);
  return made;
}

// Only what changed is written: a page of a thousand cells is laid out anew by each write.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function cells(row, texts, kinds = []) {
  while (row.cells.length < texts.length) row.append(element("td"));
  texts.forEach((text, at) => {
    say(row.cells[at], text);
    const kind = kinds[at] || "";
    if (row.cells[at].className !== kind) row.cells[at].className = kind;
  });
  return row;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 8 });
const sizes = new Intl.NumberFormat("en", { maximumFractionDigits: 4 });

export const count = (value) => (value == null ? "" : whole.format(value));
// Ten digits are more than any venue quotes, and fewer than what adding in binary leaves behind.
export const price = (value) => (value == null ? "" : fine.format(Number(value.toPrecision(10))));
export const size = (value) => (value == null ? "" : sizes.format(Number(value.toPrecision(6))));

// Three digits, and none that say nothing: 5.24, 83.8, 100.
const short = (value) => String(Number(value.toPrecision(3)));

export function bytes(value) {
  if (value == null) return "";
  for (const [unit, scale] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (value >= scale) return `${short(value / scale)} ${unit}`;
  }
  return `${whole.format(value)} B`;
}

export function duration(us) {
  if (us == null) return "";
  if (us < 1000) return `${short(us)} µs`;
  if (us < 1e6) return `${short(us / 1e3)} ms`;
  if (us < 1e8) return `${short(us / 1e6)} s`;
  return span(us / 1e6);
}

export function span(seconds) {
  if (seconds == null) return "";
  const there = Math.max(0, seconds);
  if (there < 10) return `${there.toFixed(1)} s`;
  if (there < 120) return `${Math.round(there)} s`;
  if (there < 7200) return `${Math.round(there / 60)} min`;
  if (there < 172800) return `${Math.round(there / 3600)} h`;
  return `${Math.round(there / 86400)} d`;
}

const iso = (ms) => new Date(ms).toISOString();
export const clock = (ms) => iso(ms).slice(11, 19);
export const clockMs = (ms) => iso(ms).slice(11, 23);
export const day = (ms) => iso(ms).slice(0, 10);

export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const stageColour = (at) => css(`--s${at % 7}`);

export async function ask(what, given = {}) {
  const answer = await fetch(`/ask/${what}?${new URLSearchParams(given)}`);
  if (!answer.ok) return { words: (await answer.text()).trim() };
  return answer.json();
}
