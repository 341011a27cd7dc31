/**
 * What a thread is made of: days, bubbles, notes, held messages and the lines that the system writes.
 *
 * @module
 */
import { chosen } from '../../shared/departure.js';
import { html } from '../../shared/preact.js';
import { Prose } from '../../shared/prose.js';
import { clock, countdown, dayName, dayOf, price } from '../../shared/time.js';
import { PATIENCE_SECONDS } from '../desk.js';
import { canCheck, isBusy, isMine, leads, mayOverride } from '../lists.js';
import { fates, runningCheck, steps } from '../thread.js';
import { explain } from '../words.js';
import { callOf, useSecond } from './bits.js';
import { Icon } from './icons.js';

/** @typedef {import('./bits.js').View} View */
/** @typedef {import('../state.js').Event} Event */
/** @typedef {import('../state.js').Thread} Thread */
/** @typedef {import('../state.js').Pending} Pending */
/** @template {Event['kind']} K @typedef {Extract<Event, {kind: K}>} Of */

/**
 * @param {View} p
 * @param {Thread} thread
 * @returns {any[]} rows in order, each with a key
 */
export function rows(p, thread) {
  const fate = fates(thread.events);
  const step = steps(thread.events);
  /** @type {any[]} */
  const drawn = [];
  let day = '';
  let isNewShown = thread.newAfter === 0;
  for (const event of thread.events) {
    if (dayOf(event.at) !== day) {
      day = dayOf(event.at);
      drawn.push(html`<p class="day" key=${day}>${dayName(event.at, p.lang, p.desk.now())}</p>`);
    }
    const isOfVisitor = event.kind === 'message' && event.sender.kind === 'visitor';
    if (!isNewShown && isOfVisitor && (event.vseq ?? 0) > thread.newAfter) {
      isNewShown = true;
      drawn.push(html`<p class="new" key="new"><span>${p.w.newHere}</span></p>`);
    }
    drawn.push(html`<${Row} key=${event.id} p=${p} thread=${thread} event=${event} fate=${event.kind === 'held' ? fate.get(event.body.held) : undefined} step=${step.get(event.id)} />`);
  }
  return drawn;
}

/** @param {{p: View, thread: Thread, event: Event, fate?: 'sent'|'dropped', step?: 'wrong'|'resent'}} props */
function Row({ p, thread, event, fate, step }) {
  const { w } = p;
  switch (event.kind) {
    case 'message':
      return html`<${Bubble} p=${p} thread=${thread} event=${event} />`;
    case 'note':
      return html`<article class="bubble note">
        <p class="who"><${Icon} name="note" /> ${event.body.reason ? w.reasonOf[event.body.reason] : w.note} · ${whoOf(p, event)}</p>
        <${Prose} text=${event.body.text} />
        <p class="meta"><time>${clock(event.at, p.lang)}</time></p>
      </article>`;
    case 'held':
      return html`<${Held} p=${p} event=${event} fate=${fate} />`;
    case 'unreadable':
      return html`<p class="system" data-kind="bad"><${Icon} name="alarm" /> ${w.unreadableHere}</p>`;
    case 'dropped':
      return null; // told where the message was held
    case 'check': // that it was passed is told by the standing that follows
      return event.body.check.state === 'verified' ? null : html`<${SystemLine} p=${p} event=${event} step=${step} />`;
    default:
      return html`<${SystemLine} p=${p} event=${event} step=${step} />`;
  }
}

/** @param {View} p @param {Event} event */
function whoOf(p, event) {
  const { name = '', id } = event.sender;
  return id && id === p.state.me?.id ? p.w.fromYou : name;
}

/** @param {{p: View, thread: Thread, event: Of<'message'>}} props */
function Bubble({ p, thread, event }) {
  const { w, lang } = p;
  const { view } = thread;
  const isOurs = event.sender.kind === 'agent';
  const vseq = event.vseq ?? 0;
  const stage = vseq > 0 && vseq <= (view?.read ?? 0) ? 'read' : vseq > 0 && vseq <= (view?.delivered ?? 0) ? 'delivered' : 'sent';
  return html`<article class="bubble ${isOurs ? 'ours' : 'theirs'}">
    <p class=${isOurs ? 'who' : 'unseen'}>${isOurs ? whoOf(p, event) : callOf(w, view?.entry)}</p>
    <${Prose} text=${event.body.text} />
    ${(event.body.removed ?? []).map((what) => html`<p class="removed" key=${what}>
      <${Icon} name="shield" /> ${w.removed(/** @type {Record<string, string>} */ (w.removedWhat)[what] ?? what)}
    </p>`)}
    <p class="meta"><time>${clock(event.at, lang)}</time>${isOurs && html`<${Stage} w=${w} stage=${stage} />`}</p>
  </article>`;
}

