/**
 * The one door to the vendored view library: views import from here and from nowhere else.
 *
 * @module
 */
import { h, render, Fragment, Component } from '../vendor/preact.js';
import htm from '../vendor/htm.js';

export * from '../vendor/preact-hooks.js';
export { h, render, Fragment, Component };

/** @typedef {import('../vendor/preact.js').Child} Child */
/** @typedef {import('../vendor/preact.js').VNode} VNode */

/** Markup in a tagged template: text placed in it is text, never markup. @type {(strings: TemplateStringsArray, ...values: any[]) => VNode} */
export const html = /** @type {any} */ (htm.bind(/** @type {any} */ (h)));
