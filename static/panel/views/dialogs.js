/**
 * What is asked before something is done that cannot be taken back, and the list of keys.
 *
 * @module
 */
import { departure } from '../../shared/departure.js';
import { html, useEffect, useLayoutEffect, useRef, useState } from '../../shared/preact.js';
import { price } from '../../shared/time.js';
import { receivers } from '../lists.js';
import { hasShape, shapeOf } from '../references.js';
import { Choices, Dialog, callOf } from './bits.js';
import { Icon } from './icons.js';

/** @typedef {import('./bits.js').View} View */
/** @typedef {import('./bits.js').Asked} Asked */
/** @template {Asked['kind']} K @typedef {{p: View, asked: Extract<Asked, {kind: K}>, onClose: () => void}} Props */

/** @param {{p: View, asked: Asked, version: string, onClose: () => void}} props */
export function Question({ p, asked, version, onClose }) {
  switch (asked.kind) {
    case 'check':
      return html`<${AskCheck} p=${p} asked=${asked} onClose=${onClose} />`;
    case 'transfer':
      return html`<${PassOn} p=${p} asked=${asked} onClose=${onClose} />`;
    case 'close':
      return html`<${CloseIt} p=${p} asked=${asked} onClose=${onClose} />`;
    case 'override':
      return html`<${Override} p=${p} asked=${asked} onClose=${onClose} />`;
    case 'unfreeze':
      return html`<${Unfreeze} p=${p} asked=${asked} onClose=${onClose} />`;
    case 'change':
      return html`<${Change} p=${p} asked=${asked} onClose=${onClose} />`;
    case 'leave':
      return html`<${Leave} p=${p} onClose=${onClose} />`;
    case 'help':
      return html`<${Help} p=${p} version=${version} onClose=${onClose} />`;
    default:
      return null;
  }
}

/** A form whose answer closes the dialog. @param {() => void} act @param {() => void} onClose */
const answered = (act, onClose) => (/** @type {Event} */ event) => {
  event.preventDefault();
  act();
  onClose();
};

/** @param {Props<'check'>} props */
function AskCheck({ p, asked, onClose }) {
  const { state, desk, w } = p;
  const { conversation } = asked;
  const references = state.threads[conversation]?.view?.references ?? [];
  const [reference, setReference] = useState(references[0] ?? '');
  const isTouched = useRef(false);
  useEffect(() => desk.watch(conversation), []);
  useEffect(() => {
    if (!isTouched.current && references[0]) setReference(references[0]);
  }, [references[0]]);
  const field = useRef(/** @type {HTMLInputElement|null} */ (null));
  useLayoutEffect(() => {
    // What stands there was not typed: the first key takes its place.
    if (!isTouched.current && document.activeElement === field.current) field.current?.select();
  }, [reference]);
  const formats = state.sites.find((site) => site.id === state.inbox[conversation]?.site)?.formats ?? [];
  const given = reference.trim();
  const [isRefused, setRefused] = useState(false); // until it is right
  const isWrong = given !== '' && !hasShape(given, formats);
  const ask = (/** @type {Event} */ event) => {
    event.preventDefault();
    setRefused(isWrong);
    if (isWrong) return field.current?.focus();
    desk.ask({ t: 'ask_check', conversation, ...(given && { reference: given }) });
    onClose();
  };
  return html`<${Dialog} title=${w.askTitle} w=${w} onClose=${onClose}>
    <form onSubmit=${ask}>
      <p>${w.askLead}</p>
      <label>${w.reference}
        <input class="mono" name="reference" autofocus ref=${field} onFocus=${(/** @type {any} */ event) => !isTouched.current && event.currentTarget.select()} maxlength="40" autocomplete="off" autocapitalize="characters" spellcheck=${false} value=${reference} aria-describedby="reference-wrong reference-hint" aria-invalid=${isRefused && isWrong ? 'true' : undefined}
          onInput=${(/** @type {any} */ event) => { isTouched.current = true; setReference(event.currentTarget.value); }} />
      </label>
      <p class="error" id="reference-wrong" role="alert">${isRefused && isWrong ? w.referenceWrong(shapeOf(formats, w)) : ''}</p>
      <p class="soft" id="reference-hint">${w.referenceHint}</p>
      ${references.length > 1 && html`<p class="acts">${references.map((one) => html`<button type="button" key=${one} class="button small mono" aria-pressed=${String(one === reference)}
        onClick=${() => { isTouched.current = true; setReference(one); }}>${one}</button>`)}</p>`}
      <${Choices} w=${w} onClose=${onClose}><button type="submit" class="button primary">${w.sendCheck}</button><//>
    </form>
  <//>`;
}

/** @param {Props<'transfer'>} props */
function PassOn({ p, asked, onClose }) {
  const { state, desk, w } = p;
  const { conversation } = asked;
  const colleagues = receivers(state, state.inbox[conversation]?.agent ?? '');
  const [chosen, setChosen] = useState(colleagues.find((agent) => agent.online)?.id ?? '');
  const pass = () => desk.ask({ t: 'transfer', conversation, agent: chosen });
  return html`<${Dialog} title=${w.transferTitle} w=${w} onClose=${onClose}>
    <form onSubmit=${answered(pass, onClose)}>
      ${colleagues.length === 0 && html`<p>${w.transferNone}</p>`}
      <ul class="choices">${colleagues.map((agent) => html`<li key=${agent.id}><label>
        <input type="radio" name="agent" autofocus=${agent.id === chosen} value=${agent.id} checked=${agent.id === chosen} onChange=${() => setChosen(agent.id)} />
        <span class="dot" data-on=${agent.online ?? false}></span>
        <span>${agent.name}${agent.id === state.me?.id ? ` (${w.youObject})` : ''}</span>
        <span class="soft">${agent.role === 'agent' ? '' : `${w.roles[agent.role]} · `}${agent.online ? w.atDesk : w.away}</span>
      </label></li>`)}</ul>
      <${Choices} w=${w} onClose=${onClose}><button type="submit" class="button primary" disabled=${!chosen}>${w.transfer}</button><//>
    </form>
  <//>`;
}

