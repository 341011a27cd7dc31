/**
 * The whole of the widget's screen: header, standing, thread, composer.
 *
 * @module
 */
import { Component, html, useEffect, useState } from '../../static/shared/preact.js';
import { clock } from '../../static/shared/time.js';
import { Composer } from './composer.js';
import { Icon } from './icons.js';
import { Thread } from './thread.js';

/** @typedef {typeof import('./words.en.js').words} Words */
/** @typedef {Pick<typeof import('./cards.js'), 'Act'|'Check'|'Over'|'Privacy'> & {lang: 'en'|'fr', words: import('./cards.js').CardWords}} Cards */
/**
 * @typedef {object} Props
 * @property {import('./reducer.js').State} state
 * @property {import('./talk.js').Talk} talk
 * @property {Words} words
 * @property {Cards|undefined} cards once they have been fetched
 * @property {() => void} needCards fetches them
 * @property {'en'|'fr'} lang
 * @property {boolean} isFrame within a host page, not a page of its own
 * @property {boolean} isOpen in sight
 * @property {boolean} isLasting whether the browser keeps things for us
 * @property {string} phone
 * @property {(atEnd: boolean) => void} onEnd
 * @property {() => void} onLang
 * @property {() => void} onClose
 */

/** @extends {Component<Props, {isBroken: boolean}>} */
export class App extends Component {
  /** @override */
  state = { isBroken: false };

  /** @override @param {unknown} error */
  componentDidCatch(error) {
    console.error(error);
    this.setState({ isBroken: true });
  }

  /** @override @param {Props} props */
  render(props) {
    const { words } = props;
    if (!this.state.isBroken) return html`<${Screen} ...${props} />`;
    return html`<main class="broken"><p>${words.broken}</p>
      <button class="primary" onClick=${() => location.reload()}>${words.reload}</button></main>`;
  }
}

/** @param {Props} props */
function Screen(props) {
  const { state, words, cards, needCards, talk, lang, isFrame, onClose } = props;
  const [sheet, setSheet] = useState(/** @type {''|'about'|'end'} */ (''));
  const [draft, setDraft] = useState('');
  const isSlow = useIsSlow(state.link === 'connecting' || (sheet !== '' && !cards));
  useEffect(() => {
    if (state.isCut && !cards) setSheet(''); // it would come up long after it was asked for
  }, [state.isCut]);
  const notice = state.link === 'refused' ? words.turnedAway : state.isCut ? words.offline : isSlow ? words.connecting : '';
  return html`
    <header class="bar">
      <div class="who">
        <h1>${state.site.name}</h1>
        <p class=${state.site.online && !state.isCut ? 'desk here' : 'desk'}>${deskLine(props)}</p>
      </div>
      <button class="icon" aria-label=${words.private} title=${words.private} onPointerEnter=${needCards} onClick=${() => (needCards(), setSheet('about'))}><${Icon} name="info" /></button>
      ${canEnd(state) && html`<button class="icon" aria-label=${words.end} title=${words.end} onPointerEnter=${needCards} onClick=${() => (needCards(), setSheet('end'))}><${Icon} name="end" /></button>`}
      ${isFrame && html`<button class="icon" aria-label=${words.close} title=${words.close} onClick=${onClose}><${Icon} name="close" /></button>`}
    </header>
    <main>
    <${Strip} state=${state} words=${words} lang=${lang} />
    <p class="notice" role="status">${notice && html`<${Icon} name="cloud" />${notice}`}</p>
    <${Thread} ...${props} onEdit=${(/** @type {string} */ text) => setDraft(draft ? `${text}\n${draft}` : text)} />
    <${Composer} ...${props} draft=${draft} setDraft=${setDraft} />
    </main>
    ${sheet && cards && html`<${cards.Privacy} ...${props} words=${cards.words} isEnd=${sheet === 'end'} canEnd=${canEnd(state)} onDone=${() => setSheet('')} onStop=${() => talk.ask('end')} />`}
  `;
}

/** @param {Props['state']} state */
const canEnd = ({ view }) => Boolean(view && view.state !== 'closed' && !view.frozen);

/** Connecting is only worth a word when it takes long. @param {boolean} isOn */
function useIsSlow(isOn) {
  const [isSlow, setSlow] = useState(false);
  useEffect(() => {
    setSlow(false);
    const timer = isOn && setTimeout(() => setSlow(true), 2_000);
    return () => clearTimeout(timer || undefined);
  }, [isOn]);
  return isSlow;
}

/** Who answers, and whether anybody is there. @param {Props} props */
function deskLine({ state, words }) {
  const { agent } = state.view ?? {};
  if (agent) return [agent.name, agent.role].filter(Boolean).join(' · ');
  if (state.link === 'stopped' || (!state.epoch && state.site.online === undefined)) return state.site.desk || '\u00a0';
  return [state.site.desk, state.site.online ? words.here : words.away].filter(Boolean).join(' · ');
}

/** What has been proven, while it counts. @param {Pick<Props, 'state'|'words'|'lang'>} props */
function Strip({ state, words, lang }) {
  const { standing } = state.view ?? {};
  const until = standing?.until ?? 0;
  const now = Date.now() / 1000 + state.skew;
  const [, again] = useState(0);
  useEffect(() => {
    if (until <= now) return;
    const timer = setTimeout(() => again(Date.now()), Math.min((until - now) * 1000 + 100, 2 ** 30));
    return () => clearTimeout(timer);
  }, [until]);
  const isOn = (standing?.level ?? 0) >= 2 && until > now;
  return isOn && html`<p class="strip"><${Icon} name="shield" />${words.verifiedUntil(clock(until, lang))}</p>`;
}
