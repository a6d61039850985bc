// The page behind an approval link: the server has said what is asked; the form is drawn here, from the event's type.
import { eventForm, h } from "./form.js";
import { send } from "./web_http.js";

export function approveView(main, data) {
  const asked = JSON.parse(data.asked);
  const place = document.getElementById("answer");
  const said = document.getElementById("said");
  const form = eventForm({ ...asked, help: asked.form.help }, async (text) => {
    said.textContent = "…";
    said.dataset.tone = "";
    try {
      await send(location.pathname, `{"value":${text},"step":${JSON.stringify(asked.step)}}`);
      place.replaceChildren(h("p", {}, "Your answer was sent. You can close this page."));
      said.textContent = "Sent";
      said.dataset.tone = "good";
    } catch (error) {
      said.textContent = error.facts?.fields ? "Not sent: see what is marked" : error.message;
      said.dataset.tone = "bad";
      form.answer({ ok: false, msg: error.message, errors: error.facts?.fields });
    }
  });
  place.append(form.el);
}
