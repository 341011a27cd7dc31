/**
 * Two small ways out that stand in more than one place: the other language, and the telephone.
 *
 * @module
 */
import { html } from '../../static/shared/preact.js';
import { Icon } from './icons.js';

/** The other language, named in itself. @param {{lang: 'en'|'fr', onLang: () => void}} props */
export function Language({ lang, onLang }) {
  const other = lang === 'fr' ? 'en' : 'fr';
  return html`<button class="link language" lang=${other} onClick=${onLang}><${Icon} name="globe" />${other === 'fr' ? 'Français' : 'English'}</button>`;
}

/** @param {{words: import('./view.js').Words, phone: string}} props */
export function Call({ words, phone }) {
  return phone && html`<a class="call" href=${'tel:' + phone.replace(/[^+\d]/g, '')}><${Icon} name="phone" />${words.call(phone)}</a>`;
}
