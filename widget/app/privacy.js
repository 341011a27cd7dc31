/**
 * The card about privacy, from which the conversation can also be ended.
 *
 * @module
 */
import { Icon, Language, html, useLayoutEffect, useRef, useState } from './kit.js';

/** @param {import('./cards.js').CardProps & {isEnd: boolean, canEnd: boolean, onDone: () => void, onStop: () => void}} props `isEnd`: opened to end it */
export function Privacy({ state, words, lang, isEnd, canEnd, onLang, onDone, onStop }) {
  const box = useRef(/** @type {HTMLDialogElement|null} */ (null));
  const [isSure, setSure] = useState(isEnd);
  useLayoutEffect(() => {
    box.current?.showModal();
    /** @type {HTMLElement|null|undefined} */ (box.current?.querySelector('.primary, .sure .quiet'))?.focus();
  }, []);
  const { host, kept_days } = state.privacy;
  const isSecure = location.protocol === 'https:'; // a demo on loopback is not
  const close = () => box.current?.close();
  return html`<dialog ref=${box} aria-labelledby="privacy" onClose=${onDone} onClick=${(/** @type {Event} */ event) => event.target === box.current && close()}>
    <div class="sheet">
      <h2 id="privacy"><${Icon} name="lock" />${words.privacy.title}</h2>
      <ul>
        <li>${words.privacy.host(state.site.name, host)}</li>
        <li>${words.privacy.sealed(isSecure)}</li>
        ${kept_days > 0 && html`<li>${words.privacy.kept(kept_days)}</li>`}
        <li>${words.privacy.mail}</li>
      </ul>
      <${Language} lang=${lang} onLang=${onLang} />
      ${isSure
        ? html`<div class="sure" role="group" aria-label=${words.end}>
            <p>${words.privacy.endSure}</p>
            <button class="danger" onClick=${() => (onStop(), close())}>${words.privacy.endYes}</button>
            <button class="quiet" onClick=${() => (isEnd ? close() : setSure(false))}>${words.privacy.endNo}</button>
          </div>`
        : html`<div class="row">
            <button class="primary" onClick=${close}>${words.privacy.back}</button>
            ${canEnd && html`<button class="quiet" onClick=${() => setSure(true)}>${words.end}</button>`}
          </div>`}
    </div>
  </dialog>`;
}
