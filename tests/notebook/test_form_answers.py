"""What a form sends, through the front end's own code: an untouched field sends what it began with, a changed one only itself."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import AwareDatetime, BaseModel, Field, NaiveDatetime, SecretStr, create_model

from wfkernel import WorkflowManager
from wfkernel.cards import forks
from wfkernel.model import forms
from wfkernel.model.jsontext import loads

WIDGETS = Path(__file__).parents[2] / "widgets"
pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="Node is needed to build the front end only"),
    pytest.mark.skipif(not (WIDGETS / "node_modules" / "happy-dom").exists(), reason="`make widgets` installs happy-dom"),
]


at = dt.datetime.fromisoformat
DAY = at("2026-01-01")


class Size(enum.Enum):
    SMALL = 1
    BIG = 2**60 + 1


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Sub(BaseModel):
    a: int = Field(alias="theA")
    b: str = "type's own"
    at: dt.datetime | None = None


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str = "Rex"


class Node(BaseModel):
    name: str
    kids: list[Node] = []


@dataclasses.dataclass
class Point:
    x: int
    y: float = 2.0


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
UTC5 = dt.datetime(2026, 1, 1, 12, 0, 5, 123, tzinfo=dt.UTC)
VALUES: list[tuple[Any, Any]] = [
    (bool, True),
    (bool | None, None),
    (int, 2**60 + 1),
    (int, -7),
    (int | None, 5),
    (float, 1.0),
    (float, 1e-7),
    (float, float("inf")),
    (int | float, 3.0),
    (Decimal, Decimal("0.1234567890123456789")),
    (Decimal, Decimal("1.10")),
    (Decimal | None, Decimal("1E+400")),
    (str, "line1\nline2"),
    (str, "  pad "),
    (str, ""),
    (str | None, ""),
    (str | None, "was"),
    (dt.datetime, at("2026-05-01T09:30:15")),
    (dt.datetime, at("0001-01-01T00:00")),
    (dt.datetime, UTC5),
    (dt.datetime, at("2026-01-01T12:00+05:30")),
    (NaiveDatetime, at("2026-05-01T09:30:15.000007")),
    (AwareDatetime, UTC5),
    (Optional[NaiveDatetime], None),  # noqa: UP045 - type checkers know no | of it
    (dt.date, dt.date(2026, 5, 1)),
    (dt.time, dt.time(9, 30, 15, 250)),
    (dt.time, dt.time(9, 30, tzinfo=dt.timezone(dt.timedelta(hours=2)))),
    (dt.timedelta, dt.timedelta(hours=1, microseconds=1)),
    (uuid.UUID, uuid.UUID(int=5)),
    (Path, Path("x/y")),
    (bytes, b"ab"),
    (Size, Size.BIG),
    (Size | None, None),
    (Right, Right.READ | Right.WRITE),
    (list[float], [float("-inf"), 1.0]),
    (Literal["a", 1, None], None),
    (Literal["a", 2**60 + 1], 2**60 + 1),
    (Literal["a"] | None, None),
    (list[int], [2**60 + 1, 2]),
    (list[Decimal], [Decimal("1.10")]),
    (list[Sub], [Sub(theA=2**60 + 1, b="x\ny", at=UTC5)]),
    (list[int] | None, None),
    (list[int] | None, []),
    (set[int], {1, 2}),
    (tuple[int, str], (2**60 + 1, "a")),
    (dict[str, int], {"a": 2**60 + 1}),
    (dict[str, float], {"a": 1.0}),
    (Any, {"a": [1.0, 2**60 + 1]}),
    (int | str, 3),
    (int | str, "text"),
    (float | str, "1.5"),
    (Sub | int | None, None),
    (Sub | int | None, Sub(theA=3)),
    (Pet, Dog(name="Bello")),
    (Cat | Dog | None, Dog(name="Bello")),
    (Sub | None, None),
    (Sub | None, Sub(theA=1, b="mine")),
    (Sub, Sub(theA=2**60 + 1, b="line1\nline2", at=UTC5)),
    (Point, Point(1)),
    (Node | None, Node(name="a", kids=[Node(name="b")])),
]
SHOWN = [f"{forms.type_name(annotation)}: {value!r}" for annotation, value in VALUES]


def answers(asked: list[dict[str, Any]]) -> list[Any]:
    """What these forms send: see the script."""
    lines = "".join(json.dumps(one, allow_nan=False) + "\n" for one in asked)
    done = subprocess.run(["node", "test/answers.js"], cwd=WIDGETS, input=lines, capture_output=True, text=True, check=True)
    return [loads(line) for line in done.stdout.splitlines()]


def sent(form: dict[str, Any], *edits: tuple[str, str], kind: str = "event") -> Any:
    """What the form sends once these fields are filled in."""
    return answers([{"form": form, "kind": kind, "edits": edits}])[0]


@pytest.fixture
def wf() -> Iterator[WorkflowManager]:
    with WorkflowManager(":memory:") as manager:
        yield manager


def is_same(found: Any, value: Any) -> bool:
    """1.0 is not 1 then, Decimal("1.10") not 1.1, and a time with a zone not one without."""
    return (
        found.a == value
        and type(found.a) is type(value)
        and found.model_dump_json() == found.model_copy(update={"a": value}).model_dump_json()
    )


def test_an_untouched_form_sends_exactly_the_defaults() -> None:
    models = [create_model("M", a=(annotation, value)) for annotation, value in VALUES]
    given = answers([{"form": forms.describe(model), "kind": "event", "edits": []} for model in models])
    found = [forms.validated(model, answer) for model, answer in zip(models, given, strict=True)]
    assert [s for s, f, (_, v) in zip(SHOWN, found, VALUES, strict=True) if not is_same(f, v)] == []


def test_a_change_beside_a_value_leaves_the_value_as_it_is() -> None:
    """In a default of the type's own, where all of it is sent as soon as a part is another."""
    asked, models = [], []
    for annotation, value in VALUES:
        inner = create_model("Inner", a=annotation, note=(str, "old"))
        models.append(create_model("M", inner=(inner, inner(a=value))))
        asked.append({"form": forms.describe(models[-1]), "kind": "event", "edits": [("Note", "new")]})
    found = [forms.validated(model, answer).inner for model, answer in zip(models, answers(asked), strict=True)]
    assert {f.note for f in found} == {"new"}
    assert [s for s, f, (_, v) in zip(SHOWN, found, VALUES, strict=True) if not is_same(f, v)] == []


