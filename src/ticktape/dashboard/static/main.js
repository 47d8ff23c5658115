// Connects, hands each message to the parts of the page, and says in words how all of it stands.

import { byId, clock, count, say, span } from "./words.js";
import * as values from "./values.js";
import * as symbol from "./symbol.js";
import * as stages from "./stages.js";
import * as day from "./day.js";
import * as run from "./run.js";

const SILENT_MS = 8000; // the server speaks four times a second
const WAITS_MS = [300, 600, 1000, 2000, 4000];
const parts = [run, values, symbol, stages, day];

let socket = null;
let tries = 0;
let heardAt = 0;
let heardOnce = false;
let aheadMs = 0; // of the server's clock before ours
let standing = { state: "starting", words: "Connecting …" };
let closedWords = "";

const nowMs = () => Date.now() + aheadMs;

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/live`);
  const own = socket;
  own.onmessage = (event) => {
    if (own !== socket) return;
    tries = 0;
    heardAt = performance.now();
    heardOnce = true;
    closedWords = "";
    const message = JSON.parse(event.data);
    aheadMs = message.now_ms - Date.now();
    if (message.standing) standing = message.standing;
    if (message.run) {
      say(byId("directory"), message.run.directory.split(/[\\/]/).filter(Boolean).at(-1) || "");
      byId("directory").title = message.run.directory;
    }
    for (const part of parts) part.take(message, nowMs());
    if (message.first) watch(symbol.chosen());
    show();
  };
  own.onclose = () => {
    if (own !== socket) return;
    socket = null;
    if (!closedWords) closedWords = "The page has lost its server";
    refused();
    setTimeout(connect, WAITS_MS[Math.min(tries++, WAITS_MS.length - 1)]);
    show();
  };
}

// A socket that is refused does not say why; the page itself does.
async function refused() {
  try {
    const answer = await fetch("/", { cache: "no-store" });
    if (answer.status === 403) closedWords = "The page's server was started anew: open the address it printed";
    if (answer.status === 503) closedWords = "The page's server has too many connections";
  } catch { /* It is away: the words say so already. */ }
}

function watch(chosen) {
  if (socket?.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify({ watch: chosen ? [chosen.feed, chosen.symbol] : null }));
  }
}

function show() {
  const silentMs = performance.now() - heardAt;
  let { state, words } = standing;
  if (!socket || socket.readyState !== WebSocket.OPEN || silentMs > SILENT_MS) {
    const since = heardOnce ? `; what is shown is ${span(silentMs / 1000)} old` : "";
    if (heardOnce || tries > 1) {
      state = "unconnected";
      words = `${closedWords || "Nothing is heard from the page's server"}${since}. Trying again …`;
    } else {
      state = "connecting";
      words = "Connecting …";
    }
  }
  if (document.body.dataset.state !== state) document.body.dataset.state = state;
  say(byId("state"), state === "unconnected" ? "not connected" : state);
  say(byId("words"), words);
  say(byId("clock"), `${clock(nowMs())} UTC`);
  const isLive = ["recording", "behind", "starting"].includes(state);
  const rate = isLive ? stages.rateNow() : null;
  say(byId("rate"), rate == null ? "" : `${count(rate)} entries/s`);
  document.title = `${state === "recording" ? "" : `${state} · `}ticktape`;
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    byId("filter").focus();
  } else if (event.key === "?" && !typing) {
    byId("keys").showModal();
  } else if (event.key === "Escape" && !byId("keys").open) {
    symbol.closePath();
  }
});
byId("keys-open").onclick = () => byId("keys").showModal();
values.onChoose((chosen) => {
  symbol.choose(chosen);
  watch(chosen);
});
setInterval(() => {
  show();
  values.tick(nowMs());
  symbol.tick(nowMs());
  run.tick(nowMs());
}, 500);
connect();
