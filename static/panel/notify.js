/**
 * Telling an agent who looks elsewhere: a desktop notification, a sound, the number in the title. All by choice.
 *
 * Nothing of a conversation goes out here: a notification stays on the lock screen and in the system's history.
 *
 * @module
 */
import { hasHeldOfOthers, isGiven, isMine } from './lists.js';

/** @typedef {import('./state.js').State} State */

/**
 * Whether something has happened that one wants to be told.
 * @param {State} before
 * @param {State} after
 * @returns {'waits'|'given'|'answer'|'held'|'alarm'|null}
 */
export function reason(before, after) {
  if (!before.isInboxKnown || before.phase !== 'signed_in') return null; // the first snapshot is no news
  if (after.notices.some((notice) => notice.kind === 'alarm' && notice.id > before.lastNotice)) return 'alarm';
  for (const entry of Object.values(after.inbox)) {
    const old = before.inbox[entry.id];
    if (entry === old) continue;
    if (entry.state === 'waiting' && old?.state !== 'waiting') return 'waits';
    if (isGiven(after, before, entry)) return 'given';
    if (isMine(after, entry) && (entry.unread ?? 0) > (old?.unread ?? 0)) return 'answer';
    if (hasHeldOfOthers(after, entry) && (entry.held ?? 0) > (old?.held ?? 0)) return 'held';
  }
  return null;
}

export const notificationsDenied = () => typeof Notification === 'undefined' || Notification.permission === 'denied';

/** Asks the browser, only ever after a click. @returns {Promise<boolean>} */
export async function allowNotifications() {
  if (notificationsDenied()) return false;
  return (await Notification.requestPermission()) === 'granted';
}

/** @param {string} title general words only */
export function notify(title) {
  if (typeof Notification === 'undefined' || Notification.permission !== 'granted' || document.hasFocus()) return;
  const shown = new Notification(title, { tag: 'aparte' });
  shown.onclick = () => {
    window.focus();
    shown.close();
  };
}

/** @type {AudioContext|null} */
let audio = null;

/** Two short soft tones; an alarm's are lower and more. @param {boolean} [isAlarm] */
export function beep(isAlarm = false) {
  audio ??= new AudioContext();
  const tones = isAlarm ? [440, 330, 440, 330] : [660, 880];
  tones.forEach((pitch, at) => {
    if (!audio) return;
    const start = audio.currentTime + at * 0.14;
    const tone = new OscillatorNode(audio, { type: 'sine', frequency: pitch });
    const volume = new GainNode(audio, { gain: 0 });
    volume.gain.setValueAtTime(0, start);
    volume.gain.linearRampToValueAtTime(0.12, start + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.001, start + 0.13);
    tone.connect(volume).connect(audio.destination);
    tone.start(start);
    tone.stop(start + 0.14);
  });
}
