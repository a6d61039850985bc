import assert from "node:assert/strict";
import { test } from "node:test";
import { buttonOf, by } from "./dom.js";
import { eventForm, field } from "../src/form.js";

const OBJECT = {
  kind: "object",
  fields: [
    { name: "flight", kind: "text", title: "Flight", required: true },
    { name: "seat", kind: "choice", title: "Seat", options: [{ label: "aisle", value: "a" }, { label: "window", value: 2 }], default: 2 },
    { name: "price", kind: "number", title: "Price", required: true },
    { name: "ok", kind: "bool", title: "Ok", default: false },
    { name: "guest", kind: "object", title: "Guest", fields: [{ name: "name", kind: "text", title: "Name", required: true }, { name: "age", kind: "int", title: "Age", nullable: true, default: null }] },
    { name: "tags", kind: "list", title: "Tags", item: { kind: "text" }, default: ["x"] },
    { name: "extra", kind: "json", title: "Extra" },
  ],
};
const inputOf = (el, label) => [...el.querySelectorAll(".wf-field")].find((f) => by(f, ".wf-label")?.textContent.replace(" *", "") === label).querySelector("input, textarea, select");
const type = (input, text) => ((input.value = text), input.dispatchEvent(new Event("input", { bubbles: true })));
const submit = (el) => el.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));

function opened(form) {
  const sent = [];
  const made = eventForm({ event: "booking", type: "Booking", form }, (v) => sent.push(v));
  document.body.replaceChildren(made.el);
  return { ...made, sent };
}

test("a form reads to one value; what is left empty is left out", () => {
  const { el, sent } = opened(OBJECT);
  type(inputOf(el, "Flight"), "LH 400");
  submit(el);
  assert.deepEqual(sent, [{ flight: "LH 400", seat: 2, ok: false, guest: { name: "", age: null }, tags: ["x"] }]);
});

test("fields give values of their type", () => {
  const { el, sent } = opened(OBJECT);
  type(inputOf(el, "Price"), "12.5");
  type(inputOf(el, "Age"), "7");
  type(inputOf(el, "Extra"), '{"a": [1]}');
  inputOf(el, "Ok").checked = true;
  el.querySelectorAll("input[type=radio]")[0].checked = true;
  el.querySelectorAll("input[type=radio]")[1].checked = false;
  buttonOf(el, "+ Add").click();
  submit(el);
  const [value] = sent;
  assert.deepEqual([value.price, value.guest.age, value.extra, value.ok, value.seat, value.tags], [12.5, 7, { a: [1] }, true, "a", ["x", ""]]);
});

test("each error is beside its field, and named by it", () => {
  const { el, answer } = opened(OBJECT);
  submit(el);
  answer({ ok: false, msg: "2 fields", errors: [{ loc: ["price"], msg: "Field required" }, { loc: ["guest", "name"], msg: "too short" }, { loc: ["tags", 0], msg: "no" }] });
  const price = inputOf(el, "Price");
  assert.equal(price.getAttribute("aria-invalid"), "true");
  assert.equal(document.getElementById(price.getAttribute("aria-describedby")).textContent, "Field required");
  assert.match(inputOf(el, "Name").closest(".wf-field").textContent, /too short/);
  assert.match(by(el, ".wf-item").textContent, /no/);
  assert.equal(by(el, "[role=alert]").hidden, true);
  type(price, "3");
  assert.equal(price.getAttribute("aria-invalid"), "false");
});

test("an error that belongs to no field is shown for all", () => {
  const { el, answer } = opened({ kind: "bool" });
  buttonOf(el, "Reject").click();
  answer({ ok: false, msg: "the run has ended" });
  assert.equal(by(el, "[role=alert]").textContent, "the run has ended");
});

test("reject is a value, too", () => {
  const { el, sent } = opened({ kind: "bool" });
  buttonOf(el, "Reject").click();
  assert.deepEqual(sent, [false]);
});

test("what is no JSON is not sent", () => {
  const { el, sent } = opened({ kind: "json" });
  type(by(el, "textarea"), "{nope");
  submit(el);
  assert.deepEqual(sent, []);
  assert.match(el.textContent, /no JSON/);
});

test("whole numbers beyond a double's are left to the kernel as text", () => {
  const f = field({ kind: "int", title: "n" });
  by(f.el, "input").value = "9007199254740993";
  assert.equal(f.read(), "9007199254740993");
});

test("a union asks which, then what", () => {
  const f = field({ kind: "union", variants: [{ kind: "int", title: "int" }, { kind: "text", title: "str" }] });
  const select = by(f.el, "select");
  select.value = "1";
  select.dispatchEvent(new Event("change"));
  type(by(f.el, ".wf-variant input"), "abc");
  assert.equal(f.read(), "abc");
  assert.ok(f.mark(["str"], "bad"));
  assert.match(f.el.textContent, /bad/);
});

test("every kind makes a field that is labelled", () => {
  for (const kind of ["bool", "int", "number", "text", "date", "time", "datetime", "json"]) {
    const f = field({ kind, title: `A ${kind}` });
    const input = by(f.el, "input, textarea, select");
    const id = input.id || f.el.querySelector("[id]").id;
    assert.ok(f.el.querySelector(`label[for="${id}"]`) ?? input.getAttribute("aria-label"), kind);
    assert.doesNotThrow(() => f.read(), kind);
  }
});

test("a bool that must be answered is not answered by silence", () => {
  const f = field({ kind: "bool", title: "Ok", required: true });
  assert.equal(f.read(), undefined);
});
