// A page for the tests: happy-dom, with a canvas that draws nothing and frames that come when asked.
import { Window } from "happy-dom";

const page = new Window({ url: "http://localhost/", width: 1000, height: 800 });
export const frames = [];
const names = ["document", "HTMLElement", "Event", "KeyboardEvent", "MouseEvent", "PointerEvent", "WheelEvent", "Node", "ShadowRoot", "MutationObserver"];
for (const name of names) globalThis[name] = page[name];
globalThis.window = page;
globalThis.getComputedStyle = page.getComputedStyle.bind(page);
globalThis.requestAnimationFrame = (f) => frames.push(f);
globalThis.cancelAnimationFrame = () => {};
globalThis.Path2D = class { rect() {} };

export const drawn = { texts: [], rects: 0 };
const context = new Proxy({}, {
  get: (kept, key) => {
    if (key === "measureText") return (text) => ({ width: text.length * 6 });
    if (key === "getTransform") return () => ({ a: 1 });
    if (key === "createPattern") return () => ({});
    if (key === "fillText") return (text) => drawn.texts.push(text);
    if (key === "fillRect" || key === "roundRect" || key === "rect") return () => drawn.rects++;
    return kept[key] ?? (() => {});
  },
  set: (kept, key, value) => ((kept[key] = value), true),
});
page.HTMLCanvasElement.prototype.getContext = () => context;
for (const [name, value] of [["clientWidth", 900], ["clientHeight", 300]]) {
  Object.defineProperty(page.HTMLElement.prototype, name, { get: () => value, configurable: true });
}

/** Runs the frames that were asked for. */
export function paint() {
  drawn.texts.length = drawn.rects = 0;
  for (const f of frames.splice(0)) f(performance.now());
  return drawn;
}
export const by = (el, selector) => el.querySelector(selector);
export const press = (el, key) => el.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
export const buttonOf = (el, text) => [...el.querySelectorAll("button")].find((b) => b.textContent === text && !b.closest("[hidden]"));
