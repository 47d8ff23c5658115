// Rate, lag and latency per stage: three charts of the last quarter of an hour, and the figures of now.

import { byId, bytes, cells, count, css, duration, element, span, stageColour } from "./words.js";

const SECONDS_MAX = 900;
let names = [];
let points = [];
let latency = [];
let now = { lag_s: {}, latency: {} };
let percentile = 1;
let charts = [];

export const rateNow = () => points.at(-1)?.[1][0];

export function take(message) {
  if (message.first) [points, latency] = [[], []];
  if (message.points) points = [...points, ...message.points].slice(-SECONDS_MAX);
  if (message.latency) latency = [...latency, ...message.latency].slice(-SECONDS_MAX / 5);
  if (message.stages) {
    now = message.stages;
    if (String(now.names) !== String(names)) {
      names = now.names;
      build();
    }
  }
  if (message.first || message.points || message.latency || message.stages) show();
}

function show() {
  if (!charts.length) return;
  const seconds = points.map((point) => point[0]);
  // A stage that this run does not have (no strategy decides) is not drawn as one that does nothing.
  const absent = names.map((name, at) => !now.latency[name] && points.every((point) => !point[1][at]));
  const columns = (which) => names.map((_, at) => points.map((point) => (absent[at] ? null : point[which][at] ?? null)));
  charts[0].setData([seconds, ...columns(1)]);
  charts[1].setData([seconds, ...columns(2)]);
  charts[2].setData([latency.map((point) => point[0] + 5),
    ...names.map((name) => latency.map((point) => point[1][name]?.[percentile] ?? null))]);
  const body = byId("stages-table").tBodies[0];
  names.forEach((name, at) => {
    const row = body.rows[at];
    row.hidden = absent[at] && points.length > 0;
    const last = points.at(-1);
    const figures = now.latency[name] || [];
    const wait = now.lag_s[name];
    cells(row, [name, count(last?.[1][at]), at ? bytes(last?.[2][at]) : "", at && wait != null && wait > 0.3 ? span(wait) : "",
      ...figures.slice(0, 4).map((us) => duration(us)), count(figures[4])]);
    if (!row.cells[0].querySelector(".swatch")) {
      const swatch = element("i", { className: "swatch" });
      swatch.style.background = stageColour(at);
      row.cells[0].prepend(swatch);
    }
  });
}

function build() {
  const body = byId("stages-table").tBodies[0];
  body.replaceChildren(...names.map(() => element("tr")));
  for (const chart of charts) chart.destroy();
  charts = [
    plot("chart-rate", (value) => short(value), false),
    plot("chart-behind", (value) => bytes(value), false),
    plot("chart-latency", (value) => duration(value), true),
  ];
}

const short = (value) => (value >= 1e6 ? `${value / 1e6} M` : value >= 1e4 ? `${value / 1e3} k` : count(value));

function plot(id, words, isLog) {
  const box = byId(id);
  const axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const options = {
    width: box.clientWidth, height: 170,
    legend: { show: false }, cursor: { y: false, points: { size: 5 } }, padding: [8, 30, 0, 0],
    tzDate: (second) => uPlot.tzDate(new Date(second * 1e3), "Etc/UTC"),
    scales: { y: isLog ? { distr: 3 } : { range: (_, low, high) => [0, Math.max(1, high * 1.05)] } },
    axes: [{ ...axis, size: 24, values: "{HH}:{mm}:{ss}", space: 70 },
      { ...axis, size: 62, values: (_, ticks) => ticks.map((value) => (value == null ? "" : words(value))) }],
    series: [{}, ...names.map((name, at) => ({ label: name, stroke: stageColour(at), width: 1.4, points: { show: isLog, size: 4, fill: stageColour(at) }, spanGaps: isLog }))],
    hooks: { setCursor: [(chart) => { box.title = under(chart, words); }] },
  };
  return new uPlot(options, [[], ...names.map(() => [])], box);
}

function under(chart, words) {
  const at = chart.cursor.idx;
  if (at == null) return "";
  const when = new Date(chart.data[0][at] * 1e3).toISOString().slice(11, 19);
  const texts = names.map((name, stage) => [name, chart.data[stage + 1][at]]).filter(([, value]) => value != null);
  return [when, ...texts.map(([name, value]) => `${name} ${words(value)}`)].join("\n");
}

for (const choice of document.querySelectorAll("input[name=percentile]")) {
  choice.onchange = () => {
    percentile = Number(choice.value);
    show();
  };
}
addEventListener("resize", () => {
  for (const chart of charts) chart.setSize({ width: chart.root.parentElement.clientWidth, height: 170 });
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  build();
  show();
});
