import assert from "node:assert/strict";
import { test } from "node:test";
import { buttonOf, by } from "./dom.js";
import { eventForm, field } from "../src/form.js";

const OBJECT = {
  kind: "object",
  fields: [
    { name: "flight", kind: "text", title: "Flight", required: true },
    { name: "seat", kind: "choice", title: "Seat", options: [{ label: "aisle", value: '"a"' }, { label: "window", value: "2" }], default: "2" },
    { name: "price", kind: "number", title: "Price", required: true },
    { name: "ok", kind: "bool", title: "Ok", default: "false" },
    { name: "guest", kind: "object", title: "Guest", fields: [{ name: "name", kind: "text", title: "Name", required: true }, { name: "age", kind: "int", title: "Age", nullable: true, default: "null" }] },
    { name: "tags", kind: "list", title: "Tags", item: { kind: "text" }, items: [{ kind: "text", now: '"x"' }], default: '["x"]' },
    { name: "extra", kind: "json", title: "Extra" },
  ],
};
const inputOf = (el, label) => [...el.querySelectorAll(".wf-field")].find((f) => by(f, ".wf-label")?.textContent.replace(" *", "") === label).querySelector("input, textarea, select");
const type = (input, text) => ((input.value = text), input.dispatchEvent(new Event("input", { bubbles: true })));
const submit = (el) => el.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));

function opened(form) {
  const sent = [];
  const made = eventForm({ event: "booking", type: "Booking", form }, (text) => sent.push(JSON.parse(text)));
  document.body.replaceChildren(made.el);
  return { ...made, sent };
}

