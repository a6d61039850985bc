// The anywidget: one card for each view of the model, or one form where the model's kind is "approval"; custom messages both ways.
// The synced trait `snapshot` is written when all is over, for a saved notebook that no kernel answers.
import { approval } from "./approval.js";
import { card } from "./card.js";
import { lifeline } from "./lifeline.js";
import { mount } from "./mount.js";
import css from "./style.css";

function render({ model, el }) {
  const snapshot = model.get("snapshot");
  const make = model.get("kind") === "approval" ? approval : card;
  const kernel = lifeline({ model, el });
  const view = make(kernel.send, { snapshot: snapshot?.run ? snapshot : null });
  return mount({ model, el, kernel }, view, { card: css });
}

export default { render };