/** How far a message of ours has come. @param {{w: View['w'], stage: 'sent'|'delivered'|'read'}} props */
function Stage({ w, stage }) {
  return html`<span class="stage" data-stage=${stage}> · <${Icon} name=${stage === 'sent' ? 'check' : 'checks'} />${w[stage]}</span>`;
}

/** A reply or note on its way, or refused. @param {{p: View, item: Pending}} props */
export function Unsent({ p, item }) {
  useSecond();
  const { w, desk } = p;
  const { verb } = item;
  if (verb.t !== 'post' && verb.t !== 'note') return null;
  const isLate = desk.now() - item.at > PATIENCE_SECONDS || item.code !== undefined;
  const stage = item.state === 'acked' ? (item.isHeld ? w.held : w.sent) : isLate ? w.notYet : w.waiting;
  return html`<article class="bubble ${verb.t === 'note' ? 'note' : 'ours'} unsent" data-state=${item.state}>
    <p class="who">${verb.t === 'note' ? `${w.note} · ${w.fromYou}` : w.fromYou}</p>
    <${Prose} text=${verb.text} />
    ${item.state === 'failed'
      ? html`<p class="removed" data-kind="bad" role="alert"><${Icon} name="alarm" /> <strong>${w.notSent}.</strong> ${explain(w, item.code ?? '', item.sentence ?? '')}</p>
        <p class="acts">
          <button type="button" class="button small" onClick=${() => desk.retry(item.cid)}>${w.tryAgain}</button>
          <button type="button" class="button small" onClick=${() => takeBack(p, verb.conversation, verb.t === 'note' ? 'note' : 'reply', verb.text, item.cid)}>${w.edit}</button>
          <button type="button" class="button small quiet" onClick=${() => desk.dispatch({ t: 'do_forget', cid: item.cid })}>${w.discard}</button>
        </p>`
      : html`<p class="meta" data-late=${isLate && item.state === 'waiting'}><${Icon} name=${item.isHeld ? 'hand' : item.state === 'acked' ? 'check' : 'clock'} />${stage}</p>`}
  </article>`;
}

/**
 * Puts a text back into the composer, in front of what stands there.
 * @param {View} p
 * @param {string} conversation
 * @param {'reply'|'note'} mode
 * @param {string} text
 * @param {string} [cid] of the message that it was
 */
function takeBack(p, conversation, mode, text, cid) {
  p.desk.intoDraft(conversation, mode, text);
  if (cid) p.desk.dispatch({ t: 'do_forget', cid });
}

