// One symbol: its book, its trades, and the path of the trade that was clicked.

import { ask, byId, cells, clockMs, duration, element, price, say, size, span, stageColour } from "./words.js";

const AGAIN_MS = 4000; // how often the trades are asked for; the server may answer from memory
const ORDER = ["recv", "written", "synced", "last", "decided", "stored"];

let symbol = null;
let trades = [];
let newest = null;
let bookMs = null;
let askedAt = 0;
let asking = false;
let picked = "";

export const chosen = () => symbol;

export function choose(next) {
  symbol = next;
  trades = [];
  newest = null;
  bookMs = null;
  askedAt = 0;
  say(byId("symbol-head"), next.symbol);
  say(byId("symbol-note"), next.feed);
  showBook({ bids: [], asks: [] });
  showTrades();
  closePath();
  again();
}

export function take(message) {
  if (message.run && symbol) askedAt = 0;
  const book = message.book;
  if (!book || !symbol || book.symbol !== symbol.symbol || book.feed !== symbol.feed) return;
  if (book.sort) showBook(book);
  if (book.trade) {
    newest = book.trade;
    showTrades();
  }
}

export function tick(nowMs) {
  if (symbol && bookMs != null) {
    say(byId("book-note"), byId("book-note").dataset.words + ` · ${span((nowMs - bookMs) / 1000)} old`);
  }
  again();
}

// The book.

function showBook(book) {
  const { bids, asks } = book;
  const none = !bids.length && !asks.length && !book.sort;
  byId("book-none").hidden = !none;
  byId("pair").className = none ? "pair bookless" : "pair";
  byId("ladder").hidden = none;
  bookMs = book.recv_ms ?? null;
  const note = byId("book-note");
  note.dataset.words = !book.sort ? "" : !book.valid
    ? `not valid since ${clockMs(book.since_ms)}: a gap; waits for a whole one`
    : `${book.levels[0]} × ${book.levels[1]} levels`;
  note.title = book.sort === "polled" ? `polled; the call took ${duration(book.call_us)}` : book.sort ? "put together from changes" : "";
  note.className = book.sort && !book.valid ? "bad" : "soft";
  say(note, note.dataset.words);
  const body = byId("ladder").tBodies[0];
  const most = Math.max(1e-12, ...bids.map((level) => level[1]), ...asks.map((level) => level[1]));
  const length = Math.max(bids.length, asks.length);
  while (body.rows.length > length) body.lastChild.remove();
  while (body.rows.length < length) body.append(ladderRow());
  for (let at = 0; at < length; at++) side(body.rows[at], bids[at], asks[at], most);
}

function ladderRow() {
  const row = element("tr");
  for (const name of ["bid", "", "", "ask"]) {
    const td = element("td", { className: name }, element("span"));
    if (name) td.prepend(element("i", { className: "bar" }));
    row.append(td);
  }
  return row;
}

function side(row, bid, asked, most) {
  const texts = [bid && size(bid[1]), bid && price(bid[0]), asked && price(asked[0]), asked && size(asked[1])];
  texts.forEach((text, at) => say(row.cells[at].lastChild, text || ""));
  row.cells[0].firstChild.style.width = `${bid ? (100 * bid[1]) / most : 0}%`;
  row.cells[3].firstChild.style.width = `${asked ? (100 * asked[1]) / most : 0}%`;
}

// Time and sales.

async function again() {
  if (!symbol || asking || performance.now() - askedAt < AGAIN_MS && askedAt) return;
  asking = true;
  const asked = symbol;
  try {
    const answer = await ask("trades", { feed: asked.feed, symbol: asked.symbol });
    if (asked === symbol) {
      if (answer.trades) trades = answer.trades;
      say(byId("sales-note"), answer.words || (trades.some((each) => each.bid != null) ? "ticks" : ""));
      showTrades();
    }
  } catch {
    say(byId("sales-note"), "the server does not answer");
  } finally {
    asking = false;
    askedAt = performance.now();
  }
}

const same = (one, other) => String(one?.place) === String(other?.place);

