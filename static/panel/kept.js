/**
 * What this browser keeps: the agent's choices, and which tabs were open, by id. Never a text, a name or a secret.
 *
 * @module
 */

const TABS_KEY = 'aparte.tabs';

/** One of the agent's choices, kept in this browser: a preference and nothing else. */
export class Choice {
  /** @param {string} key */
  constructor(key) {
    this.key = key;
    this.isOn = read(key) === 'on';
  }

  /** @param {boolean} isOn */
  set(isOn) {
    this.isOn = isOn;
    write(this.key, isOn ? 'on' : 'off');
  }
}

/** @param {string} key @returns {string|null} */
export function read(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // storage is shut off: every choice is as at first
  }
}

/** @param {string} key @param {string} value */
export function write(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Storage is shut off: the choice holds until the page is left.
  }
}

/** Which tabs were open. @returns {string[]} */
export function savedTabs() {
  try {
    const saved = JSON.parse(sessionStorage.getItem(TABS_KEY) ?? '[]');
    return Array.isArray(saved) ? saved.filter((id) => typeof id === 'string') : [];
  } catch {
    return []; // storage is shut off: tabs start empty
  }
}

/** @param {string[]} ids */
export function saveTabs(ids) {
  try {
    sessionStorage.setItem(TABS_KEY, JSON.stringify(ids));
  } catch {
    // Storage is shut off or full: tabs are not kept over a reload, and nothing else changes.
  }
}
