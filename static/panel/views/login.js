/**
 * The log-in.
 *
 * @module
 */
import { html, useEffect, useLayoutEffect, useRef, useState } from '../../shared/preact.js';
import { Refusal } from '../api.js';
import { explain } from '../words.js';
import { span, useSecond } from './bits.js';

/** @param {{p: import('./bits.js').View, wasIn: boolean, languages: any}} props */
export function Login({ p, wasIn, languages }) {
  const { w, desk, state } = p;
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const [waitUntil, setWaitUntil] = useState(0);
  const email = useRef(/** @type {HTMLInputElement|null} */ (null));
  const password = useRef(/** @type {HTMLInputElement|null} */ (null));
  useSecond();
  const isRefused = useRef(false);
  useEffect(() => email.current?.focus(), []);
  useLayoutEffect(() => {
    if (!isBusy && isRefused.current) password.current?.focus(); // not before it is enabled again
  }, [isBusy]);

  const left = Math.ceil(waitUntil - Date.now() / 1000);
  const unsent = state.pending.length;

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    setBusy(true);
    setError('');
    try {
      await desk.signIn(email.current?.value.trim() ?? '', password.current?.value ?? '');
    } catch (problem) {
      if (!(problem instanceof Refusal)) throw problem;
      setBusy(false);
      if (problem.code === 'too_many') setWaitUntil(Date.now() / 1000 + Math.max(1, problem.retryAfter));
      else if (problem.status === 0) setError(w.noServer);
      else if (problem.status === 401 || problem.status === 400) setError(w.badLogin);
      else setError(explain(w, problem.code, problem.message));
      if (password.current) password.current.value = '';
      isRefused.current = true;
    }
  }

  const message = left > 0 ? w.waitFor(span(left)) : error;
  return html`<main class="login">
    <form onSubmit=${submit} aria-labelledby="login-title">
      <p class="brand">${w.title}</p>
      <h1 id="login-title">${w.loginTitle}</h1>
      <p class="soft">${wasIn ? w.signedOut : w.loginLead}</p>
      ${wasIn && unsent > 0 && html`<p class="soft">${w.keptUnsent(unsent)}</p>`}
      <label>${w.email}<input ref=${email} type="email" name="email" autocomplete="username" required disabled=${isBusy} /></label>
      <label>${w.password}<input ref=${password} type="password" name="password" autocomplete="current-password" required disabled=${isBusy} aria-describedby="login-error" /></label>
      <p id="login-error" class="error" role=${left > 0 ? undefined : 'alert'}>${message}</p>
      <button type="submit" class="button primary" disabled=${isBusy || left > 0}>${isBusy ? w.signingIn : w.signIn}</button>
    </form>
    ${languages}
  </main>`;
}
