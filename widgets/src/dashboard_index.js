// The anywidget of `dashboard()`; custom messages both ways, nothing is synced. A run's card is another widget of the same kernel:
// the page's widget manager makes a view of it, which is put into ours.
import { dashboard } from "./dashboard.js";
import css from "./dashboard.css";
import { lifeline } from "./lifeline.js";
import { mount } from "./mount.js";
import common from "./style.css";

const TRIES = 20; // the message that makes the card's model may still be on its way
const PAUSE = 100; // ms

async function viewOf(manager, id) {
  for (let i = 0; ; i++) {
    try {
      return await manager.create_view(await manager.get_model(id));
    } catch (error) {
      if (i >= TRIES) throw error;
      await new Promise((wake) => setTimeout(wake, PAUSE));
    }
  }
}

/** The view of another widget in `place`; what takes it away again. */
async function embed(manager, id, place) {
  const view = await viewOf(manager, id);
  place.append(view.el);
  view.trigger?.("displayed");
  return () => view.remove();
}

function render({ model, el }) {
  const kernel = lifeline({ model, el });
  const view = dashboard(kernel.send, { embed: (id, place) => embed(model.widget_manager, id, place) });
  const seen = new IntersectionObserver((entries) => view.see(entries.at(-1).isIntersecting));
  seen.observe(view.el);
  const stop = mount({ model, el, kernel }, view, { card: common, dashboard: css });
  return () => (seen.disconnect(), stop());
}

export default { render };
