/**
 * The cards: the check, a change of the booking, privacy. Fetched when a conversation begins, with their own style.
 *
 * @module
 */
import { chosen } from '../../static/shared/departure.js';
import { Icon, Prose, html, price } from './kit.js';

export { Check, Over } from './card.js';
export { Privacy } from './privacy.js';

/** @typedef {import('./view.js').Words & typeof import('./cards.en.js').words} CardWords */
/** @typedef {import('./view.js').Props & {words: CardWords}} CardProps */

/** A change of the booking that was made. @param {{event: import('./reducer.js').Event, words: import('./cards.js').CardWords, lang: 'en'|'fr'}} props */
export function Act({ event, words, lang }) {
  if (event.kind !== 'act') return '';
  const { title, due, lang: written } = event.body;
  const what = chosen(event.body, lang);
  return html`<section class="act">
    <h2><${Icon} name="ticket" />${words.act.change}</h2>
    ${title && html`<p lang=${written || undefined}><${Prose} text=${title} /></p>`}
    ${what && html`<p class="strong"><${Prose} text=${what} /></p>`}
    <p class="soft">${due?.amount ? words.act.due(price(due, lang)) : words.act.free}</p>
  </section>`;
}

// A sheet made by script is no inline style: the page's policy lets it be.
const sheet = new CSSStyleSheet();
sheet.replaceSync(`
.check, .act { margin-top: 16px; padding: 16px; border: 1px solid var(--line); border-radius: var(--radius); background: var(--surface); }
.check { border-color: color-mix(in srgb, var(--accent-ink) 40%, var(--surface)); background: var(--accent-tint); }
.check label { color: var(--ink); }
.check.over { border-color: var(--line); background: var(--surface); }
.over .row { margin-top: 12px; }
.check h2, .act h2 { display: flex; gap: 8px; margin-bottom: 8px; font-size: 15px; font-weight: 650; line-height: 1.35; }
.check h2 .drawn { color: var(--accent-ink); }
.over h2 .drawn { color: var(--warn); }
.check p { font-size: 14px; }
.check label { display: block; margin: 12px 0 8px; font-size: 13px; font-weight: 600; }
.check input { display: block; width: 100%; height: 48px; margin-top: 4px; padding: 0 12px; border: 1px solid var(--line-strong); border-radius: var(--radius-small); background: var(--surface); font-size: 16px; font-weight: 400; }
.check .reference { font-family: var(--mono); font-size: 18px; letter-spacing: .08em; text-transform: uppercase; }
.cells { display: block; margin-top: 4px; border: 1px solid var(--line-strong); border-radius: var(--radius-small); background: var(--surface); container-type: inline-size; overflow: clip; }
.cells:has([aria-invalid]) { border-color: var(--bad); }
.cells:focus-within { border-color: var(--accent-ink); outline: 2px solid var(--accent-ink); outline-offset: -1px; }
/* eight cells in sight and one more for the caret, so that the first digit is never pushed out */
.check .code { --cell: 12.5cqw; width: calc(9 * var(--cell)); height: 46px; margin: 0; padding: 0 0 0 calc((var(--cell) - 1ch) / 2); border: 0; font: 22px/46px var(--mono); letter-spacing: calc(var(--cell) - 1ch);
  background: linear-gradient(90deg, transparent calc(100% - 1px), color-mix(in srgb, var(--line-strong) 40%, transparent) 0) 0 0 / var(--cell) 100%; }
.check .code:focus-visible { outline: 0; }
.check input:focus-visible { border-color: var(--accent-ink); outline: 2px solid var(--accent-ink); outline-offset: -1px; }
.check [aria-invalid] { border-color: var(--bad); }
.check .facts { display: flex; justify-content: space-between; gap: 12px; color: var(--ink-soft); font-size: 13px; font-variant-numeric: tabular-nums; }
.check .primary { margin: 12px 0 4px; }
.check .bad, .check [role=status] p { margin-top: 8px; font-weight: 500; }
.check .bad .drawn { margin-right: 6px; }
.check details { margin-top: 4px; font-size: 14px; }
summary, .check .link { font-size: 14px; }
summary { width: max-content; min-height: 32px; padding: 4px 0; color: var(--ink-soft); cursor: pointer; }
.act { border-left: 3px solid var(--good); }
.act h2 .drawn { color: var(--good); }
.act .strong { font-weight: 600; }
.act .strong::first-letter { text-transform: uppercase; }
dialog { width: min(360px, 100% - 32px); max-height: calc(100% - 32px); padding: 0; border: 0; border-radius: 16px; background: var(--surface); color: var(--ink); box-shadow: var(--shadow); }
dialog::backdrop { background: rgb(16 18 22 / .4); }
.sheet { padding: 20px; }
.sheet h2 { display: flex; gap: 8px; font-size: 17px; font-weight: 650; }
.sheet h2 .drawn { color: var(--accent-ink); }
.sheet ul { margin: 12px 0 4px; padding: 0; list-style: none; font-size: 14px; }
.sheet li { padding: 8px 0; border-top: 1px solid var(--line); }
.sheet li:first-child { border: 0; }
.sheet .row { margin-top: 12px; flex-direction: column; align-items: stretch; gap: 8px; }
.sure { display: grid; gap: 8px; margin-top: 12px; font-size: 14px; }
@media (min-width: 640px) {
  [data-mode=page] .check, [data-mode=page] .act { max-width: 400px; }
}
`);
document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
