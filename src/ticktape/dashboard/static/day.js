// A day: which symbols were heard when, and where the gaps are.

import { ask, byId, cells, clock, clockMs, count, css, day as dayOf, element, say, span } from "./words.js";

const ROW_PX = 15;
const LEFT_PX = 110;
const AXIS_PX = 18;
const AGAIN_MS = 15000;
const STATES = { healed: "good", open: "bad", unhealable: "bad", healing: "doubtful", suspect: "doubtful" };

let found = null;
let wanted = "";
let askedAt = -AGAIN_MS;
let asking = false;

const canvas = byId("day-canvas");

export function take(message) {
  const is = message.standing?.state;
  if (message.first || is === "complete" || is === "incomplete" || is === "ended") askedAt = Math.min(askedAt, performance.now() - AGAIN_MS);
  // A day that is over does not change; the one that is being recorded does.
  if (!wanted && !document.hidden && performance.now() - askedAt >= AGAIN_MS) look();
}

async function look() {
  if (asking) return;
  asking = true;
  say(byId("day-note"), found ? byId("day-note").textContent : "asking …");
  try {
    const answer = await ask("coverage", wanted ? { day: wanted } : {});
    if (answer.rows) found = answer;
    say(byId("day-note"), answer.words || `${clock(answer.from_ms)} to ${clock(answer.to_ms)} UTC, ${answer.rows.length} symbols`);
    if (found) show();
  } catch {
    say(byId("day-note"), "the server does not answer");
  } finally {
    asking = false;
    askedAt = performance.now();
  }
}

function show() {
  const choice = byId("day-choice");
  if (choice.options.length !== found.days.length) {
    choice.replaceChildren(...found.days.map((each) => new Option(dayOf(each), String(each))));
  }
  choice.value = String(found.day ?? "");
  showGaps();
  draw();
}

function showGaps() {
  const gaps = found.gaps;
  const bad = gaps.filter((gap) => !gap.planned && gap.state !== "healed").length;
  say(byId("gaps").caption, gaps.length ? `${count(gaps.length)} gaps, ${bad ? `${count(bad)} of them count against the run` : "all planned or healed"}` : "No gaps.");
  byId("gaps").tHead.hidden = !gaps.length;
  const body = byId("gaps").tBodies[0];
  body.replaceChildren(...gaps.slice(0, 100).map((gap) => {
    const length = gap.to_ms == null ? "still open" : span((gap.to_ms - gap.from_ms) / 1000);
    const state = gap.planned ? "planned" : gap.state;
    return cells(element("tr"), [clock(gap.from_ms), length, gap.feed, gap.symbol || "all", state, gap.cause], ["", "", "", "", gap.planned ? "soft" : STATES[gap.state] || "", ""]);
  }));
}

function draw() {
  if (!found?.rows.length) return;
  const width = canvas.clientWidth;
  const height = found.rows.length * ROW_PX + AXIS_PX;
  const sharp = devicePixelRatio || 1;
  canvas.width = width * sharp;
  canvas.height = height * sharp;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(sharp, sharp);
  pen.font = "11px system-ui, sans-serif";
  const place = placing(width);
  found.rows.forEach((row, at) => strip(pen, row, at, place));
  for (const gap of found.gaps) mark(pen, gap, place);
  axis(pen, width, height, place);
}

function placing(width) {
  const scale = (width - LEFT_PX) / Math.max(1, found.to_ms - found.from_ms);
  return (ms) => LEFT_PX + Math.min(Math.max(ms - found.from_ms, 0), found.to_ms - found.from_ms) * scale;
}

function strip(pen, row, at, place) {
  const y = at * ROW_PX;
  const most = Math.log1p(Math.max(1, ...row.counts.map(([, n]) => n)));
  pen.fillStyle = css("--tint");
  pen.fillRect(LEFT_PX, y + 1, place(found.to_ms) - LEFT_PX, ROW_PX - 2);
  for (const [bin, n] of row.counts) {
    const from = found.from_ms + bin * found.bin_ms;
    pen.fillStyle = `rgba(${css("--heat")}, ${0.2 + (0.7 * Math.log1p(n)) / most})`;
    pen.fillRect(place(from), y + 1, Math.max(1, place(from + found.bin_ms) - place(from)), ROW_PX - 2);
  }
  pen.fillStyle = css("--ink");
  pen.fillText(`${row.symbol}`.slice(0, 16), 0, y + ROW_PX - 4, LEFT_PX - 6);
}

// A planned stop is grey; what counts against the run is red, and stands above all else.
function mark(pen, gap, place) {
  const to = gap.to_ms ?? found.to_ms;
  pen.fillStyle = gap.planned ? css("--soft") : gap.state === "healed" ? css("--good") : STATES[gap.state] === "doubtful" ? css("--doubt") : css("--bad");
  found.rows.forEach((row, at) => {
    if (row.feed !== gap.feed || (gap.symbol && gap.symbol !== row.symbol)) return;
    pen.globalAlpha = 0.75;
    pen.fillRect(place(gap.from_ms), at * ROW_PX + 1, Math.max(2, place(to) - place(gap.from_ms)), ROW_PX - 2);
    pen.globalAlpha = 1;
  });
}

function axis(pen, width, height, place) {
  const marks = Math.max(2, Math.floor((width - LEFT_PX) / 110));
  pen.fillStyle = css("--soft");
  for (let at = 0; at <= marks; at++) {
    const ms = found.from_ms + ((found.to_ms - found.from_ms) * at) / marks;
    pen.textAlign = at === 0 ? "left" : at === marks ? "right" : "center";
    pen.fillText(found.to_ms - found.from_ms < 60000 ? clockMs(ms).slice(0, 10) : clock(ms), place(ms), height - 4);
  }
  pen.textAlign = "left";
}

canvas.addEventListener("mousemove", (event) => {
  if (!found) return;
  const row = found.rows[Math.floor(event.offsetY / ROW_PX)];
  const share = (event.offsetX - LEFT_PX) / Math.max(1, canvas.clientWidth - LEFT_PX);
  if (!row || share < 0) return say(byId("day-under"), "\u00a0");
  const bin = Math.floor((share * (found.to_ms - found.from_ms)) / found.bin_ms);
  const from = found.from_ms + bin * found.bin_ms;
  const n = row.counts.find(([at]) => at === bin)?.[1] || 0;
  say(byId("day-under"), `${row.symbol} (${row.feed}), ${clock(from)} and ${span(found.bin_ms / 1000)} on: ${count(n)} entries`);
});
byId("day-choice").onchange = (event) => {
  wanted = event.target.value === String(found?.days.at(-1)) ? "" : event.target.value;
  look();
};
byId("day-again").onclick = look;
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
