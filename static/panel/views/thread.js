/**
 * The middle column: open conversations as tabs, the thread, and where one writes.
 *
 * @module
 */
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from '../../shared/preact.js';
import { isBusy, isMine, leads, mayWrite, nameOf } from '../lists.js';
import { hasOlder, standingNow } from '../thread.js';
import { Marks, Wait, callOf, useSecond } from './bits.js';
import { Composer } from './composer.js';
import { Icon } from './icons.js';
import { Unsent, rows } from './items.js';

/** @typedef {import('./bits.js').View} View */
/** @typedef {import('../state.js').Thread} Thread */

/** Nearer to the end than this, in pixels, one is reading the end. */
const NEAR_END = 72;

/** @param {{p: View}} props */
export function Middle({ p }) {
  const { state, w } = p;
  const thread = state.threads[state.active];
  return html`<section class="middle" id="conversation" tabindex="-1" aria-label=${w.conversation}>
    ${state.open.length > 0 && html`<${Tabs} p=${p} />`}
    ${thread
      ? html`<${Conversation} key=${thread.id} p=${p} thread=${thread} />`
      : html`<div class="empty"><p class="strong">${w.pick}</p><p class="soft">${w.pickLead}</p></div>`}
  </section>`;
}

/** @param {{p: View}} props */
function Tabs({ p }) {
  const { state, desk, w } = p;
  const list = useRef(/** @type {HTMLElement|null} */ (null));
  useLayoutEffect(() => {
    list.current?.querySelector('[data-on="true"]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [state.active, state.place]);
  /** @param {string} id */
  const shut = (id) => {
    desk.shut(id);
    // What was pressed is gone: the focus goes to the tab that is on now, or back to the list.
    requestAnimationFrame(() => /** @type {HTMLElement|null} */ (list.current?.querySelector('[aria-current]') ?? document.querySelector('[data-line]'))?.focus());
  };
  return html`<nav class="tabs" ref=${list} aria-label=${w.openTabs}><ul>
    ${state.open.map((id) => {
      const entry = state.inbox[id] ?? state.threads[id]?.view?.entry;
      const name = callOf(w, entry);
      const unread = id === state.active ? 0 : (entry?.unread ?? 0);
      const draft = desk.drafts.get(id);
      const isUnsaid = id !== state.active && Boolean(draft?.reply.trim() || draft?.note.trim());
      return html`<li key=${id} class="tab" data-on=${id === state.active}>
        <button type="button" class="tab-name" aria-current=${id === state.active ? 'page' : undefined} onClick=${() => desk.open(id)}>
          <span class="tab-text">${name}</span>
          ${isUnsaid && html`<span class="unsaid" title=${w.unsaid}>✎<span class="unseen"> ${w.unsaid}</span></span>`}
          ${unread > 0 && html`<span class="unread">${unread}<span class="unseen"> ${w.unread(unread)}</span></span>`}
        </button>
        <button type="button" class="tab-shut" aria-label=${w.shutTab(name)} title=${w.shutTab(name)} onClick=${() => shut(id)}><${Icon} name="cross" /></button>
      </li>`;
    })}
  </ul></nav>`;
}

/** @param {{p: View, thread: Thread}} props */
function Conversation({ p, thread }) {
  const { state } = p;
  const unsent = state.pending.filter(({ verb }) => verb.conversation === thread.id && (verb.t === 'post' || verb.t === 'note'));
  return html`
    <${Head} p=${p} thread=${thread} />
    <${Log} p=${p} thread=${thread} unsent=${unsent} />
    <${Typing} p=${p} thread=${thread} />
    <${Bottom} p=${p} thread=${thread} />
  `;
}

/** @param {{p: View, thread: Thread}} props */
function Head({ p, thread }) {
  const { state, desk, w } = p;
  const entry = thread.view?.entry;
  const mayPass = entry && !thread.isGone && entry.state === 'assigned' && (isMine(state, entry) || leads(state));
  const site = state.sites.find((one) => one.id === entry?.site);
  const isProven = (standingNow(thread.view, desk.now())?.level ?? 0) >= 2;
  const isFollowed = entry && !thread.isLost; // of what is not, nothing is told that may have changed
  useSecond(); // a proof ends by itself
  return html`<header class="head">
    <button type="button" class="icon-button narrow" aria-label=${w.inbox} title=${w.inbox} onClick=${() => desk.dispatch({ t: 'do_place', place: 'inbox' })}><${Icon} name="back" /></button>
    <div class="head-who">
      <h2>${callOf(w, entry)}</h2>
      <p class="soft">${isFollowed && entry.name && !isProven && html`<span>${w.notByName} · </span>`}${site?.name ?? ''} ${isFollowed && html`<${Wait} p=${p} entry=${entry} />`}</p>
    </div>
    ${isFollowed && html`<${Marks} w=${w} entry=${entry} />`}
    ${mayPass && html`
      <button type="button" class="button small" title="${w.transfer} (T)" onClick=${() => p.ask({ kind: 'transfer', conversation: thread.id })}>${w.transfer}</button>
      <button type="button" class="button small" title="${w.close} (E)" onClick=${() => p.ask({ kind: 'close', conversation: thread.id })}>${w.close}</button>
    `}
    <button type="button" class="icon-button narrow" aria-label=${w.person} title=${w.person} onClick=${() => desk.dispatch({ t: 'do_place', place: 'person' })}><${Icon} name="person" /></button>
  </header>`;
}

/** @param {{p: View, thread: Thread, unsent: import('../state.js').Pending[]}} props */
function Log({ p, thread, unsent }) {
  const { desk, w } = p;
  const box = useRef(/** @type {HTMLElement|null} */ (null));
  const isAtEnd = useRef(true);
  const first = useRef(0);
  const heightBefore = useRef(0);
  const [fresh, setFresh] = useState(0);
  const [isAway, setAway] = useState(false);
  const lastSeen = useRef(0);
  // What stood there before it became ours is read as soon as it is.
  const isOwn = isMine(p.state, p.state.inbox[thread.id]);
  // Drawn anew only when something of it changes: ticking and typing elsewhere cost nothing here.
  const drawn = useMemo(() => rows(p, thread), [thread.events, thread.view, p.lang, p.state.pending, p.state.me, p.state.inbox]);

  const look = () => {
    const el = box.current;
    if (!el) return;
    isAtEnd.current = el.scrollHeight - el.scrollTop - el.clientHeight < NEAR_END;
    heightBefore.current = el.scrollHeight - el.scrollTop;
    setAway(!isAtEnd.current);
    if (!isAtEnd.current) return;
    setFresh(0);
    if (document.visibilityState === 'visible' && document.hasFocus()) desk.sawEnd(thread.id);
  };

  useLayoutEffect(() => {
    const el = box.current;
    if (!el) return;
    const firstSeq = thread.events[0]?.seq ?? 0;
    if (first.current > firstSeq && firstSeq > 0 && !isAtEnd.current) {
      el.scrollTop = el.scrollHeight - heightBefore.current; // earlier messages came in above: stay where one reads
    } else if (isAtEnd.current) {
      el.scrollTop = el.scrollHeight;
    } else {
      const came = thread.events.filter((event) => event.seq > lastSeen.current && event.kind === 'message').length;
      if (came > 0) setFresh((n) => n + came);
    }
    first.current = firstSeq;
    lastSeen.current = thread.top;
    look();
    // What is refused grows by what can be done about it.
  }, [thread.events, unsent.map((item) => item.state).join(), isOwn]);

  useEffect(() => {
    const el = box.current;
    const watch = new ResizeObserver(() => {
      if (el && isAtEnd.current) el.scrollTop = el.scrollHeight;
    });
    if (el) watch.observe(el);
    addEventListener('focus', look);
    document.addEventListener('visibilitychange', look);
    return () => {
      watch.disconnect();
      removeEventListener('focus', look);
      document.removeEventListener('visibilitychange', look);
    };
  }, []);

  const jump = () => {
    isAtEnd.current = true;
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
    look();
  };
  return html`<div class="log-frame">
    <section class="log" role="log" aria-live="polite" aria-label=${w.conversation} tabindex="0" ref=${box} onScroll=${look}>
      <p class="older">
        ${thread.isFresh ? (thread.isGone ? w.goneLead : w.loading)
          : hasOlder(thread)
            ? html`<button type="button" class="button small" disabled=${thread.isLoadingOlder} onClick=${() => desk.older(thread.id)}>${thread.isLoadingOlder ? w.loading : w.older}</button>`
            : w.noOlder}
      </p>
      ${drawn}
      ${unsent.map((item) => html`<${Unsent} key=${item.cid} p=${p} item=${item} />`)}
    </section>
    ${isAway && html`<button type="button" class="button small jump" data-fresh=${fresh > 0} onClick=${jump}><${Icon} name="down" /> ${w.jump(fresh)}</button>`}
  </div>`;
}

/** @param {{p: View, thread: Thread}} props */
function Typing({ p, thread }) {
  useSecond();
  const isTyping = thread.typingUntil > p.desk.now();
  return html`<p class="typing">${isTyping ? p.w.isWriting(callOf(p.w, thread.view?.entry)) : ''}</p>`;
}

/** Where one writes, or why one cannot. @param {{p: View, thread: Thread}} props */
function Bottom({ p, thread }) {
  const { state, desk, w } = p;
  const entry = thread.view?.entry;
  const conversation = thread.id;
  if (thread.isLost && state.inbox[conversation]) {
    return html`<div class="bar"><p>${w.backLead}</p>
      <button type="button" class="button primary" onClick=${() => desk.open(conversation)}>${w.show}</button></div>`;
  }
  if (thread.isGone) {
    const holder = nameOf(state, entry?.agent ?? '');
    const isElsewhere = entry?.state === 'assigned' && holder && !isMine(state, entry);
    return html`<div class="bar"><p>${entry?.state === 'closed' ? w.closedLead : isElsewhere ? w.goneWith(holder) : w.goneLead}</p>
      <button type="button" class="button" onClick=${() => desk.shut(conversation)}>${w.putAway}</button></div>`;
  }
  if (!entry) return null;
  const may = mayWrite(state, entry);
  if (may === 'closed') return html`<div class="bar"><p>${w.closedLead}</p></div>`;
  if (may === 'claim') {
    return html`<div class="bar"><p>${w.claimLead}</p>
      <button type="button" class="button primary" title="${w.claim} (C)" disabled=${isBusy(state, conversation, 'claim')} onClick=${() => desk.claim(conversation)}>${w.claim}</button></div>`;
  }
  return html`
    ${may === 'frozen' && html`<div class="bar" data-kind="bad"><p><${Icon} name="frozen" /> ${w.frozenLead} ${leads(state) ? '' : w.frozenWait}</p>
      ${leads(state) && html`<button type="button" class="button" disabled=${isBusy(state, conversation, 'unfreeze')} onClick=${() => p.ask({ kind: 'unfreeze', conversation })}>${w.unfreeze}</button>`}</div>`}
    ${(may === 'note' || may === 'lead') && html`<div class="bar"><p>${w.withOther(nameOf(state, entry.agent ?? ''))} ${may === 'note' ? w.noteOnly : ''}</p></div>`}
    <${Composer} p=${p} conversation=${conversation} mayReply=${may === 'reply' || may === 'lead'} />
  `;
}
