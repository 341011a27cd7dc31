/**
 * What the modules that are fetched later have in common with those that the widget begins with.
 *
 * They import it from here alone: packed, it is part of the first script, so that nothing is fetched or made twice.
 *
 * @module
 */
export { html, useEffect, useLayoutEffect, useRef, useState } from '../../static/shared/preact.js';
export { Prose } from '../../static/shared/prose.js';
export { countdown, price } from '../../static/shared/time.js';
export { Call, Language } from './controls.js';
export { Icon } from './icons.js';
