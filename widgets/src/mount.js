// What each of our widgets needs of the page: its styles, also in a shadow root, and word of another size or theme.

function adopt(el, name, css) {
  const root = el.getRootNode();
  const home = root instanceof ShadowRoot ? root : document.head;
  if (home.querySelector(`style[data-wf-${name}]`)) return;
  const style = document.createElement("style");
  style.setAttribute(`data-wf-${name}`, "");
  style.textContent = css;
  home.append(style);
}

/** Puts `view` ({el, receive, hello, gone, retheme, invalidate, stop}) in place; returns what takes it away. `styles`: {name: css}. */
export function mount({ model, el, kernel }, view, styles) {
  const dress = (where) => {
    for (const [name, css] of Object.entries(styles)) adopt(where, name, css);
  };
  const receive = (message) => view.receive(message);
  model.on("msg:custom", receive);
  dress(document.body);
  el.append(view.el);
  if (el.isConnected) dress(el);
  const watch = new ResizeObserver(() => (view.el.isConnected && dress(view.el), view.invalidate()));
  watch.observe(view.el);
  const themes = new MutationObserver(view.retheme); // JupyterLab says its theme on the body
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name", "data-jp-theme-light", "class"] });
  themes.observe(document.documentElement, { attributes: true, attributeFilter: ["class", "data-theme", "style"] });
  const system = window.matchMedia?.("(prefers-color-scheme: dark)");
  system?.addEventListener("change", view.retheme);
  const unwatch = kernel.watch(view.gone);
  view.hello();
  return () => {
    unwatch();
    model.off("msg:custom", receive);
    watch.disconnect();
    themes.disconnect();
    system?.removeEventListener("change", view.retheme);
    view.stop();
  };
}