function showTrades() {
  const body = byId("sales-table").tBodies[0];
  const known = trades.some((each) => same(each, newest));
  const all = newest && !known && (!trades.length || newest.recv_ms >= trades[0].recv_ms)
    ? [{ ...newest, isNewest: true }, ...trades] : trades;
  while (body.rows.length > all.length) body.lastChild.remove();
  while (body.rows.length < all.length) body.append(tradeRow());
  all.forEach((each, at) => {
    const row = body.rows[at];
    row.shows = each;
    row.className = each.isNewest ? "newest" : "";
    row.title = each.isNewest ? "the newest; the ones between are asked for" : `${each.event_time || ""} at the venue; conditions ${each.conditions || "none"}`;
    row.setAttribute("aria-selected", String(each.place) === picked);
    const quoted = each.bid != null;
    cells(row, [clockMs(each.recv_ms), quoted ? `${price(each.bid)} / ${price(each.ask)}` : price(each.price),
      quoted && !each.size ? "" : size(each.size), quoted ? "" : `${each.exchange || ""} ${each.conditions || ""}`.trim(), each.id ?? ""]);
  });
}

function tradeRow() {
  const row = element("tr");
  row.tabIndex = 0;
  row.onclick = () => showPath(row.shows);
  row.onkeydown = (event) => {
    if (event.key === "Enter") showPath(row.shows);
    if (event.key === "ArrowDown") row.nextSibling?.focus();
    if (event.key === "ArrowUp") row.previousSibling?.focus();
    if (event.key.startsWith("Arrow")) event.preventDefault();
  };
  return row;
}

// The path.

export function closePath() {
  byId("path").hidden = true;
  picked = "";
}

async function showPath(trade) {
  const [epoch, seq] = trade.place;
  picked = String(trade.place);
  showTrades();
  const steps = byId("path-steps");
  say(byId("path-head"), `Path of ${symbol.symbol} ${trade.id ?? ""} at ${clockMs(trade.recv_ms)}`);
  byId("path").hidden = false;
  steps.replaceChildren(element("p", { className: "soft", text: "asking …" }));
  const answer = await ask("path", { feed: symbol.feed, epoch, seq }).catch(() => ({ words: "The server does not answer." }));
  if (picked !== String(trade.place)) return;
  if (!answer.steps) steps.replaceChildren(element("p", { className: "soft", text: answer.words || "" }));
  else steps.replaceChildren(...waterfall(answer.steps));
  byId("path").scrollIntoView({ block: "nearest" });
}

// Stages lie between microseconds and seconds: only a logarithmic scale shows all of them.
function waterfall(found) {
  const there = found.filter((step) => step.since_recv_us > 0).map((step) => step.since_recv_us);
  const low = Math.floor(Math.log10(Math.max(1, Math.min(1000, ...there))));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(10, ...there))));
  const place = (us) => (100 * (Math.log10(Math.max(us, 10 ** low)) - low)) / (high - low);
  const scale = element("div", { className: "scale" });
  for (let power = low; power <= high; power++) {
    if (high - low > 4 && (high - power) % 2) continue; // there is no room for every one
    const mark = element("span", { text: duration(10 ** power) });
    mark.style.left = `${place(10 ** power)}%`;
    scale.append(mark);
  }
  const line = (...children) => element("div", { className: "step" }, ...children);
  const lines = found.map((step) => {
    const lane = element("div", { className: "lane" });
    if (step.since_recv_us != null && step.stage !== "recv") {
      const bar = element("i");
      bar.style.width = `${place(step.since_recv_us)}%`;
      bar.style.background = stageColour(Math.max(0, ORDER.indexOf(step.stage) - 1));
      lane.append(bar);
    }
    const when = step.note || (step.stage === "recv" ? "0" : `+${duration(step.since_recv_us)}`);
    const batch = step.batch_count > 1 ? `in a batch of ${step.batch_count}` : "";
    return line(element("span", { text: step.stage }), lane, element("span", { text: when, className: step.note ? "soft" : "" }),
      element("span", { text: batch, className: "soft" }));
  });
  return [...lines, line(element("span", { className: "soft", text: "log scale" }), scale, element("span"), element("span"))];
}
