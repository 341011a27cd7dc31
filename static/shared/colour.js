/**
 * The accent colour of a site, made readable (WCAG 2.2, relative luminance and contrast).
 *
 * @module
 */

export const FALLBACK = '#0b5cad';
const WHITE = [255, 255, 255];
/** The dark surface of tokens.css: text in the accent colour must be readable on it. */
const NIGHT = [0x1d, 0x21, 0x26];

/** @param {number[]} rgb */
function luminance(rgb) {
  const [r, g, b] = rgb.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/**
 * @param {number[]} one
 * @param {number[]} other
 * @returns {number} 1 to 21
 */
export function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/**
 * @param {string} hex "#rrggbb"
 * @returns {number[]|null}
 */
export function parse(hex) {
  return /^#[0-9a-f]{6}$/i.test(hex) ? [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)) : null;
}

/**
 * @param {string} hex what the site asks for
 * @returns {{fill: string, ink: string}} `fill` carries white text (4.5:1, else our own blue); `ink` is the same colour
 *   made light enough to be read on the dark surface
 */
export function palette(hex) {
  const asked = parse(hex);
  const rgb = asked && contrast(asked, WHITE) >= 4.5 ? asked : /** @type {number[]} */ (parse(FALLBACK));
  let light = rgb;
  for (let step = 1; step <= 20 && contrast(light, NIGHT) < 5.5; step++) {
    light = rgb.map((value) => Math.round(value + ((255 - value) * step) / 20));
  }
  return { fill: write(rgb), ink: write(light) };
}

/** @param {number[]} rgb */
function write(rgb) {
  return '#' + rgb.map((value) => value.toString(16).padStart(2, '0')).join('');
}