/** @param {Props<'close'>} props */
function CloseIt({ p, asked, onClose }) {
  const { state, desk, w } = p;
  const { conversation } = asked;
  const held = state.inbox[conversation]?.held ?? 0;
  return html`<${Dialog} title=${w.closeTitle} w=${w} onClose=${onClose}>
    <form onSubmit=${answered(() => desk.ask({ t: 'close', conversation }), onClose)}>
      <p class="strong">${callOf(w, state.inbox[conversation])}</p>
      <p>${w.closeLead}</p>
      ${held > 0 && html`<p class="strong"><${Icon} name="hand" /> ${w.closeHeld(held)}</p>`}
      <${Choices} w=${w} onClose=${onClose}><button type="submit" class="button primary" autofocus>${w.closeIt}</button><//>
    </form>
  <//>`;
}

/** @param {Props<'override'>} props */
const Override = ({ p, asked: { conversation, held }, onClose }) => html`<${WithReason} w=${p.w} title=${p.w.overrideTitle} deed=${p.w.sendIt}
  act=${(/** @type {string} */ reason) => p.desk.ask({ t: 'override', conversation, held, reason })} onClose=${onClose} />`;

/** @param {Props<'unfreeze'>} props */
const Unfreeze = ({ p, asked: { conversation }, onClose }) => html`<${WithReason} w=${p.w} title=${p.w.unfreezeTitle} lead=${p.w.unfreezeLead} deed=${p.w.unfreeze}
  act=${(/** @type {string} */ reason) => p.desk.ask({ t: 'unfreeze', conversation, reason })} onClose=${onClose} />`;

/**
 * What somebody answers for.
 * @param {{w: View['w'], title: string, lead?: string, deed: string, act: (reason: string) => void, onClose: () => void}} props
 */
function WithReason({ w, title, lead, deed, act, onClose }) {
  const [reason, setReason] = useState('');
  const isReady = reason.trim().length >= 3;
  return html`<${Dialog} title=${title} w=${w} onClose=${onClose}>
    <form onSubmit=${answered(() => act(reason.trim()), onClose)}>
      ${lead && html`<p>${lead}</p>`}
      <p>${w.overrideLead}</p>
      <label>${w.reason}<input name="reason" autofocus maxlength="200" autocomplete="off" value=${reason} aria-describedby="reason-hint"
        onInput=${(/** @type {any} */ event) => setReason(event.currentTarget.value)} /></label>
      <p class="soft" id="reason-hint">${w.reasonHint}</p>
      <${Choices} w=${w} onClose=${onClose}><button type="submit" class="button danger" disabled=${!isReady}>${deed}</button><//>
    </form>
  <//>`;
}

/** @param {Props<'change'>} props */
function Change({ p, asked, onClose }) {
  const { state, desk, w, lang } = p;
  const { conversation, option } = asked;
  const record = state.threads[conversation]?.record;
  return html`<${Dialog} title=${w.changeTitle} w=${w} onClose=${onClose}>
    <form onSubmit=${answered(() => desk.ask({ t: 'change', conversation, option: option.id }), onClose)}>
      <dl class="facts big">
        <dt>${w.booking}</dt><dd><span class="mono">${record?.reference ?? ''}</span> ${record?.title ?? ''}</dd>
        <dt>${w.changeTo}</dt><dd><strong>${option.label}</strong>${departure(option, lang) && html`<br />${departure(option, lang)}`}</dd>
        <dt>${w.amountDue}</dt><dd><strong>${price(option.supplement, lang)}</strong></dd>
      </dl>
      <p class="soft">${w.changeLead}</p>
      <${Choices} w=${w} onClose=${onClose} isFinal><button type="submit" class="button primary" disabled=${!record}>${w.changeIt}</button><//>
    </form>
  <//>`;
}

/** Before signing out with something unsaid. @param {{p: View, onClose: () => void}} props */
function Leave({ p: { desk, w }, onClose }) {
  return html`<${Dialog} title=${w.leaveTitle} w=${w} onClose=${onClose}>
    <form onSubmit=${answered(() => desk.signOut(), onClose)}>
      <p>${w.leaveLead}</p>
      <${Choices} w=${w} onClose=${onClose}><button type="submit" class="button danger">${w.signOut}</button><//>
    </form>
  <//>`;
}

/** @param {{p: View, version: string, onClose: () => void}} props */
function Help({ p: { w }, version, onClose }) {
  const { help } = w;
  /** @type {[string[], string][]} */
  const keys = [
    [['J', 'K'], help.move], [[w.enter, 'O'], help.open], [['R'], help.reply], [['N'], help.note], [['C'], help.claim],
    [['A'], help.check], [['T'], help.transfer], [['E'], help.close], [[w.enter, `Ctrl + ${w.enter}`], help.send],
    [['?'], help.help], [[w.escape], help.leave],
  ];
  return html`<${Dialog} title=${w.shortcuts} w=${w} onClose=${onClose}>
    <dl class="keys">${keys.map(([names, what]) => html`<dt key=${`${what}t`}>${names.map((name) => html`<kbd key=${name}>${name}</kbd> `)}</dt><dd key=${`${what}d`}>${what}</dd>`)}</dl>
    <p class="soft">${w.helpLead}</p>
    ${version && html`<p class="soft">Aparté ${version}</p>`}
  <//>`;
}
