// The demo's mailbox page: asks for the letters every second and draws the new ones. Draws text as text only.
// @ts-check

/** @typedef {{number: number, at: number, to: string, subject: string, text: string,
 *   language: string, code: string | null}} Letter */

const EVERY_MS = 1000;
const letters = /** @type {HTMLElement} */ (document.getElementById("letters"));
const empty = /** @type {HTMLElement} */ (document.getElementById("empty"));
const lost = /** @type {HTMLElement} */ (document.getElementById("lost"));
const said = /** @type {HTMLElement} */ (document.getElementById("said"));
const words = letters.dataset;
const clock = new Intl.DateTimeFormat(document.documentElement.lang === "fr" ? "fr-FR" : "en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** @type {Set<number>} */
const drawn = new Set();
let isFirst = true;

/**
 * @param {string} tag
 * @param {string} [text]
 * @param {string} [name] class name
 */
function make(tag, text = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

/**
 * The text of a letter, its addresses as links. A link opens in a page of its own and tells nothing of this one.
 * @param {string} text
 */
function body(text) {
  const shown = make("pre");
  let from = 0;
  for (const match of text.matchAll(/https?:\/\/[^\s<>"]+/g)) {
    const link = /** @type {HTMLAnchorElement} */ (make("a", match[0]));
    link.href = match[0];
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    shown.append(text.slice(from, match.index), link);
    from = match.index + match[0].length;
  }
  shown.append(text.slice(from).trimEnd());
  return shown;
}

/** @param {string} code */
function codeBox(code) {
  const box = make("div", "", "code");
  const digits = make("output", `${code.slice(0, 4)} ${code.slice(4)}`);
  digits.setAttribute("aria-label", `${words.code} ${[...code].join(" ")}`);
  const button = /** @type {HTMLButtonElement} */ (make("button", words.copy));
  button.type = "button";
  button.addEventListener("click", () => {
    navigator.clipboard.writeText(code).then(
      () => {
        button.textContent = said.textContent = words.copied ?? "";
        setTimeout(() => (button.textContent = words.copy ?? ""), 2000);
      },
      () => document.getSelection()?.selectAllChildren(digits), // not allowed to copy: it stands selected instead
    );
  });
  box.append(digits, button);
  return box;
}

/** @param {Letter} letter */
function draw(letter) {
  const article = make("article");
  const head = make("div");
  const title = make("h2", letter.subject);
  title.id = `letter-${letter.number}`;
  article.setAttribute("aria-labelledby", title.id);
  const from = make("p", `${words.to} ${letter.to} · `, "from");
  const at = /** @type {HTMLTimeElement} */ (make("time", clock.format(letter.at * 1000)));
  at.dateTime = new Date(letter.at * 1000).toISOString();
  from.append(at);
  head.append(title, from);
  article.append(head);
  if (letter.code) article.append(codeBox(letter.code));
  const text = body(letter.text);
  if (letter.language) title.lang = text.lang = letter.language;
  article.append(text);
  return article;
}

async function look() {
  try {
    const answer = await fetch("/letters.json", { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    /** @type {Letter[]} */
    const all = await answer.json();
    for (const letter of all.reverse()) {
      if (drawn.has(letter.number)) continue;
      drawn.add(letter.number);
      letters.prepend(draw(letter));
      if (!isFirst) said.textContent = `${words.new}${letter.subject}`;
    }
    isFirst = false;
    empty.hidden = drawn.size > 0;
    lost.hidden = true;
  } catch {
    if (lost.hidden) {
      lost.textContent = lost.dataset.text ?? "";
      lost.hidden = false;
    }
  } finally {
    setTimeout(look, EVERY_MS);
  }
}

void look();
