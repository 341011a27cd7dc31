/**
 * The one door to the vendored view library: views import from here and from nowhere else. `html` makes nodes from a
 * tagged template; text placed in it is text, never markup.
 *
 * @module
 */
export * from '../vendor/preact-htm.js';

/** @typedef {import('../vendor/preact-htm.js').Child} Child */
/** @typedef {import('../vendor/preact-htm.js').VNode} VNode */
