// What forms send: for each line {form, kind, edits} on stdin, a line of what the form sends once these fields are filled in.
// `kind`: "event" or "arguments"; `edits`: [[label, text]]. The Python tests ask so what becomes of their types.
import "./dom.js";
import { createInterface } from "node:readline";
import { argumentsForm, eventForm } from "../src/form.js";

const labelOf = (field) => field.querySelector(".wf-label")?.textContent.replace(" *", "");

function sent({ form, kind, edits }) {
  const found = [];
  const { el } = kind === "arguments" ? argumentsForm({ title: "", form, action: "" }, (text) => found.push(text)) : eventForm({ event: "", form }, (text) => found.push(text));
  document.body.replaceChildren(el);
  for (const [label, text] of edits) {
    const field = [...el.querySelectorAll(".wf-field")].find((f) => labelOf(f) === label);
    field.querySelector("input, textarea").value = text;
  }
  el.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
  const wrong = [...el.querySelectorAll(".wf-error")].filter((e) => !e.hidden).map((e) => e.textContent);
  return found[0] ?? JSON.stringify({ wrong });
}

for await (const line of createInterface({ input: process.stdin })) console.log(sent(JSON.parse(line)));
