// A planted tracker, as nosy as a script on a company's page can be. It runs before everything else, notes all that it
// sees and sends it to the page's own server. It exists so that a test can show that the private conversation is not
// among it. A classic script without dependency: `window.__tracker.seen` holds the notes, `.sweep()` looks once more.
// @ts-check
"use strict";

(() => {
  /** @typedef {{how: string, what: string}} Seen */

  const MOST = 20000; // notes kept; a page of the demo gives a few hundred
  const LONGEST = 4000; // characters of one note
  const EVERY_MS = 1000;

  // What the tracker itself uses is taken before it changes the prototypes, so that it does not watch itself.
  const stringify = JSON.stringify;
  const decode = TextDecoder.prototype.decode;
  const beacon = navigator.sendBeacon.bind(navigator);
  const post = window.fetch.bind(window);
  const native = new Set(Object.getOwnPropertyNames(window));
  const listen = EventTarget.prototype.addEventListener;
  const contentWindow = /** @type {(this: HTMLIFrameElement) => Window | null} */ (
    Object.getOwnPropertyDescriptor(HTMLIFrameElement.prototype, "contentWindow")?.get
  );

  /** @type {Seen[]} */
  const seen = [];
  /** @type {Seen[]} */
  let unsent = [];
  /** @type {Set<string>} */
  const known = new Set();

  /**
   * @param {string} how
   * @param {unknown} what
   */
  function note(how, what) {
    const text = told(what).slice(0, LONGEST);
    const key = how + "\n" + text;
    if (text === "" || known.has(key) || seen.length >= MOST) return;
    known.add(key);
    const entry = { how, what: text };
    seen.push(entry);
    unsent.push(entry);
  }

  /**
   * Anything as text, as deep as JSON goes; what refuses to be read gives its name.
   * @param {unknown} what
   * @returns {string}
   */
  function told(what) {
    if (typeof what === "string") return what;
    if (what === undefined || what === null) return "";
    if (what instanceof Node) return what instanceof Element ? what.outerHTML : (what.textContent ?? "");
    if (what instanceof ArrayBuffer || ArrayBuffer.isView(what)) {
      const bytes = ArrayBuffer.isView(what) ? new Uint8Array(what.buffer, what.byteOffset, what.byteLength) : new Uint8Array(what);
      return decode.call(new TextDecoder(), bytes);
    }
    try {
      return stringify(what) ?? String(what);
    } catch {
      return Object.prototype.toString.call(what); // a foreign window, or an object that contains itself
    }
  }

  /**
   * Puts a watching function in the place of a method.
   * @param {any} owner
   * @param {string} name
   * @param {string} how
   */
  function watch(owner, name, how) {
    const inner = owner?.[name];
    if (typeof inner !== "function") return;
    owner[name] = /** @this {unknown} @param {unknown[]} given */ function (...given) {
      for (const one of given) note(how, one);
      const answer = inner.apply(this, given);
      if (typeof answer === "string") note(`${how} gave`, answer);
      return answer;
    };
  }

  /**
   * Puts a watching constructor in the place of one.
   * @param {string} name
   */
  function watchNew(name) {
    const all = /** @type {Record<string, any>} */ (/** @type {unknown} */ (window));
    const Inner = all[name];
    if (typeof Inner !== "function") return;
    all[name] = new Proxy(Inner, {
      construct(target, given, made) {
        for (const one of given) note(`new ${name}`, one);
        return Reflect.construct(target, given, made);
      },
    });
  }

  // ── prototypes ────────────────────────────────────────────────────────────────────────────────────────────────
  watch(window, "fetch", "fetch");
  watch(XMLHttpRequest.prototype, "open", "xhr open");
  watch(XMLHttpRequest.prototype, "send", "xhr send");
  watch(WebSocket.prototype, "send", "socket send");
  watch(Navigator.prototype, "sendBeacon", "beacon");
  watch(Storage.prototype, "setItem", "storage set");
  watch(Storage.prototype, "getItem", "storage get");
  watch(Storage.prototype, "removeItem", "storage remove");
  watch(History.prototype, "pushState", "history push");
  watch(History.prototype, "replaceState", "history replace");
  watch(MessagePort.prototype, "postMessage", "port message");
  watch(BroadcastChannel.prototype, "postMessage", "broadcast");
  watch(Worker.prototype, "postMessage", "worker message");
  watch(window, "postMessage", "window message");
  watch(JSON, "stringify", "json stringify");
  watch(JSON, "parse", "json parse");
  watch(TextEncoder.prototype, "encode", "text encode");
  watch(TextDecoder.prototype, "decode", "text decode");
  watch(Element.prototype, "setAttribute", "attribute set");
  watch(Document.prototype, "createTextNode", "text made");
  watch(IDBFactory.prototype, "open", "database open");
  watch(IDBObjectStore.prototype, "put", "database put");
  watch(IDBObjectStore.prototype, "add", "database add");
  if (navigator.clipboard) watch(Clipboard.prototype, "writeText", "clipboard");
  for (const name of ["WebSocket", "EventSource", "Worker", "SharedWorker", "Notification", "BroadcastChannel"]) watchNew(name);

  // Every listener of the page is called through ours, so that what another script hears is heard here too.
  EventTarget.prototype.addEventListener = /** @this {EventTarget} @param {any[]} given */ function (...given) {
    note("listener", given[0]);
    if (given[0] === "message" && typeof given[1] === "function") {
      const inner = given[1];
      listen.call(this, "message", (event) => heard("overheard", event), true);
      given[1] = /** @this {unknown} @param {Event} event */ function (event) {
        heard("message to a listener", event);
        return inner.call(this, event);
      };
    }
    return /** @type {any} */ (listen).apply(this, given);
  };

  // A closed shadow root is opened: nothing that the page's own scripts draw stays hidden from another of them.
  const attach = Element.prototype.attachShadow;
  /** @type {ShadowRoot[]} */
  const roots = [];
  Element.prototype.attachShadow = /** @this {Element} @param {ShadowRootInit} init */ function (init) {
    const root = attach.call(this, init);
    roots.push(root);
    note("shadow root", this.tagName);
    observer.observe(root, everything);
    return root;
  };

  // A frame's window is handed out behind a stand-in that notes what the page posts to it. A message from that window
  // shows the same stand-in as its source, so that the comparison that a careful loader makes still holds.
  /** @type {WeakMap<object, any>} */
  const standIns = new WeakMap();
  /** @param {any} inner */
  function standIn(inner) {
    if (inner === null || typeof inner !== "object" || inner === window || inner === window.parent) return inner;
    let outer = standIns.get(inner);
    if (outer === undefined) {
      outer = new Proxy(Object.create(null), {
        get(_, name) {
          if (name === "postMessage") {
            return (/** @type {unknown[]} */ ...given) => {
              for (const one of given) note("message to a frame", one);
              return inner.postMessage(...given);
            };
          }
          const value = inner[name];
          return typeof value === "function" ? value.bind(inner) : value;
        },
        set(_, name, value) {
          note("set on a frame", [String(name), value]);
          inner[name] = value;
          return true;
        },
      });
      standIns.set(inner, outer);
    }
    return outer;
  }
  Object.defineProperty(HTMLIFrameElement.prototype, "contentWindow", {
    configurable: true,
    get() {
      return standIn(contentWindow.call(this));
    },
  });
  const source = /** @type {(this: MessageEvent) => unknown} */ (
    Object.getOwnPropertyDescriptor(MessageEvent.prototype, "source")?.get
  );
  Object.defineProperty(MessageEvent.prototype, "source", {
    configurable: true,
    get() {
      return standIn(source.call(this));
    },
  });

  // ── events ────────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * @param {string} how
   * @param {Event} event
   */
  function heard(how, event) {
    const message = /** @type {MessageEvent} */ (event);
    note(how, { origin: message.origin, data: message.data });
    for (const port of message.ports ?? []) listen.call(port, "message", (inner) => heard("message on a port", inner));
  }

  const EVENTS =
    "keydown keyup keypress beforeinput input change compositionupdate compositionend click dblclick auxclick " +
    "pointerdown pointerup contextmenu paste copy cut drop dragstart focusin focusout submit selectionchange " +
    "hashchange popstate storage error securitypolicyviolation visibilitychange pagehide";
  for (const name of EVENTS.split(" ")) {
    listen.call(window, name, (event) => {
      const at = event.composedPath()[0];
      note(name, {
        key: /** @type {KeyboardEvent} */ (event).key,
        data: /** @type {InputEvent} */ (event).data,
        value: /** @type {HTMLInputElement} */ (at)?.value,
        clip: /** @type {ClipboardEvent} */ (event).clipboardData?.getData("text"),
        message: /** @type {ErrorEvent} */ (event).message,
        at: at instanceof Element ? at.outerHTML.slice(0, 400) : "",
        chosen: String(document.getSelection() ?? ""),
      });
    }, true);
  }
  listen.call(window, "message", (event) => heard("message", event), true);

  // ── what stands on the page ───────────────────────────────────────────────────────────────────────────────────
  const everything = {
    subtree: true,
    childList: true,
    characterData: true,
    characterDataOldValue: true,
    attributes: true,
    attributeOldValue: true,
  };
  const observer = new MutationObserver((changes) => {
    for (const change of changes) {
      for (const node of [...change.addedNodes, ...change.removedNodes]) note("change", node);
      if (change.oldValue) note("old value", change.oldValue);
      if (change.type === "attributes") {
        note(`attribute ${change.attributeName}`, /** @type {Element} */ (change.target).getAttribute(change.attributeName ?? ""));
      }
      if (change.type === "characterData") note("text", change.target.textContent);
    }
  });
  observer.observe(document, everything);

  /** @param {Node} from */
  function walk(from) {
    const walker = document.createTreeWalker(from, NodeFilter.SHOW_ALL);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (!(node instanceof Element)) {
        note("text", node.textContent?.trim());
        continue;
      }
      for (const { name, value } of node.attributes) note(`attribute ${name}`, value);
      if (node instanceof HTMLInputElement || node instanceof HTMLTextAreaElement) note("value", node.value);
      if (node.shadowRoot) walk(node.shadowRoot);
      if (node instanceof HTMLIFrameElement) lookInto(node);
    }
  }

  /**
   * Tries every way into a frame; each that the browser refuses is noted by its refusal only.
   * @param {HTMLIFrameElement} frame
   */
  function lookInto(frame) {
    const inner = contentWindow.call(frame);
    /** @type {[string, () => unknown][]} */
    const ways = [
      ["frame document", () => frame.contentDocument?.documentElement.outerHTML],
      ["frame text", () => inner?.document.body.innerText],
      ["frame address", () => inner?.location.href],
      ["frame name", () => inner?.name],
      ["frame title", () => inner?.document.title],
      // A frame that has not loaded yet has the page's own storage.
      ["frame storage", () => Object.fromEntries(Object.entries({ ...inner?.localStorage }).filter(([key, kept]) => localStorage[key] !== kept))],
      ["frame frames", () => inner?.length],
    ];
    for (const [how, way] of ways) {
      try {
        note(how, way());
      } catch (refusal) {
        note(`${how} refused`, /** @type {Error} */ (refusal).name);
      }
    }
  }

  function sweep() {
    walk(document);
    for (const root of roots) walk(root);
    note("title", document.title);
    note("address", location.href);
    note("came from", document.referrer);
    note("cookie", document.cookie);
    note("window name", window.name);
    note("text on the page", document.body?.innerText);
    for (const [how, store] of /** @type {[string, () => Storage][]} */ ([
      ["local storage", () => localStorage],
      ["session storage", () => sessionStorage],
    ])) {
      try {
        for (const [name, value] of Object.entries(store())) note(how, `${name}=${value}`);
      } catch (refusal) {
        note(`${how} refused`, /** @type {Error} */ (refusal).name);
      }
    }
    for (const entry of performance.getEntries()) note(`timing ${entry.entryType}`, entry.name);
    for (const name of Object.getOwnPropertyNames(window)) if (!native.has(name)) note("global", name);
    void indexedDB.databases?.().then((all) => all.forEach((one) => note("database", one.name)));
    void window.caches?.keys().then((all) => all.forEach((name) => note("cache", name)), () => note("cache", "refused"));
  }

  /** @param {(part: string) => unknown} by takes one part of the notes; false when it cannot take it now */
  function send(by) {
    while (unsent.length > 0) {
      // A beacon holds 64 KiB: 15,000 characters stay below that in any script.
      let size = 0;
      let count = 0;
      while (count < unsent.length && size < 15000) size += (unsent[count++]?.what.length ?? 0) + 40;
      if (by(stringify(unsent.slice(0, count))) === false) break;
      unsent = unsent.slice(count);
    }
  }

  function report() {
    sweep();
    send((part) => void post("/tracker", { method: "POST", body: part }).catch(() => note("not reported", "the airline is away")));
  }

  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) note(`timing ${entry.entryType}`, entry.name);
  }).observe({ type: "resource", buffered: true });
  setInterval(report, EVERY_MS);
  listen.call(document, "DOMContentLoaded", report);
  listen.call(window, "pagehide", () => {
    sweep();
    send((part) => beacon("/tracker", part));
  });

  Object.defineProperty(window, "__tracker", { value: { seen, sweep: report } });
})();
