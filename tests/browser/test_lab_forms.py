"""The form of an event with fields of many types, in the dark theme."""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from lab_kit import Card, Lab, NewNotebook

TYPES = """\
%load_ext wfkernel
from datetime import date
from enum import Enum
from pydantic import BaseModel, Field
from wfkernel import define_event

class Room(Enum):
    SINGLE = "single"
    DOUBLE = "double"
    SUITE = "suite"

class Guest(BaseModel):
    name: str
    age: int = Field(ge=18, description="of full age")

class Booking(BaseModel):
    room: Room
    nights: int = Field(ge=1)
    price: float = Field(default=80, gt=0, description="at most, a night")
    arrival: date
    breakfast: bool
    newsletter: bool = False
    wish: str = ""
    guest: Guest

booking = define_event("booking", Booking)\
"""
TRIP = "%%workflow trip() -> str --start\nb = await step.await_event(booking)\nreturn f'{b!r}'"
READABLE = 4.5
"""WCAG AA: the least contrast of text."""
CONTRAST = """el => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d");
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (c) => c.slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  let paper = el;
  while (paper.parentElement && rgba(getComputedStyle(paper).backgroundColor)[3] < 255) paper = paper.parentElement;
  const [a, b] = [light(rgba(getComputedStyle(el).color)), light(rgba(getComputedStyle(paper).backgroundColor))];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


def test_a_form_of_many_fields_says_what_is_wrong_beside_the_field(lab: Lab, new_notebook: NewNotebook) -> None:
    with lab.dark():
        notebook = new_notebook(TYPES, TRIP, "print(run.result())")
    notebook.run(0, 1)
    notebook.start(2)
    form = notebook.card(1).form("booking")
    form.get_by_role("radiogroup", name="Room").get_by_label("double").check()
    form.get_by_label("Nights").fill("3")
    form.get_by_label("Price").fill("99.5")
    form.get_by_label("Arrival").fill("2027-03-01")
    form.get_by_role("radiogroup", name="Breakfast").get_by_label("Yes").check()
    form.get_by_label("Newsletter").check()
    form.get_by_label("Wish").fill("a view of the sea")
    form.get_by_label("Name").fill("Ada")
    form.get_by_label("Age").fill("7")
    form.get_by_role("button", name="Send").click()
    wrong = form.locator('.wf-field[data-wrong="true"]')
    expect(wrong).to_have_count(1)
    expect(wrong).to_contain_text("Age")
    expect(wrong.locator(".wf-error")).to_contain_text("greater than or equal to 18")
    expect(form.get_by_label("Age")).to_be_focused()
    notebook.picture("1-refused")
    assert unreadable(notebook.card(1)) == []
    form.get_by_label("Age").fill("36")
    expect(wrong).to_have_count(0)
    form.get_by_role("button", name="Send").click()
    notebook.wait_for(2)
    expect(notebook.output(2)).to_contain_text(
        "Booking(room=<Room.DOUBLE: 'double'>, nights=3, price=99.5, arrival=datetime.date(2027, 3, 1), breakfast=True, "
        "newsletter=True, wish='a view of the sea', guest=Guest(name='Ada', age=36))"
    )
    notebook.card(1).expect_frozen()
    notebook.picture("2-completed")


ORDER = """\
%load_ext wfkernel
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum
from pydantic import BaseModel, NaiveDatetime
from wfkernel import define_event

class Size(Enum):
    SMALL = 1
    BIG = 2

class Guest(BaseModel):
    name: str

class Order(BaseModel):
    title: str = "old"
    plain: datetime = datetime(2026, 5, 1, 9, 30, 15)
    aware: datetime = datetime(2026, 1, 1, 12, 0, 5, 123, tzinfo=timezone.utc)
    price: Decimal = Decimal("0.12345678901234567890")
    small: float = 1e-7
    most: float = float("inf")
    few: int = 3
    many: int = 2**60 + 1
    text: str = "line1\\nline2"
    either: int | str = "7"
    size: Size = Size.BIG
    guest: Guest | None = None
    host: Guest | None = Guest(name="Ada")
    due: NaiveDatetime | None = None

asked = define_event("asked", Order)\
"""
ASK = "%%workflow ask(first: Order)\nreturn await step.await_event(asked)"
FIRST = (
    'first = Order(title="first", host=None, either=7, small=1.0, aware="2026-01-01T12:00:00+02:00")\nrun = ask.start(first)\nrun'
)
FORKED = """\
made = wf.list().items[0]
found, expected = made.args["first"], first.model_copy(update={"title": "second"})
print(made.run_id, found == expected, found.model_dump_json() == expected.model_dump_json())\
"""
ANSWERED = "got = run.result()\nprint(got.model_dump_json() == Order().model_dump_json(), got.due)"


def test_what_is_not_touched_is_as_it_was_and_what_is_typed_by_half_is_not_sent(new_notebook: NewNotebook) -> None:
    notebook = new_notebook(ORDER, ASK, FIRST, FORKED, ANSWERED)
    page = notebook.page
    page.context.new_cdp_session(page).send("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kolkata"})
    notebook.run(0, 1, 2)
    card = notebook.card(2)
    form = card.form("asked")
    expect(form.get_by_label("Many")).to_have_value(str(2**60 + 1))
    expect(form.get_by_label("Aware")).to_have_value("2026-01-01T17:30:05")
    expect(form).to_contain_text("in your time zone, Asia/")
    expect(form.get_by_label("Most")).to_have_value("Infinity")
    expect(form.get_by_role("radio", name="BIG")).to_be_checked()
    form.scroll_into_view_if_needed()
    notebook.picture("1-defaults")
    few, due = form.get_by_label("Few"), form.get_by_label("Due")
    few.fill("")
    few.press_sequentially("1e")
    due.focus()
    page.keyboard.press("0")
    page.keyboard.press("5")
    form.get_by_role("button", name="Send").click()
    wrong = form.locator('.wf-field[data-wrong="true"]')
    expect(wrong).to_have_count(2)
    expect(wrong.nth(0)).to_contain_text("This is no number")
    expect(wrong.nth(1)).to_contain_text("This is incomplete")
    expect(few).to_be_focused()
    notebook.picture("2-half")
    few.fill("3")
    due.fill("2026-01-01T00:00")
    due.fill("")
    expect(wrong).to_have_count(0)
    card.button("Fork").click()
    fork = card.place.get_by_role("form", name="Fork")
    fork.get_by_label("Title").fill("second")
    notebook.picture("3-fork")
    fork.get_by_role("button", name="Fork").click()
    expect(card.said).to_contain_text("Forked as ")
    notebook.run(3)
    expect(notebook.output(3)).to_contain_text("True True")
    form.get_by_role("button", name="Send").click()
    card.expect_status("completed")
    notebook.run(4)
    expect(notebook.output(4)).to_contain_text("True None")
    expect(page.get_by_text("serialization failed")).to_have_count(0)


def unreadable(card: Card) -> list[str]:
    """The texts of the card whose contrast is too low."""
    places: Locator = card.place.locator(
        ":is(label, legend, button, p, strong, code, .wf-status, .wf-elapsed, input, .wf-choice span)"
    )
    shown = [place for place in places.all() if place.is_visible() and place.is_enabled()]
    contrasts = [(place.evaluate(CONTRAST), place.evaluate("el => el.outerHTML.slice(0, 120)")) for place in shown]
    assert len(contrasts) > 20
    return [f"{contrast:.1f} {html}" for contrast, html in contrasts if contrast < READABLE]