/** @param {{p: View, event: Of<'held'>, fate?: 'sent'|'dropped'}} props */
function Held({ p, event, fate }) {
  useSecond(); // what is left of a check
  const { w, state, desk } = p;
  const { held, text, code, topic } = event.body;
  const { conversation } = event;
  if (fate) return html`<p class="system"><${Icon} name="hand" /> ${fate === 'sent' ? w.heldSent : w.heldDropped} · ${clock(event.at, p.lang)}</p>`;

  const isMoney = topic === 'payment';
  const why = isMoney && code === 'needs_check' ? w.heldWhyMoney : /** @type {Record<string, string>} */ (w.heldWhy)[code] ?? explain(w, code, '');
  const goesByItself = code === 'needs_check' || code === 'other_record';
  const isCheckable = canCheck(state, state.threads[conversation]?.view?.entry);
  const mayAct = isMine(state, state.inbox[conversation]) || leads(state);
  const check = goesByItself && isCheckable ? runningCheck(state.threads[conversation]?.view, desk.now()) : null;
  const isFrozen = state.inbox[conversation]?.frozen ?? false;
  const isTakingBack = isBusy(state, conversation, 'drop_held');
  const isFree = mayOverride(state, event.body);
  const drop = (/** @type {(() => void)|undefined} */ then) => desk.ask({ t: 'drop_held', conversation, held }, then);
  return html`<article class="held" aria-label=${w.held}>
    <p class="who"><${Icon} name="hand" /> <strong>${w.held}</strong> · ${whoOf(p, event)} · <time>${clock(event.at, p.lang)}</time></p>
    <${Prose} text=${text} />
    <p class="why">${why}${goesByItself ? ` ${isCheckable ? w.heldGoes : w.noChecks}` : ''}</p>
    ${check && html`<p class="running" role="timer"><${Icon} name="clock" /> ${w.checkRuns([w.minutesLeft(countdown((check.until ?? 0) - desk.now())), w.triesLeft(check.tries_left ?? 0)].join(' · '))}</p>`}
    ${mayAct && html`<p class="acts">
      ${goesByItself && isCheckable && !isFrozen && !check && html`<button type="button" class="button small primary" onClick=${() => p.ask({ kind: 'check', conversation })}>${w.askCheck}</button>`}
      <button type="button" class="button small" disabled=${isTakingBack} onClick=${() => drop(() => takeBack(p, conversation, 'reply', text))}>${w.edit}</button>
      <button type="button" class="button small" disabled=${isTakingBack} onClick=${() => drop(undefined)}>${w.drop}</button>
      ${isFree && !isFrozen && html`<button type="button" class="button small quiet" disabled=${isBusy(state, conversation, 'override')}
        onClick=${() => p.ask({ kind: 'override', conversation, held })}>${w.sendAnyway}</button>`}
    </p>`}
    ${mayAct && !isFree && html`<p class="soft">${w.overrideLeads}</p>`}
  </article>`;
}

/** @param {{p: View, event: Event, step?: 'wrong'|'resent'}} props */
function SystemLine({ p, event, step }) {
  const { w } = p;
  const said = step ? w.lineCheck[step] : sentenceOf(p, event);
  if (event.kind === 'alarm') {
    return html`<p class="alarm-line"><${Icon} name="alarm" /><span><strong>${w.alarm}</strong> · ${clock(event.at, p.lang)}<br />${said}</span></p>`;
  }
  return html`<p class="system" data-kind=${moodOf(event)}>${said} · <time>${clock(event.at, p.lang)}</time></p>`;
}

/**
 * What the line of an event says.
 *
 * @param {Pick<View, 'w' | 'lang' | 'state'>} p
 * @param {Event} event
 * @returns {any}
 */
export function sentenceOf(p, event) {
  const { w, lang, state } = p;
  switch (event.kind) {
    case 'assigned': {
      const { agent, agent_id: id, by } = event.body;
      if (by) return id === state.me?.id ? w.lineTransferredYou(by) : w.lineTransferred(agent.name, by);
      return id === state.me?.id ? w.lineAssignedYou : w.lineAssigned(agent.name);
    }
    case 'closed':
      return w.lineClosed[event.body.by];
    case 'reopened':
      return w.lineReopened;
    case 'check': {
      const { check } = event.body;
      return /** @type {Record<string, string>} */ (w.lineCheck)[check.late ? 'late' : check.state] ?? check.state;
    }
    case 'standing': {
      const { standing, why } = event.body;
      return standing.level >= 2 ? w.lineStandingUp(standing.reference ?? '') : w.lineStandingDown[why];
    }
    case 'frozen':
      return w.lineFrozen;
    case 'unfrozen':
      return w.lineUnfrozen;
    case 'alarm':
      return /** @type {Record<string, string>} */ (w.alarms)[event.body.code] ?? event.body.code;
    case 'act': {
      const { state: step, due, code } = event.body;
      if (code === 'not_known') return explain(w, code, ''); // "not changed" would be a guess
      const parts = [w.lineAct[step]];
      const what = step === 'failed' ? '' : chosen(event.body, lang);
      if (what) parts.push(what);
      if (step === 'done' && due) parts.push(w.lineDue(price(due, lang)));
      if (step === 'failed' && code) parts.push(explain(w, code, ''));
      return parts.join(' · ');
    }
    default:
      return '';
  }
}

/** @param {Event} event @returns {string} */
function moodOf(event) {
  if (event.kind === 'standing') return event.body.standing.level >= 2 ? 'good' : 'warn';
  if (event.kind === 'act') return event.body.state === 'done' ? 'good' : event.body.state === 'failed' ? 'bad' : '';
  if (event.kind === 'frozen') return 'bad';
  if (event.kind === 'check') return ['failed', 'killed'].includes(event.body.check.state) ? 'warn' : '';
  return '';
}
