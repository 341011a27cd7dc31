/**
 * The conversation as it stands: days, bubbles, what happened, what waits, the check's card at the end.
 *
 * @module
 */
import { html, useEffect, useLayoutEffect, useRef, useState } from '../../static/shared/preact.js';
import { Prose } from '../../static/shared/prose.js';
import { clock, dayName, dayOf } from '../../static/shared/time.js';
import { Language } from './controls.js';
import { Icon } from './icons.js';

/** @typedef {import('./reducer.js').Event} Event */
/** @typedef {import('./reducer.js').Entry} Entry */
/** @typedef {import('./view.js').Props} Props */
/** @typedef {import('./view.js').Words} Words */

/** Messages of one sender within this many seconds stand together under one name and one time. */
const TOGETHER = 180;
/** Nearer to the end than this many pixels counts as reading along. */
const AT_END = 60;

/** @param {Props & {onEdit: (text: string) => void}} props */
export function Thread(props) {
  const { state, talk, words, cards, lang, isOpen, isLasting, phone, onEnd, onLang } = props;
  const log = useRef(/** @type {HTMLDivElement|null} */ (null));
  const held = useRef({ isAtEnd: true, first: 0, height: 0 });
  const [isAway, setAway] = useState(false);
  const [anew, setAnew] = useState(''); // the ended check in whose place another is wanted
  const now = Date.now() / 1000 + state.skew;
  const first = state.events[0]?.seq ?? 0;
  const shown = state.events.filter((event) => isShown(event, words));
  // What comes in above is old: it is not read aloud.
  const isQuiet = state.isFetching || first < held.current.first;

  const toEnd = () => log.current && (log.current.scrollTop = log.current.scrollHeight);
  const stayAtEnd = () => ((held.current.isAtEnd = true), setAway(false), toEnd(), onEnd(true));
  const onAnew = (/** @type {string} */ id) => (stayAtEnd(), setAnew(id));
  const look = () => {
    const box = log.current;
    if (!box || !isOpen) return;
    const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < AT_END;
    if (isAtEnd !== held.current.isAtEnd) {
      held.current.isAtEnd = isAtEnd;
      setAway(!isAtEnd);
      onEnd(isAtEnd);
    }
    if (box.scrollTop < 40 && state.hasOlder) talk.older();
  };
  useLayoutEffect(() => {
    const box = log.current;
    if (!box) return;
    const { current } = held;
    if (current.isAtEnd) toEnd();
    else if (first < current.first) box.scrollTop += box.scrollHeight - current.height; // older ones came in above
    Object.assign(current, { first, height: box.scrollHeight });
  });
  useEffect(() => {
    // A keyboard that comes up or a composer that grows must not hide the last message.
    const watch = new ResizeObserver(() => held.current.isAtEnd && toEnd());
    if (log.current) watch.observe(log.current);
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    if (state.entries.length) stayAtEnd();
  }, [state.entries.at(-1)?.cid]);

  const isEmpty = !state.view && state.entries.length === 0;
  const hasNew = isAway && (state.last ?? 0) > state.read;
  return html`<div class="thread">
    <div class="log" ref=${log} role="log" aria-label=${words.log} aria-live=${isQuiet ? 'off' : 'polite'} tabindex="0" onScroll=${look}>
      ${isEmpty && html`<div class="welcome">
        <span class="seal"><${Icon} name="lock" /></span>
        <h2>${words.hello}</h2>
        <p>${words.between(state.site.name)}</p>
        ${state.site.online === false || (state.epoch && !state.site.online) ? html`<p class="soft">${words.nobody}</p>` : ''}
        <${Language} lang=${lang} onLang=${onLang} />
      </div>`}
      ${!isLasting && html`<p class="line">${words.noStorage}</p>`}
      ${state.hasOlder && html`<button class="link older" disabled=${state.isFetching} onClick=${() => talk.older()}>${state.isFetching ? words.fetching : words.earlier}</button>`}
      ${shown.map((event, at) => html`<${Item} key=${event.seq} ...${{ event, words, cards, lang, now, desk: state.site.desk }} before=${shown[at - 1]} after=${shown[at + 1]} view=${state.view} phone=${phone} anew=${anew} onAnew=${onAnew} />`)}
      ${state.entries.map((entry) => html`<${Waiting} key=${entry.cid} ...${props} entry=${entry} />`)}
      ${cards
        ? html`<${cards.Check} ...${props} words=${cards.words} onSend=${stayAtEnd} isAnew=${anew !== '' && anew === state.view?.check?.id && isOver(state.view.check.state)} />`
        : (state.view?.check || shown.some(isCard)) && html`<p class="line" role="status">${words.fetchingCard}</p>`}
      ${state.isTyping && html`<p class="typing"><span class="unseen">${words.typing}</span><i /><i /><i /></p>`}
    </div>
    ${hasNew && html`<button class="newest" onClick=${() => (toEnd(), log.current?.focus())}><${Icon} name="down" />${words.newest}</button>`}
  </div>`;
}

/**
 * @param {{event: Event, before?: Event, after?: Event, words: Words, cards: Props['cards'], lang: 'en'|'fr', now: number, desk?: string,
 *   view: import('./reducer.js').View|null, phone: string, anew: string, onAnew: (check: string) => void}} props
 */
