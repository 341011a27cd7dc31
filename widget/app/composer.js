/**
 * Where the person writes. Secrets are stopped here, before anything leaves the page.
 *
 * @module
 */
import { html, useEffect, useLayoutEffect, useRef, useState } from '../../static/shared/preact.js';
import { Call } from './controls.js';
import { Icon } from './icons.js';
import { lazily } from '../../static/shared/later.js';

/** Code points in one message; the server holds to the same. */
export const MESSAGE_CHARS = 4_000;
const NEAR = 400;

/** The guard is large, and needed from the first character on, not before. @type {() => Promise<typeof import('./guard.js')>} */
const fetchGuard = lazily((at) => import(at('./guard.js')));
/** @type {typeof import('./guard.js')|undefined} */
let guard;

/** @param {import('./view.js').Props & {draft: string, setDraft: (text: string|((now: string) => string)) => void}} props */
export function Composer({ state, talk, words, needCards, isOpen, phone, draft, setDraft }) {
  const box = useRef(/** @type {HTMLTextAreaElement|null} */ (null));
  const isSending = useRef(false);
  const [name, setName] = useState('');
  const [stop, setStop] = useState(/** @type {''|'secret'|'unchecked'} */ (''));
  const { view } = state;
  const isFirst = !view && state.entries.length === 0;
  const length = draft.length > MESSAGE_CHARS - NEAR ? [...draft].length : 0;
  const over = length - MESSAGE_CHARS;
  const secrets = stop === 'secret' ? found(draft, state) : [];

  useEffect(() => {
    if (isOpen) box.current?.focus();
  }, [isOpen]);
  useEffect(() => {
    // The check's card has gone, and with it the focus that stood in it.
    if (isOpen && document.activeElement === document.body) box.current?.focus();
  }, [view?.check?.state]);
  useLayoutEffect(() => {
    const field = box.current;
    if (!field || CSS.supports('field-sizing', 'content')) return;
    field.style.height = 'auto';
    field.style.height = `${field.scrollHeight}px`;
  }, [draft]);

  if (view?.frozen) return html`<${OnHold} words=${words} phone=${phone} />`;

  const send = async () => {
    const text = draft.trim();
    box.current?.focus();
    if (!text || over > 0 || isSending.current) return;
    isSending.current = true; // the guard may be on its way for a while: once more is not twice
    try {
      guard = await fetchGuard();
      const isClean = !found(draft, state).length;
      setStop(isClean ? '' : 'secret');
      if (!isClean) return;
    } catch {
      setStop('unchecked'); // nothing leaves this page unread
      return;
    } finally {
      isSending.current = false;
    }
    if (!box.current?.value.startsWith(draft)) return; // changed meanwhile: not what was meant to go, it stays
    setDraft((now) => now.slice(draft.length)); // and so does what was typed after it
    talk.say(text, name.trim());
  };
  const take = () => {
    let rest = draft;
    for (const { start, end } of [...secrets].reverse()) rest = rest.slice(0, start) + '…' + rest.slice(end);
    setDraft(rest);
    setStop('');
    box.current?.focus();
  };
  /** @param {any} event */
  const onInput = ({ target }) => {
    setDraft(target.value);
    talk.type();
    needCards();
    fetchGuard().catch(() => 0); // asked again, and told, when the message is sent
  };
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };
  /** @param {SubmitEvent} event */
  const onSubmit = (event) => {
    event.preventDefault();
    send();
  };
  return html`<form class="composer" onSubmit=${onSubmit}>
    <div role="alert">
      ${secrets.length > 0 && html`<div class="stopped" id="stopped">
        <p><${Icon} name="shield" /><strong>${guardWords(words, secrets[0].kind)}</strong></p>
        <p>${words.guard.way}</p>
        <button type="button" class="quiet" onClick=${take}>${words.guard.take}</button>
      </div>`}
      ${stop === 'unchecked' && html`<p class="stopped">${words.guard.unchecked}</p>`}
    </div>
    ${view?.state === 'closed' && html`<p class="ended">${words.ended} ${words.reopen}</p>`}
    ${isFirst && html`<input class="name" value=${name} maxlength="80" autocomplete="name" aria-label=${words.name} placeholder=${words.name}
        onInput=${(/** @type {any} */ event) => setName(event.target.value)} />`}
    <div class="field">
      <textarea ref=${box} rows="1" value=${draft} aria-label=${words.message} placeholder=${words.write} enterkeyhint="send"
        aria-invalid=${secrets.length > 0 || over > 0 ? 'true' : undefined} aria-describedby=${secrets.length ? 'stopped' : length ? 'count' : undefined}
        onKeyDown=${onKey} onInput=${onInput} />
      <button class="send" aria-label=${words.send} title=${words.send} disabled=${!draft.trim() || over > 0}><${Icon} name="send" /></button>
    </div>
    ${length > 0 && html`<p id="count" class=${over > 0 ? 'count over' : 'count'} role="status">${over > 0 ? words.tooLong(over) : words.left(-over)}</p>`}
  </form>`;
}

/** @param {{words: import('./view.js').Words, phone: string}} props */
function OnHold({ words, phone }) {
  return html`<section class="hold" role="alert">
    <h2><${Icon} name="warn" />${words.frozen.title}</h2>
    <p>${words.frozen.text}</p>
    <${Call} words=${words} phone=${phone} />
  </section>`;
}

/**
 * @param {import('./view.js').Words} words
 * @param {string} kind
 */
function guardWords(words, kind) {
  return words.guard[/** @type {'card'} */ (kind)];
}

/** @param {string} draft @param {import('./reducer.js').State} state */
function found(draft, state) {
  const secrets = guard?.findSecrets(draft, lastSaid(state)) ?? [];
  // Only while a code is on its way: eight digits are something else at other times.
  return secrets.length || state.view?.check?.state !== 'started' ? secrets : (guard?.findProofs(draft) ?? []);
}

/** The last thing this person said: a number may have been cut in two. @param {import('./reducer.js').State} state */
function lastSaid({ events, entries }) {
  const waiting = entries.at(-1);
  if (waiting) return waiting.text;
  const said = events.findLast((event) => event.kind === 'message' && event.sender.kind === 'visitor');
  return said?.kind === 'message' ? said.body.text : '';
}
