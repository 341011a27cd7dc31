/**
 * The card about privacy, from which the conversation can also be ended.
 *
 * @module
 */
import { Icon, Language, html, useLayoutEffect, useRef, useState } from './kit.js';

/** @param {import('./cards.js').CardProps & {onDone: () => void, onStop: () => void}} props */
export function Privacy({ state, words, lang, onLang, onDone, onStop }) {
  const box = useRef(/** @type {HTMLDialogElement|null} */ (null));
  const [isSure, setSure] = useState(false);
  useLayoutEffect(() => {
    box.current?.showModal();
    /** @type {HTMLElement|null|undefined} */ (box.current?.querySelector('.primary'))?.focus();
  }, []);
  const { host, kept_days } = state.privacy;
  const canEnd = state.view && state.view.state !== 'closed' && !state.view.frozen;
  const close = () => box.current?.close();
  return html`<dialog ref=${box} aria-labelledby="privacy" onClose=${onDone} onClick=${(/** @type {Event} */ event) => event.target === box.current && close()}>
    <div class="sheet">
      <h2 id="privacy"><${Icon} name="lock" />${words.privacy.title}</h2>
      <ul>
        <li>${words.privacy.host(state.site.name, host)}</li>
        <li>${words.privacy.sealed}</li>
        ${kept_days > 0 && html`<li>${words.privacy.kept(kept_days)}</li>`}
        <li>${words.privacy.mail}</li>
      </ul>
      <${Language} lang=${lang} onLang=${onLang} />
      ${isSure
        ? html`<div class="sure" role="group" aria-label=${words.privacy.end}>
            <p>${words.privacy.endSure}</p>
            <button class="danger" onClick=${() => (onStop(), close())}>${words.privacy.endYes}</button>
            <button class="quiet" onClick=${() => setSure(false)}>${words.privacy.endNo}</button>
          </div>`
        : html`<div class="row">
            <button class="primary" onClick=${close}>${words.privacy.back}</button>
            ${canEnd && html`<button class="quiet" onClick=${() => setSure(true)}>${words.privacy.end}</button>`}
          </div>`}
    </div>
  </dialog>`;
}