function Item({ event, before, after, words, cards, lang, now, desk, view, phone, anew, onAnew }) {
  const isNewDay = !before || dayOf(before.at) !== dayOf(event.at);
  const day = isNewDay && html`<h2 class="day">${dayName(event.at, lang, now)}</h2>`;
  if (event.kind !== 'message') {
    if (event.kind === 'check') {
      const { id, state } = event.body.check;
      const canAsk = view?.check?.id === id && isOver(view.check.state) && view.state !== 'closed' && !view.frozen && anew !== id;
      return html`${day}${cards && html`<${cards.Over} which=${state} words=${cards.words} phone=${phone} onAnew=${canAsk && (() => onAnew(id))} />`}`;
    }
    const line = event.kind === 'act' ? cards && html`<${cards.Act} event=${event} words=${cards.words} lang=${lang} />` : happened(event, words, desk);
    return html`${day}${line}`;
  }
  const { sender, body, seq, at } = event;
  const isMine = sender.kind === 'visitor';
  const goesOn = !isNewDay && isTogether(before, event);
  const isLastOfMany = !after || !isTogether(event, after) || dayOf(after.at) !== dayOf(at);
  return html`${day}<article class=${`said ${isMine ? 'mine' : 'theirs'}${goesOn ? ' on' : ''}`}>
    ${!goesOn && html`<p class=${isMine ? 'unseen' : 'by'}>${isMine ? words.you : [sender.name || words.system, sender.role].filter(Boolean).join(' · ')}</p>`}
    <div class="bubble"><${Prose} text=${body.text} /></div>
    ${(body.removed ?? []).map((kind) => html`<p class="taken"><${Icon} name="shield" />${words.removed[/** @type {'card'} */ (kind)] ?? words.removed.card}</p>`)}
    ${isLastOfMany && html`<p class="meta"><time dateTime=${new Date(at * 1000).toISOString()}>${clock(at, lang)}</time>${isMine && html`<${Mark} ...${{ seq, view, words }} />`}</p>`}
  </article>`;
}

/**
 * @param {Event|undefined} one
 * @param {Event} next
 */
function isTogether(one, next) {
  return one?.kind === 'message' && next.kind === 'message' && one.sender.kind === next.sender.kind && one.sender.name === next.sender.name && next.at - one.at < TOGETHER;
}

/** How far a message of one's own has come. @param {{seq: number, view: import('./reducer.js').View|null, words: Words}} props */
function Mark({ seq, view, words }) {
  const isRead = seq <= (view?.read ?? 0);
  const isDelivered = isRead || seq <= (view?.delivered ?? 0);
  return html`<span class=${isRead ? 'mark seen' : 'mark'}><${Icon} name=${isDelivered ? 'two' : 'one'} />${isRead ? words.read : isDelivered ? words.delivered : words.sent}</span>`;
}

/** @param {Props & {entry: Entry, onEdit: (text: string) => void}} props */
function Waiting({ entry, words, cards, talk, onEdit }) {
  const { cid, text, state, isLate, code, sentence } = entry;
  const edit = () => (talk.withdraw(cid), onEdit(text));
  return html`<article class=${`said mine pending ${state}`}>
    <p class="unseen">${words.you}</p>
    <div class="bubble"><${Prose} text=${text} /></div>
    ${state === 'refused'
      ? html`<div class="meta bad" role="alert"><p><${Icon} name="warn" />${words.refused} ${cards?.words.errors[code ?? ''] ?? sentence ?? words.unknownError}</p>
          <p class="row"><button class="link" onClick=${() => talk.again(cid)}>${words.again}</button><button class="link" onClick=${edit}>${words.edit}</button><button class="link" onClick=${() => talk.withdraw(cid)}>${words.remove}</button></p></div>`
      : html`<p class=${isLate ? 'meta late' : 'meta'}><${Icon} name=${state === 'sent' ? 'one' : 'waiting'} />${state === 'sent' ? words.sent : isLate ? words.late : words.waiting}</p>`}
  </article>`;
}

/** @param {import('../../static/shared/frames.js').CheckCard['state']} state */
const isOver = (state) => state === 'failed' || state === 'expired' || state === 'killed';

/** Whether a card stands for it, once it is shown. @param {Event} event */
const isCard = ({ kind }) => kind === 'check' || kind === 'act';

/** @param {Event} event @param {Words} words */
function isShown(event, words) {
  if (event.kind === 'check') return isOver(event.body.check.state);
  return event.kind === 'message' || (event.kind === 'act' ? event.body.state === 'done' : lineOf(event, words) !== '');
}

/** One line for what happened. @param {Event} event @param {Words} words @param {string} [desk] */
function happened(event, words, desk) {
  const isStanding = event.kind === 'standing';
  return html`<p class=${isStanding && event.body.why === 'code' ? 'line good' : 'line'}>${isStanding && html`<${Icon} name="shield" />`}${lineOf(event, words, desk)}</p>`;
}

/** @param {Event} event @param {Words} words @param {string} [desk] as the page names it now: the event kept the language of its time @returns {string} "" for what is not worth a line */
function lineOf(event, words, desk) {
  switch (event.kind) {
    case 'assigned':
      return words.joined(event.body.agent.name, desk || event.body.agent.role);
    case 'closed':
      return { visitor: words.closedByYou, agent: words.closedByThem }[event.body.by];
    case 'reopened':
      return words.reopened;
    case 'standing':
      return { code: words.verifiedNow, expired: words.expired, not_me: words.notMe }[event.body.why];
    case 'frozen':
      return words.frozenLine;
    case 'unfrozen':
      return words.unfrozenLine;
    case 'unreadable':
      return words.unreadable;
    default:
      return '';
  }
}
