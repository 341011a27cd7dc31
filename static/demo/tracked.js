// What the planted tracker has sent to the airline, told so that a visitor understands it. Shows what was recorded and
// nothing else; draws text as text only. The page does not carry the tracker itself.
// @ts-check

/** @typedef {{how: string, what: string}} Seen */

const EVERY_MS = 2000;
const SHOWN = 12; // of a list; the others are counted
const FOUND = 6;
const RAW = 200;
const LONGEST = 300; // characters of one note
/** Ways into the conversation, and what each gives of a frame that has not loaded yet: it is the page's own and of nobody. */
const INTO = new Map([
  ["frame document", "<html><head></head><body></body></html>"],
  ["frame text", ""],
  ["frame title", ""],
  ["frame address", "about:blank"],
  ["frame name", ""],
  ["frame storage", "{}"],
]);
/** How addresses are seen: where somebody was before what the page fetched. */
const ADDRESSES = ["address", "came from", "timing navigation", "timing resource", "fetch", "xhr open", "new WebSocket"];

const at = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const words = at("main").dataset;
const field = /** @type {HTMLInputElement} */ (at("find"));
/** @type {Seen[]} */
let entries = [];
/** How many notes the airline has had in all, and how many of them it has dropped. */
let [count, dropped] = [0, 0];

/**
 * @param {string} tag
 * @param {string} text
 */
function make(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
  return made;
}

/** A text with a number in it. @param {string|undefined} text @param {number} count */
const counted = (text, count) => (text ?? "").replace("{}", count.toLocaleString(document.documentElement.lang));

/**
 * @param {HTMLElement} list
 * @param {string[]} texts each is shown once
 * @param {number} [most]
 */
function fill(list, texts, most = SHOWN) {
  const all = [...new Set(texts)];
  const items = all.slice(0, most).map((text) => make("li", text));
  if (all.length > most) items.push(make("li", counted(words.more, all.length - most)));
  list.replaceChildren(...items);
}

/** @param {string} what @returns {any} null when it is not JSON */
function parsed(what) {
  try {
    return JSON.parse(what);
  } catch {
    return null; // cut short, or a plain text
  }
}

/** What was pressed, by what is written on it. @param {string} what */
function pressed(what) {
  const element = new DOMParser().parseFromString(parsed(what)?.at ?? "", "text/html").body.firstElementChild;
  if (!element) return "";
  return (element.getAttribute("aria-label") || element.textContent || "").trim().replace(/\s+/g, " ") || `<${element.localName}>`;
}

/** @param {Seen} entry @returns {string} '' when it is no message between the page and the frame */
function message({ how, what }) {
  const given = parsed(what);
  const data = how === "message" ? given?.data : given;
  if (typeof data !== "object" || data === null) return "";
  const word = at("messages").dataset[data.aparte] ?? "";
  return `${how === "message" ? "←" : "→"} ${word} ${JSON.stringify(data)}`;
}

function draw() {
  const of = (/** @type {string[]} */ ...hows) => entries.filter(({ how }) => hows.includes(how));
  at("count").textContent = counted(at("count").dataset.text, entries.length);
  at("dropped").textContent = counted(at("dropped").dataset.text, dropped);
  at("dropped").hidden = dropped === 0;
  at("empty").hidden = entries.length > 0;
  at("notes").hidden = entries.length === 0;

  const ways = at("verdict").dataset;
  const refused = new Set(entries.map(({ how }) => /^frame (\w+) refused$/.exec(how)?.[1] ?? ""));
  const named = [...refused].flatMap((way) => ways[way] ?? []);
  fill(at("refused"), named);
  at("tried").hidden = named.length === 0;
  at("untried").hidden = named.length > 0;
  const leaked = of(...INTO.keys()).filter(({ how, what }) => what !== INTO.get(how));
  fill(at("leaked"), leaked.map(({ how, what }) => `${how}: ${what}`));
  at("got").hidden = leaked.length === 0;
  at("kept").hidden = leaked.length > 0;

  fill(at("addresses"), ADDRESSES.flatMap((how) => of(how)).map(({ what }) => what).filter((what) => /^https?:/.test(what)));
  const clicks = of("click").map(({ what }) => pressed(what)).filter(Boolean);
  fill(at("clicks"), clicks.length ? clicks : [words.nothing ?? ""]);
  const keys = [...new Set(of("keydown").map(({ what }) => parsed(what)?.key ?? "").filter(Boolean))];
  at("keys").hidden = keys.length === 0;
  at("keys").replaceChildren(`${at("keys").dataset.text} `, ...keys.slice(0, 60).flatMap((key) => [make("kbd", key), " "]));
  const told = of("message", "message to a frame").map(message).filter(Boolean);
  fill(at("messages"), told.length ? told : [words.nothing ?? ""]);
  if (/** @type {HTMLDetailsElement} */ (at("all")).open) drawAll();
  search();
}

function drawAll() {
  at("most").textContent = counted(at("most").dataset.text, RAW);
  at("raw").replaceChildren(...entries.slice(-RAW).reverse().flatMap(({ how, what }) => [make("dt", how), make("dd", what)]));
}

/** Looks for what stands in the field in all that was recorded, within this page. */
function search() {
  const wanted = field.value.trim().toLowerCase();
  const found = wanted ? entries.filter(({ what }) => what.toLowerCase().includes(wanted)) : [];
  const told = at("found");
  const text = wanted === "" ? "" : found.length ? counted(told.dataset.some, found.length) : counted(told.dataset.none, entries.length);
  if (told.textContent !== text) told.textContent = text;
  const excerpts = found.map(({ how, what }) => {
    const from = Math.max(0, what.toLowerCase().indexOf(wanted) - 40);
    return `${how}: ${from ? "…" : ""}${what.slice(from, from + 120).replace(/\s+/g, " ")}`;
  });
  fill(at("finds"), excerpts, FOUND);
}

async function look() {
  try {
    const answer = await fetch(`/tracker/seen?after=${count}`, { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    /** @type {{count: number, dropped: number, entries: Seen[]}} */
    const told = await answer.json();
    const isNews = told.count !== count || at("notes").hidden === at("empty").hidden;
    // A smaller count is of a demo that was started anew: the next answer brings what it has.
    const isAnew = told.count < count;
    count = isAnew ? 0 : told.count;
    entries = isAnew ? [] : [...entries, ...told.entries];
    entries.splice(0, entries.length - (told.count - told.dropped)); // as the airline does
    dropped = told.dropped;
    if (isNews) draw();
    at("lost").hidden = true;
  } catch {
    if (at("lost").hidden) {
      at("lost").textContent = at("lost").dataset.text ?? "";
      at("lost").hidden = false;
    }
  } finally {
    setTimeout(look, EVERY_MS);
  }
}

field.addEventListener("input", search);
at("all").addEventListener("toggle", drawAll);
void look();
