/**
 * The right column: who is speaking, how sure we are of it, and what that opens.
 *
 * @module
 */
import { departure } from '../../shared/departure.js';
import { withoutDirections } from '../../shared/links.js';
import { html, useEffect, useRef } from '../../shared/preact.js';
import { clock, countdown, dayName, price } from '../../shared/time.js';
import { canCheck, isBusy, mayWrite, nameOf } from '../lists.js';
import { runningCheck, standingNow } from '../thread.js';
import { callOf, remaining, sureness, useSecond } from './bits.js';
import { Icon } from './icons.js';

/** @typedef {import('./bits.js').View} View */
/** @typedef {import('../state.js').Thread} Thread */

/** @param {{p: View}} props */
export function Person({ p }) {
  const { state, desk, w } = p;
  const thread = state.threads[state.active];
  const view = thread?.view;
  return html`<section class="person" tabindex="-1" aria-label=${w.person}>
    ${thread && html`<header class="head narrow">
      <button type="button" class="icon-button" aria-label=${w.conversation} title=${w.conversation} onClick=${() => desk.dispatch({ t: 'do_place', place: 'thread' })}><${Icon} name="back" /></button>
      <h2>${callOf(w, view?.entry)}</h2>
    </header>`}
    ${thread && view && html`
      <${Proof} p=${p} thread=${thread} />
      <${Check} p=${p} thread=${thread} />
      <${Booking} p=${p} thread=${thread} />
      <${About} p=${p} view=${view} />
    `}
  </section>`;
}

/** @param {View} p @param {Thread} thread */
const mayAsk = (p, thread) =>
  !thread.isGone && thread.view !== null && ['reply', 'lead'].includes(mayWrite(p.state, thread.view.entry));

/** How sure we are. @param {{p: View, thread: Thread}} props */
function Proof({ p, thread }) {
  useSecond();
  const { w, desk } = p;
  const standing = standingNow(thread.view, desk.now());
  const isProven = (standing?.level ?? 0) >= 2;
  const isUnderWay = runningCheck(thread.view, desk.now()) !== null;
  const reference = standing?.reference ?? '';
  const title = thread.isLost ? w.unfollowed : isProven ? w.provenFor(reference) : standing ? w.typedAddress : w.nobody;
  return html`<section class="proof" data-proven=${isProven} aria-label=${title}>
    <p class="proof-level" title=${thread.isLost ? undefined : sureness(w, standing?.level ?? 0)}><${Icon} name=${isProven ? 'proven' : 'shield'} /></p>
    <div>
      <h2>${title}</h2>
      ${standing && html`<p class="proof-left">${w.minutesLeft(remaining((standing.until ?? 0) - desk.now()))}</p>`}
      ${standing?.contact && html`<p class="soft">${w.contact}<br /><span class="mono">${standing.contact}</span></p>`}
      ${!isProven && html`<p class="soft">${thread.isLost ? w.unfollowedLead : w.nobodyLead}</p>`}
    </div>
    ${mayAsk(p, thread) && !canCheck(p.state, thread.view?.entry) && html`<p class="soft">${w.noChecks}</p>`}
    ${mayAsk(p, thread) && canCheck(p.state, thread.view?.entry) && html`<button type="button" class="button ${isProven || isUnderWay ? '' : 'primary'}" title="${w.askCheck} (A)"
        disabled=${isBusy(p.state, thread.id, 'ask_check')} onClick=${() => p.ask({ kind: 'check', conversation: thread.id })}>
      ${isProven || isUnderWay ? w.askAgain : w.askCheck}</button>`}
  </section>`;
}

/** The check that is under way, or how the last one ended. @param {{p: View, thread: Thread}} props */
function Check({ p, thread }) {
  useSecond();
  const { w, desk } = p;
  const check = thread.view?.check;
  if (!check || check.state === 'verified' || check.state === 'ended') return null;
  const left = (check.until ?? 0) - desk.now();
  const isLive = check.state === 'offered' || check.state === 'started';
  const state = check.state === 'started' && check.until && left <= 0 ? 'expired' : check.state;
  const said = {
    offered: w.checkOffered, started: w.checkStarted, failed: w.checkFailed, expired: w.checkExpired, killed: w.checkKilled,
  }[state];
  return html`<section class="check" data-kind=${isLive ? '' : state === 'expired' ? 'warn' : 'bad'}>
    <h3>${w.check}</h3>
    <p>${said}</p>
    ${check.late && isLive && html`<p class="strong">${w.checkLate}</p>`}
    ${state === 'started' && html`<dl class="facts">
      ${check.reference && html`<dt>${w.reference}</dt><dd class="mono">${check.reference}</dd>`}
      ${check.until && html`<dt>${w.checkTime}</dt><dd class="mono">${countdown(left)}</dd>`}
      <dt>${w.checkTries}</dt><dd>${check.tries_left ?? 0}</dd>
      <dt>${w.checkSends}</dt><dd>${check.sends_left ?? 0}</dd>
    </dl>`}
  </section>`;
}

