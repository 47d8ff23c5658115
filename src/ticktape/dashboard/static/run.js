// The run as a whole: feeds and their history, the certificate so far, the disk, what happened.

import { ask, byId, bytes, count, element, say, span } from "./words.js";

const AGAIN_MS = 10000;
const TONES = { receiving: "good", stopped: "soft", down: "doubtful", quiet: "doubtful", stalled: "doubtful", empty: "doubtful", unlinked: "doubtful", refused: "bad", gone: "bad" };

let feeds = [];
let history = {};
let proved = null; // the newest certificate on the disk
let counted = null;
let proof = null;
let state = "";
let askedAt = -AGAIN_MS;
let before = new Map();
const rates = new Map();

export function take(message, nowMs) {
  if (message.history) history = message.history;
  if (message.feeds) feeds = message.feeds;
  if (message.standing) state = message.standing.state;
  if (message.feeds || message.history) showFeeds(nowMs);
  if ("certificate" in message) {
    proved = message.certificate;
    showCertificate();
  }
  if (message.disk) showDisk(message.disk);
  if (message.log) showLog(message.log);
  if (message.first || message.standing) askedAt = Math.min(askedAt, performance.now() - AGAIN_MS + 1000);
  if (!document.hidden && performance.now() - askedAt > AGAIN_MS) lookAgain();
}

export const tick = (nowMs) => showFeeds(nowMs);

// Feeds.

function showFeeds(nowMs) {
  const box = byId("feeds");
  if (!feeds.length) box.replaceChildren(element("p", { className: "soft", text: "No feed has been heard of yet." }));
  const known = new Map([...box.querySelectorAll("details")].map((each) => [each.dataset.feed, each]));
  if (feeds.length && known.size !== feeds.length) {
    box.replaceChildren(...feeds.map((feed) => known.get(feed.name) || feedBox(feed)));
  }
  for (const feed of feeds) {
    const details = [...box.children].find((each) => each.dataset.feed === feed.name);
    const [name, condition, words] = details.firstChild.children;
    say(name.firstChild, feed.name);
    say(name.lastChild, ` ${feed.kind}`);
    say(condition, feed.state);
    condition.className = TONES[feed.state] || "";
    const trouble = feed.journal && !["ok", "closed"].includes(feed.journal) ? `journal ${feed.journal}: holds ${bytes(feed.held)}, dropped ${count(feed.dropped)}` : "";
    const heard = feed.heard_ms == null ? "nothing heard" : nowMs - feed.heard_ms < 1500 ? "heard now" : `heard ${span((nowMs - feed.heard_ms) / 1000)} ago`;
    const rate = rateOf(feed, nowMs);
    const facts = [`${count(feed.entries ?? 0)} entries`, rate ? `${count(rate)}/s` : "", bytes(feed.bytes), heard, feed.sessions > 1 ? `${feed.sessions} sessions` : "", feed.state === "receiving" ? "" : feed.words];
    say(words, [trouble, ...facts].filter(Boolean).join(" · "));
    words.className = `feed-words ${trouble ? "bad" : ""}`;
    const list = details.querySelector("ol");
    const lines = [...(history[feed.name] || [])].reverse();
    if (list.shows !== history[feed.name]) {
      list.shows = history[feed.name];
      list.replaceChildren(...lines.map((each) => happening(each, "")));
    }
  }
}

function feedBox(feed) {
  const name = element("span", {}, element("b"), element("span", { className: "soft" }));
  const details = element("details", {}, element("summary", {}, name, element("span"), element("span", { className: "feed-words" })), element("ol", { className: "history" }));
  details.dataset.feed = feed.name;
  return details;
}

function rateOf(feed, nowMs) {
  const last = before.get(feed.name);
  if (!last || nowMs - last.ms >= 900) {
    if (last && feed.entries >= last.entries) rates.set(feed.name, (1000 * (feed.entries - last.entries)) / (nowMs - last.ms));
    before.set(feed.name, { ms: nowMs, entries: feed.entries });
  }
  return rates.get(feed.name) || 0;
}

// The certificate.

async function lookAgain() {
  askedAt = performance.now();
  try {
    const answer = await ask("certificate");
    if (answer.feeds) counted = answer;
  } catch {
    return; // the header says that the server is away
  }
  showCertificate();
}

