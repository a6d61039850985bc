// The anywidget: one card for each view of the model, or one form where the model's kind is "approval"; custom messages both ways.
// The synced trait `snapshot` is written when all is over, for a saved notebook that no kernel answers.
import { approval } from "./approval.js";
import css from "./style.css";
import { card } from "./card.js";

function adopt(el) {
  const root = el.getRootNode();
  const home = root instanceof ShadowRoot ? root : document.head;
  if (home.querySelector("style[data-wf-card]")) return;
  const style = document.createElement("style");
  style.dataset.wfCard = "";
  style.textContent = css;
  home.append(style);
}

function render({ model, el }) {
  const snapshot = model.get("snapshot");
  const make = model.get("kind") === "approval" ? approval : card;
  const view = make((message) => model.send(message), { snapshot: snapshot?.run ? snapshot : null });
  const receive = (message) => view.receive(message);
  model.on("msg:custom", receive);
  adopt(document.body);
  el.append(view.el);
  if (el.isConnected) adopt(el);
  const watch = new ResizeObserver(() => (view.el.isConnected && adopt(view.el), view.invalidate()));
  watch.observe(view.el);
  const themes = new MutationObserver(view.retheme); // JupyterLab says its theme on the body
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name", "data-jp-theme-light", "class"] });
  themes.observe(document.documentElement, { attributes: true, attributeFilter: ["class", "data-theme", "style"] });
  const system = window.matchMedia?.("(prefers-color-scheme: dark)");
  system?.addEventListener("change", view.retheme);
  view.hello();
  return () => {
    model.off("msg:custom", receive);
    watch.disconnect();
    themes.disconnect();
    system?.removeEventListener("change", view.retheme);
    view.stop();
  };
}

export default { render };
