/* Draws one button; a press makes the conversation's frame. Before the first press it stores and asks nothing. Sees no
   word of a conversation: only open, close and a count cross (widget/messages.js). */
(() => {
  const script = /** @type {?HTMLScriptElement} */ (document.currentScript || document.querySelector('script[data-site][src$="/widget.js"]'));
  const site = script?.dataset.site;
  if (!script || !site || document.querySelector('aparte-chat')) return;
  const chat = new URL(script.src).origin;
  const lang = /^fr/i.test(document.documentElement.lang) ? 'fr' : 'en';
  const words = { en: ['Open the conversation', 'Close the conversation', 'unread', 'The conversation cannot be opened just now. Please reach us another way. '], fr: ['Ouvrir la conversation', 'Fermer la conversation', 'non lus', 'La conversation ne peut pas s’ouvrir pour le moment. Merci de nous joindre autrement. '] }[lang];
  // The other way that the page gives us, if it is one that does nothing else.
  const [contact, reached] = /^(?:mailto:|tel:|https:\/\/)([^?#]+).*/i.exec(script.dataset.contact || '') || [];
  const asked = script.dataset.accent || '';
  const accent = /^#[\da-f]{6}$/i.test(asked) ? asked : '#0b5cad';
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(accent.slice(at, at + 2), 16));

  const host = document.createElement('aparte-chat');
  const root = host.attachShadow({ mode: 'open' });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
:host{all:initial!important;position:fixed!important;z-index:2147483000!important;right:20px!important;bottom:20px!important;color-scheme:light dark!important}
button{all:unset;position:relative;float:right;width:56px;height:56px;border-radius:50%;background:${accent};color:${r * 299 + g * 587 + b * 114 > 149000 ? '#111' : '#fff'};cursor:pointer;box-shadow:0 4px 16px rgb(0 0 0/.24)}
button:hover{filter:brightness(1.1)}
button:focus-visible{outline:3px solid ${accent};outline-offset:3px;box-shadow:0 0 0 3px #fff}
svg{position:absolute;inset:16px;width:24px;fill:none;stroke:currentColor;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}
span{position:absolute;top:-4px;right:-4px;min-width:22px;border-radius:11px;background:#b3261e;color:#fff;font:600 13px/22px system-ui,sans-serif;text-align:center}
iframe{position:fixed;right:20px;bottom:88px;width:400px;height:min(640px,100dvh - 108px);border:0;border-radius:16px;background:Canvas;box-shadow:0 8px 32px rgb(0 0 0/.2)}
p{position:fixed;right:20px;bottom:88px;max-width:280px;margin:0;padding:16px;overflow-wrap:anywhere;border-radius:16px;background:Canvas;color:CanvasText;font:16px/1.5 system-ui,sans-serif;box-shadow:0 8px 32px rgb(0 0 0/.2)}
[hidden]{display:none}
@media(max-width:479px){iframe{inset:0;width:100%;height:100%;border-radius:0}.full{display:none}}
@media(forced-colors:active){button{border:2px solid}}`);
  root.adoptedStyleSheets = [sheet];

  const button = document.createElement('button');
  const badge = document.createElement('span');
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.append(path);
  button.append(svg, badge);
  const note = document.createElement('p');
  note.role = 'alert';
  const way = document.createElement('a');
  way.textContent = reached || '';
  if (contact) way.href = contact;
  root.append(note, button);

  /** @type {HTMLIFrameElement|undefined} */
  let frame;
  let isOpen = false;
  let isReady = false;
  let isSilent = false;
  let unread = 0;
  /** @type {HTMLElement} */
  let by = button; // what opened it has the focus again

  const draw = () => {
    path.setAttribute('d', isOpen ? 'M6 6l12 12M18 6L6 18' : 'M4 5h16v11h-9l-5 4v-4H4z');
    badge.textContent = unread > 9 ? '9+' : String(unread);
    badge.hidden = isOpen || !unread;
    button.ariaLabel = words[+isOpen] + (badge.hidden ? '' : ` (${unread} ${words[2]})`);
    button.ariaExpanded = String(isOpen);
    button.className = isOpen && isReady ? 'full' : '';
    if (frame) frame.hidden = !isOpen || isSilent;
    note.hidden = !isOpen || !isSilent;
    note.textContent = isSilent ? words[3] : '';
    if (isSilent) note.append(way);
    if (isReady)
      frame?.contentWindow?.postMessage(
        isOpen ? { aparte: 'open', page: location.origin + location.pathname, title: document.title } : { aparte: 'closed' },
        chat,
      );
  };
  const load = () => {
    if (frame) return;
    frame = document.createElement('iframe');
    frame.title = 'Conversation';
    frame.allow = '';
    frame.referrerPolicy = 'no-referrer';
    frame.hidden = true;
    frame.src = `${chat}/frame/${encodeURIComponent(site)}?lang=${lang}&origin=${encodeURIComponent(location.origin)}`;
    // A browser does not say that it could not show the frame, or would not: it stays silent.
    setTimeout(() => {
      if (isReady) return;
      isSilent = true;
      if (root.activeElement === frame) button.focus();
      console.error(`Aparté: ${chat} shows nothing here. Is ${location.origin} an origin of the site "${site}"?`);
      draw();
    }, 6000);
    root.prepend(frame);
  };
  /** @param {boolean} open */
  const show = (open) => {
    isOpen = open;
    if (open && isSilent) {
      // Once more, from the beginning.
      frame?.remove();
      frame = undefined;
      isSilent = false;
    }
    load();
    draw();
    (open ? frame : button)?.focus();
    open || by.focus({ preventScroll: true }); // if it is still there; the page stays where it is
    try {
      localStorage.setItem('aparte', '1');
    } catch {} // blocked: no badge on the next page
  };

  button.onclick = () => {
    by = button;
    show(!isOpen);
  };
  button.onkeydown = (event) => {
    if (event.key === 'Escape' && isOpen) show(false);
  };
  // A link or button of the page's own that has `data-aparte`; a link leads on where it is asked to, or the chat is away.
  addEventListener('click', (event) => {
    const asked = /** @type {?HTMLAnchorElement} */ (/** @type {Element} */ (event.target).closest?.('a[data-aparte]:not([download],[target]),button[data-aparte]'));
    if (!asked || event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (isOpen && isSilent) return;
    event.preventDefault();
    by = asked;
    isOpen || show(true);
  });
  addEventListener('message', ({ source, origin, data }) => {
    if (!frame || source !== frame.contentWindow || origin !== chat || !data) return;
    if (data.aparte === 'close') return isOpen && show(false);
    if (data.aparte === 'ready') isReady = !(isSilent = false);
    else if (data.aparte === 'unread') unread = data.count >>> 0;
    else return;
    draw();
  });

  draw();
  document.documentElement.append(host);
  try {
    if (localStorage.getItem('aparte')) load();
  } catch {} // blocked
})();
