/**
 * Where the agent writes: to the customer, or a note that only colleagues read. The two never look alike.
 *
 * @module
 */
import { html, useEffect, useLayoutEffect, useRef, useState } from '../../shared/preact.js';
import { Icon } from './icons.js';

/** Code points in one message; the server says the same. */
export const MESSAGE_CHARS = 4_000;

/** @param {{p: import('./bits.js').View, conversation: string, mayReply: boolean}} props */
export function Composer({ p, conversation, mayReply }) {
  const { desk, w } = p;
  const draft = desk.draft(conversation);
  const mode = mayReply ? draft.mode : 'note';
  const [, redraw] = useState(0);
  const field = useRef(/** @type {HTMLTextAreaElement|null} */ (null));
  const text = draft[mode];
  const length = [...text].length;
  const over = length - MESSAGE_CHARS;
  const isReady = text.trim() !== '' && over <= 0;

  useEffect(() => desk.onDraft(conversation, () => {
    redraw((n) => n + 1);
    field.current?.focus();
  }), [conversation]);

  useEffect(() => {
    if (desk.focusNext !== conversation) return;
    desk.focusNext = '';
    field.current?.focus();
  }, [conversation]);

  useLayoutEffect(() => {
    const el = field.current;
    if (!el) return;
    el.style.height = 'auto';
    el.style.height = `${Math.min(el.scrollHeight + 2, 200)}px`;
  }, [text, mode]);

  /** @param {'reply'|'note'} next */
  const turn = (next) => {
    draft.mode = next;
    redraw((n) => n + 1);
    field.current?.focus();
  };
  const send = () => {
    if (!isReady) return;
    desk.say(conversation, mode, text.trim());
    redraw((n) => n + 1);
    field.current?.focus();
  };
  /** @param {InputEvent & {currentTarget: HTMLTextAreaElement}} event */
  const onInput = (event) => {
    draft[mode] = event.currentTarget.value;
    if (mode === 'reply') desk.typing(conversation);
    redraw((n) => n + 1);
  };
  /** @param {KeyboardEvent} event */
  const onKeyDown = (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };

  const isNote = mode === 'note';
  return html`<form class="composer" data-mode=${mode} onSubmit=${(/** @type {Event} */ event) => { event.preventDefault(); send(); }}>
    <div class="composer-top">
      <div class="switch" role="group" aria-label=${w.composerMode}>
        <button type="button" id="mode-reply" aria-pressed=${String(!isNote)} disabled=${!mayReply} title="${w.reply} (R)" onClick=${() => turn('reply')}>${w.reply}</button>
        <button type="button" id="mode-note" aria-pressed=${String(isNote)} title="${w.note} (N)" onClick=${() => turn('note')}><${Icon} name="note" /> ${w.note}</button>
      </div>
      <p class="soft hint" id="composer-hint">${isNote ? w.noteFor : w.sendHint}</p>
    </div>
    <div class="composer-row">
      <textarea ref=${field} id="composer" rows="2" dir="auto" value=${text} onInput=${onInput} onKeyDown=${onKeyDown}
        aria-label=${isNote ? w.writeNote : w.write} placeholder=${isNote ? w.writeNote : w.write} aria-describedby="composer-hint composer-count"></textarea>
      <button type="submit" class="button primary send" disabled=${!isReady}><${Icon} name=${isNote ? 'note' : 'send'} /> ${isNote ? w.saveNote : w.send}</button>
    </div>
    <p id="composer-count" class="soft" data-over=${over > 0} role="status">${over > 0 ? w.tooLongBy(over) : over > -400 ? w.left(-over) : ''}</p>
  </form>`;
}
