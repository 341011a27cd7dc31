/**
 * The left column: who waits, whom we speak with, and the agent's own switches.
 *
 * @module
 */
import { withoutDirections } from '../../shared/links.js';
import { html } from '../../shared/preact.js';
import { counts, isMine, leads, lines, nameOf } from '../lists.js';
import { Assurance, Marks, Wait, callOf } from './bits.js';
import { Icon } from './icons.js';

/** @typedef {import('./bits.js').View} View */

/** @param {{p: View, footer: any}} props */
export function Inbox({ p, footer }) {
  const { state, desk, w } = p;
  const count = counts(state);
  /** @type {import('../state.js').InboxTab[]} */
  const tabs = leads(state) ? ['queue', 'mine', 'all'] : ['queue', 'mine'];
  const found = lines(state, state.inboxTab);

  return html`<nav class="inbox" aria-label=${w.inbox}>
    <div class="switch" role="group" aria-label=${w.inbox}>
      ${tabs.map((tab) => html`<button type="button" key=${tab} aria-pressed=${String(tab === state.inboxTab)}
          onClick=${() => desk.dispatch({ t: 'do_inbox_tab', tab })}>
        ${w[tab]} <span class="count">${count[tab]}</span>
        ${tab === 'all' && count.held > 0 && html`<span class="badge" data-kind="warn" title=${w.heldOfOthers(count.held)}><${Icon} name="hand" /><span aria-hidden="true">${count.held}</span><span class="unseen"> ${w.heldOfOthers(count.held)}</span></span>`}
      </button>`)}
    </div>
    ${found.length > 0
      ? html`<ul class="lines">${found.map((entry) => html`<${Line} key=${entry.id} p=${p} entry=${entry} />`)}</ul>`
      : html`<${Empty} p=${p} />`}
    ${footer}
  </nav>`;
}

/** @param {{p: View}} props */
function Empty({ p: { state, w } }) {
  if (!state.isInboxKnown) return html`<div class="empty"><p class="soft">${w.loading}</p></div>`;
  const [title, lead] = {
    queue: [w.emptyQueue, w.emptyQueueLead],
    mine: [w.emptyMine, w.emptyMineLead],
    all: [w.emptyAll, w.emptyAllLead],
  }[state.inboxTab];
  return html`<div class="empty"><p class="strong">${title}</p><p class="soft">${lead}</p></div>`;
}

/** @param {{p: View, entry: import('../state.js').Entry}} props */
function Line({ p, entry }) {
  const { state, desk, w } = p;
  const site = state.sites.length > 1 ? state.sites.find((one) => one.id === entry.site)?.name : '';
  const isAmongAll = state.inboxTab === 'all';
  const holder = entry.state === 'waiting' ? isAmongAll && w.queue : !isMine(state, entry) && nameOf(state, entry.agent ?? '');
  const unread = entry.unread ?? 0;
  const draft = desk.drafts.get(entry.id);
  const isUnsaid = entry.id !== state.active && Boolean(draft?.reply.trim() || draft?.note.trim());
  return html`<li>
    <button type="button" class="line" data-line=${entry.id} data-unread=${unread > 0 || state.given.includes(entry.id)} aria-current=${entry.id === state.active ? 'true' : undefined}
        onClick=${() => desk.open(entry.id)}>
      <span class="line-top">
        <span class="line-name">${callOf(w, entry)}</span>
        <${Wait} p=${p} entry=${entry} />
      </span>
      <span class="line-text">${entry.snippet_from === 'agent' && html`<span class="soft">${w.desk} </span>`}${withoutDirections(entry.snippet ?? '')}</span>
      <span class="line-marks">
        <${Assurance} w=${w} level=${entry.level ?? 0} />
        <${Marks} w=${w} entry=${entry} />
        ${state.given.includes(entry.id) && html`<span class="badge" data-kind="warn"><${Icon} name="person" />${w.given}</span>`}
        ${(holder || site) && html`<span class="soft line-where">${[holder, site].filter(Boolean).join(' · ')}</span>`}
        ${isUnsaid && html`<span class="unsaid" title=${w.unsaid}>✎<span class="unseen"> ${w.unsaid}</span></span>`}
        ${unread > 0 && html`<span class="unread" title=${w.unread(unread)}>${unread}<span class="unseen"> ${w.unread(unread)}</span></span>`}
      </span>
    </button>
  </li>`;
}

/**
 * Who I am, and what I choose for this browser.
 * @param {{p: View, notify: {isOn: boolean, isDenied: boolean, toggle: () => void}, sound: {isOn: boolean, toggle: () => void}, languages: any}} props
 */
export function Foot({ p, notify, sound, languages }) {
  const { state, desk, w } = p;
  const bell = notify.isDenied ? w.notifyDenied : notify.isOn ? w.notifyOn : w.notifyOff;
  return html`<div class="foot">
    <p class="me"><span class="dot" data-on=${state.isOnline}></span><span>${state.me?.name}</span></p>
    <div class="tools">
      <button type="button" class="icon-button" aria-pressed=${String(notify.isOn)} aria-label=${w.notify} title=${bell} onClick=${notify.toggle}>
        <${Icon} name=${notify.isOn ? 'bell' : 'bellOff'} />
      </button>
      <button type="button" class="icon-button" aria-pressed=${String(sound.isOn)} aria-label=${w.sound}
          title=${sound.isOn ? w.soundOn : w.soundOff} onClick=${sound.toggle}>
        <${Icon} name=${sound.isOn ? 'sound' : 'mute'} />
      </button>
      <button type="button" class="icon-button" aria-label=${w.shortcuts} title="${w.shortcuts} (?)" onClick=${() => p.ask({ kind: 'help', conversation: '' })}>
        <${Icon} name="keys" />
      </button>
      ${languages}
      <button type="button" class="icon-button" aria-label=${w.signOut} title=${w.signOut} onClick=${() => (desk.hasUnsaid() ? p.ask({ kind: 'leave', conversation: '' }) : desk.signOut())}>
        <${Icon} name="leave" />
      </button>
    </div>
  </div>`;
}