test("a form reads to one value; what is left empty is left out", () => {
  const { el, sent } = opened(OBJECT);
  type(inputOf(el, "Flight"), "LH 400");
  submit(el);
  assert.deepEqual(sent, [{ flight: "LH 400" }]);
  type(inputOf(el, "Name"), "Ada");
  submit(el);
  assert.deepEqual(sent[1], { flight: "LH 400", guest: { name: "Ada" } });
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

test("a number keeps its digits, and what is none is left to the kernel", () => {
  const read = (kind, text) => {
    const f = field({ kind, title: "n" });
    by(f.el, "input").value = text;
    return f.read();
  };
  assert.equal(read("int", "9007199254740993"), "9007199254740993");
  assert.equal(read("int", "007"), "7");
  for (const [text, json] of [[".5", "0.5"], ["-.5", "-0.5"], ["1.10", "1.10"]]) assert.equal(read("number", text), json, text);
  assert.equal(read("decimal", "0.12345678901234567890"), '"0.12345678901234567890"');
  assert.equal(read("decimal", "many"), '"many"');
});

test("a union asks which, then what", () => {
  const f = field({ kind: "union", variants: [{ kind: "int", title: "int" }, { kind: "text", title: "str" }] });
  const select = by(f.el, "select");
  select.value = "1";
  select.dispatchEvent(new Event("change"));
  type(by(f.el, ".wf-variant input"), "abc");
  assert.equal(f.read(), '"abc"');
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
  const { el, sent } = opened({ kind: "object", fields: [{ name: "ok", kind: "bool", title: "Ok", required: true }, { name: "by", kind: "bool", title: "By", nullable: true, required: true }] });
  submit(el);
  assert.deepEqual(sent, []);
  assert.deepEqual([...el.querySelectorAll(".wf-error")].filter((e) => !e.hidden).map((e) => e.textContent), ["Choose one", "Choose one"]);
  const buttons = el.querySelectorAll("input[type=radio]");
  buttons[1].checked = buttons[4].checked = true;
  submit(el);
  assert.deepEqual(sent, [{ ok: false, by: null }]);
});

test("none is chosen where it is the default, and only there", () => {
  const picked = (form) => field({ kind: "bool", title: "Ok", nullable: true, ...form }).el.querySelector("input:checked")?.value;
  assert.equal(picked({ default: "null" }), "2");
  assert.equal(picked({ required: true }), undefined);
});

test("what is typed by half is not sent", () => {
  for (const kind of ["int", "number", "date", "time", "datetime"]) {
    const { el, sent } = opened({ kind: "object", fields: [{ name: "a", kind, title: "A", nullable: true, default: "null" }] });
    Object.defineProperty(inputOf(el, "A"), "validity", { value: { badInput: true } }); // as a browser has it for `1e`
    submit(el);
    assert.deepEqual(sent, [], kind);
    assert.match(by(el, ".wf-error:not([hidden])").textContent, /incomplete|no number/);
  }
});

test("a root that holds nothing is an empty list, and an empty text", () => {
  for (const [form, value] of [[{ kind: "list", item: { kind: "int" } }, []], [{ kind: "text" }, ""], [{ kind: "text", nullable: true }, null]]) {
    const { el, sent } = opened(form);
    submit(el);
    assert.deepEqual(sent, [value]);
  }
});

const SUB = { kind: "object", title: "Sub", fields: [{ name: "a", kind: "int", title: "A", required: true }] };
const NONE = { kind: "const", value: "null", title: "none" };

test("a model that may be left out begins with none, or with what it is", () => {
  const { el, sent } = opened({ kind: "object", fields: [
    { name: "none", kind: "union", title: "None", variants: [SUB, NONE], chosen: 1, default: "null" },
    { name: "one", kind: "union", title: "One", variants: [{ ...SUB, fields: [{ ...SUB.fields[0], now: "7" }] }, NONE], chosen: 0, default: '{"a":7}' },
  ] });
  const [none, one] = el.querySelectorAll("select");
  assert.deepEqual([none.value, one.value, el.querySelectorAll("input").length, by(el, "input").value], ["1", "0", 1, "7"]);
  submit(el);
  assert.deepEqual(sent.pop(), {});
  one.value = "1";
  one.dispatchEvent(new Event("change"));
  submit(el);
  assert.deepEqual(sent.pop(), { one: null });
});

test("a model that may be left out, with no default, asks which", () => {
  const { el, sent } = opened({ kind: "union", nullable: true, variants: [SUB, NONE] });
  submit(el);
  assert.deepEqual([sent, by(el, "input")], [[], null]);
  assert.match(by(el, ".wf-error:not([hidden])").textContent, /Choose one/);
  const choose = (value) => ((by(el, "select").value = value), by(el, "select").dispatchEvent(new Event("change")));
  choose("1");
  submit(el);
  choose("0");
  type(by(el, "input"), "5");
  submit(el);
  assert.deepEqual(sent, [null, { a: 5 }]);
});

test("an emptied text is an empty text, and an emptied number the type's own", () => {
  const { el, sent } = opened({ kind: "object", fields: [
    { name: "a", kind: "text", title: "A", default: '"x"' },
    { name: "b", kind: "text", title: "B", default: '"x"', nullable: true },
    { name: "c", kind: "int", title: "C", default: "3" },
  ] });
  for (const label of ["A", "B", "C"]) type(inputOf(el, label), "");
  submit(el);
  assert.deepEqual(sent, [{ a: "", b: null }]);
});

test("a text of more lines has room for them", () => {
  const f = field({ kind: "text", title: "A", default: '"a\\nb"' });
  assert.equal(by(f.el, "textarea").value, "a\nb");
});

test("a time that began with an offset keeps it", () => {
  const f = field({ kind: "time", title: "A", default: '"09:30:15.000250+02:00"' });
  assert.equal(by(f.el, "input").value, "09:30:15");
  type(by(f.el, "input"), "10:00");
  assert.equal(f.read(), '"10:00+02:00"');
});

test("a datetime without a zone stays so, one with a zone says which it means", () => {
  const naive = field({ kind: "datetime", title: "A", zone: "naive", now: '"2026-05-01T09:30:15"' });
  const input = by(naive.el, "input");
  assert.deepEqual([input.value, input.getAttribute("step")], ["2026-05-01T09:30:15", "1"]);
  assert.match(naive.el.textContent, /without a time zone/);
  type(input, "2026-05-01T10:30:15");
  assert.equal(naive.read(), '"2026-05-01T10:30:15"');
  const aware = field({ kind: "datetime", title: "A", now: '"2026-05-01T09:30:15.000123Z"' });
  assert.ok(aware.el.textContent.includes(Intl.DateTimeFormat().resolvedOptions().timeZone));
  assert.equal(aware.read(), '"2026-05-01T09:30:15.000123Z"');
  type(by(aware.el, "input"), "2026-05-01T10:30");
  const sent = JSON.parse(aware.read());
  assert.match(sent, /^2026-05-01T10:30[-+]\d\d:\d\d$/);
  assert.equal(Date.parse(sent), new Date(2026, 4, 1, 10, 30).getTime());
});