class Order(BaseModel):
    name: str
    at: dt.datetime
    price: Decimal
    big: int
    note: str
    sub: Sub | None = None
    either: int | str = 3


class Loose(BaseModel):
    extra: Any


ORDER = Order(
    name="n",
    at=at("2026-03-04T05:06:07"),
    price=Decimal("1234567.1234567890123456"),
    big=2**60 + 1,
    note="a\nb",
    either="7",
)


def test_a_fork_changes_only_the_field_that_was_changed(wf: WorkflowManager) -> None:
    @wf.workflow
    async def trip(step, order: Order, when: dt.datetime = DAY, maybe: Sub | None = None, either: int | str = 5):
        return [order, when, maybe, either]

    run = trip.start(ORDER, either="text")
    run.result(10)
    form = forks.form(run)
    assert sent(form, kind="arguments") == {"args": {}, "unset": []}
    changes = sent(form, ("Name", "m"), kind="arguments")
    assert list(changes["args"]) == ["order"]
    made = forks.fork(run, None, changes["args"], changes["unset"])
    assert made.result(10) == [ORDER.model_copy(update={"name": "m"}), DAY, None, "text"]


def test_a_fork_keeps_what_has_no_json_that_reads_back(wf: WorkflowManager) -> None:
    @wf.workflow
    async def enter(step, loose: Loose):
        return loose

    assert [forks.form(enter.start(Loose(extra=extra)))["fields"][0]["kind"] for extra in ((1, 2), [1, 2])] == ["kept", "object"]


def test_a_secret_is_not_sent_as_its_stars() -> None:
    class Login(BaseModel):
        name: str = "ada"
        password: SecretStr = SecretStr("own")

    class Form(BaseModel):
        login: Login = Login(password=SecretStr("of this login"))

    assert sent(forms.describe(Form)) == {}
    assert sent(forms.describe(Form), ("Name", "bob")) == {"login": {"name": "bob"}}


def test_a_datetime_that_is_filled_in_is_naive_where_the_type_or_its_default_is() -> None:
    class Times(BaseModel):
        naive: NaiveDatetime
        begun: dt.datetime = at("2026-05-01T09:30:15")
        aware: AwareDatetime
        plain: dt.datetime

    form = forms.describe(Times)
    text = "2027-01-02T03:04"
    answer = sent(form, *((f["title"], text) for f in form["fields"]))
    found = forms.validated(Times, answer)
    assert found.naive == found.begun == at(text)
    assert found.aware == found.plain
    assert found.aware.replace(tzinfo=None) == at(text)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Decimal, "0.12345678901234567890123456789"),
        (int, str(2**70 + 1)),
        (float, "0.00000012345678901"),
        (complex, "1+2j"),
        (Any, f'{{"a": {2**70}}}'),
    ],
)
def test_what_is_typed_keeps_its_digits(annotation: Any, text: str) -> None:
    model = create_model("M", a=annotation)
    expected = json.loads(text) if annotation is Any else annotation(text)
    assert forms.validated(model, sent(forms.describe(model), ("A", text))).a == expected


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(list[int], []), (str, ""), (int | None, None), (str | None, None), (Cat, Cat())],
)
def test_an_empty_root_is_an_empty_value(annotation: Any, value: Any) -> None:
    assert forms.validated(annotation, sent(forms.describe(annotation))) == value


@pytest.mark.parametrize("annotation", [bool | None, Literal["a", None], Size, Size | None, Sub | None])
def test_a_root_to_choose_from_is_not_answered_by_silence(annotation: Any) -> None:
    assert sent(forms.describe(annotation)) == {"wrong": ["Choose one"]}