/** The company's record: only while its owner is proven, and only when asked for. @param {{p: View, thread: Thread}} props */
function Booking({ p, thread }) {
  useSecond();
  const { w, desk, lang, state } = p;
  const isProven = (standingNow(thread.view, desk.now())?.level ?? 0) >= 2;
  const conversation = thread.id;
  const title = useRef(/** @type {HTMLElement|null} */ (null));
  const isAsked = useRef(false);
  const { record } = thread;
  useEffect(() => {
    if (!isProven && record) desk.dispatch({ t: 'do_hide_record', conversation });
  }, [isProven, record]);
  useEffect(() => {
    if (record && isAsked.current) title.current?.focus();
    isAsked.current = false;
  }, [record]);
  if (!isProven || !mayAsk(p, thread)) return null;

  if (!record) {
    const show = () => {
      isAsked.current = true;
      desk.showRecord(conversation);
    };
    const isWaiting = isBusy(state, conversation, 'show_record');
    return html`<section><h3>${w.booking}</h3>
      <button type="button" class="button primary" disabled=${isWaiting} onClick=${show}>${isWaiting ? w.loading : w.showBooking}</button>
      <p class="soft">${w.bookingLead}</p></section>`;
  }
  const isChanging = isBusy(state, conversation, 'change');
  return html`<section class="booking">
    <div class="booking-top">
      <h3 tabindex="-1" ref=${title}>${w.booking} <span class="mono">${record.reference}</span></h3>
      <button type="button" class="button small quiet" onClick=${() => desk.dispatch({ t: 'do_hide_record', conversation })}>${w.hideBooking}</button>
    </div>
    <p class="strong">${record.title}</p>
    ${record.state && html`<p class="soft">${record.state}</p>`}
    <dl class="facts">${record.lines.map((line) => html`<dt key=${`${line.label}t`}>${line.label}</dt><dd key=${`${line.label}d`}>${line.value}</dd>`)}</dl>
    <h3>${w.options}</h3>
    ${record.options.length === 0 && html`<p class="soft">${w.noOptions}</p>`}
    <ul class="options">${record.options.map((option) => html`<li key=${option.id}>
      <span class="option-what"><span>${option.label}</span>
        <span class="soft">${[departure(option, lang), option.supplement.amount > 0 ? w.supplement(price(option.supplement, lang)) : w.noSupplement].filter(Boolean).join(' · ')}</span></span>
      <button type="button" class="button small" disabled=${isChanging} aria-label="${w.change}: ${option.label}" onClick=${() => p.ask({ kind: 'change', conversation, option })}>${w.change}</button>
    </li>`)}</ul>
  </section>`;
}

/** What else is known; none of it proves anything. @param {{p: View, view: import('../state.js').StaffView}} props */
function About({ p, view }) {
  const { w, lang, state, desk } = p;
  const { entry, page } = view;
  const site = state.sites.find((one) => one.id === entry.site)?.name;
  const tongue = view.lang ?? 'en';
  /** @type {[string, any][]} */
  const facts = [
    [w.saidName, entry.name ? callOf(w, entry) : ''],
    [w.site, site ?? ''],
    [w.page, page?.url ? html`<span title=${page.url}>${withoutDirections(page.title || page.url)}</span>` : ''],
    [w.browser, browserOf(view.browser ?? '')],
    [w.speaks, new Intl.DisplayNames([w.tag], { type: 'language' }).of(tongue)],
    [w.since, view.created ? `${dayName(view.created, lang, desk.now())}, ${clock(view.created, lang)}` : ''],
    [w.answeredBy, entry.state === 'assigned' ? nameOf(state, entry.agent ?? '') : ''],
  ];
  return html`<section><h3>${w.about}</h3>
    <dl class="facts">${facts.filter(([, value]) => value).map(([label, value]) => html`<dt key=${`${label}t`}>${label}</dt><dd key=${`${label}d`}>${value}</dd>`)}</dl>
  </section>`;
}

/**
 * The few words of a user agent that help an agent.
 * @param {string} agent
 * @returns {string} "Firefox 128, Linux"; the text itself when it is something else
 */
export function browserOf(agent) {
  if (!agent.startsWith('Mozilla/')) return agent;
  const found = /(Edg|OPR|Firefox|FxiOS|CriOS|Chrome|Version)\/(\d+)/.exec(agent.replace(/Chrome(?=.*(?:Edg|OPR)\/)/, ''));
  const names = /** @type {Record<string, string>} */ ({ Edg: 'Edge', OPR: 'Opera', FxiOS: 'Firefox', CriOS: 'Chrome', Version: 'Safari' });
  const system = /(iPhone|iPad|Android|Windows|Mac OS X|Linux)/.exec(agent)?.[1] ?? '';
  const browser = found ? `${names[found[1]] ?? found[1]} ${found[2]}` : '';
  return [browser, system === 'Mac OS X' ? 'macOS' : system].filter(Boolean).join(', ');
}