function showCertificate() {
  const box = byId("certificate");
  const made = [];
  const over = ["ended", "complete", "incomplete"].includes(state);
  const final = proof?.proof || (over || state === "" ? proved : null);
  if (final) {
    made.push(verdict(final));
  } else if (counted) {
    for (const [name, sums] of Object.entries(counted.feeds)) {
      const repeated = sums.received - sums.stored;
      const line = element("p", { className: "identity" }, element("b", { text: name }), element("br"),
        ` received ${count(sums.received)} = stored ${count(sums.stored)} + duplicates ${count(repeated)}`);
      const dropped = feeds.find((feed) => feed.name === name)?.dropped;
      if (dropped) line.append(element("span", { className: "bad", text: ` + dropped ${count(dropped)}` }));
      if (repeated < 0) line.append(element("span", { className: "bad", text: "  more rows than were received" }));
      made.push(line);
    }
    made.push(gapsLine(counted.gaps));
    made.push(element("p", { className: "soft", text: "As the table has counted so far; only check proves it." }));
  } else {
    made.push(element("p", { className: "soft", text: "asking …" }));
  }
  if (state === "ended" && !proof) made.push(proveButton());
  if (proof?.words) made.push(element("p", { className: "soft", text: proof.words }));
  if (!final && proved) made.push(element("p", { className: "soft", text: `Last proved: ${proved.complete ? "COMPLETE" : "INCOMPLETE"}, day ${proved.day}` }));
  box.replaceChildren(...made);
}

function gapsLine(gaps) {
  const names = Object.keys(gaps).sort();
  if (!names.length) return element("p", { text: "no gaps" });
  const line = element("p", { text: "gaps: " });
  names.forEach((name, at) => {
    const tone = { open: "bad", unhealable: "bad", suspect: "doubtful", healing: "doubtful", healed: "good" }[name] || "soft";
    line.append(at ? ", " : "", element("span", { className: tone, text: `${name} ${count(gaps[name])}` }));
  });
  return line;
}

function verdict(said) {
  const box = element("div", {}, element("p", { className: "identity" },
    element("b", { className: said.complete ? "good" : "bad", text: said.complete ? "COMPLETE" : "INCOMPLETE" }), element("br"),
    `received ${count(said.received)} = stored ${count(said.stored)} + duplicates ${count(said.duplicates)} + dropped ${count(said.dropped)}`, element("br"),
    `gaps ${count(said.gaps)}${said.gaps_healed ? ` (healed ${count(said.gaps_healed)})` : ""}, torn ${count(said.torn)}`));
  if (said.reasons.length) box.append(element("ul", { className: "reasons" }, ...said.reasons.slice(0, 8).map((text) => element("li", { text }))));
  return box;
}

function proveButton() {
  const button = element("button", { text: "Prove it now" });
  button.type = "button";
  button.onclick = async () => {
    button.disabled = true;
    say(button, "reading everything …");
    proof = await ask("proof").catch(() => ({ words: "The server does not answer." }));
    showCertificate();
  };
  return button;
}

function happening(each, who) {
  return element("li", {}, element("span", { className: "soft", text: `${each.at.slice(11, 19)} ` }), element("b", { text: who ? `${who} ` : "" }),
    element("span", { className: each.tone, text: each.event }), element("span", { className: "soft", text: each.words ? `: ${each.words}` : "" }));
}

// The disk.

function showDisk(disk) {
  const full = disk.full_s == null ? (disk.rate == null ? "not known yet" : "it does not grow") : `in ${span(disk.full_s)}`;
  const lines = [["this run", bytes(disk.run)], ["journals, table, rest", [disk.journals, disk.table, disk.other].map(bytes).join(", ")],
    ["grows", disk.rate == null ? "not known yet" : `${bytes(disk.rate)}/s`], ["free", `${bytes(disk.free)}, ${bytes(disk.reserve)} of it reserved`], ["full", full]];
  const soon = disk.full_s != null && disk.full_s < 86400;
  byId("disk").replaceChildren(...lines.flatMap(([name, text]) => [element("dt", { text: name }),
    element("dd", { text, className: (name === "full" && soon) || (name === "free" && disk.free < disk.reserve) ? "bad" : "" })]));
}

function showLog(log) {
  byId("log-list").replaceChildren(...[...log].reverse().map((each) => happening(each, each.who)));
}
