"""Forms from types: what is asked for, and which field an error belongs to."""

from __future__ import annotations

import enum
import json
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import AwareDatetime, BaseModel, Field, NaiveDatetime, SecretStr, TypeAdapter, ValidationError, field_validator

from wfkernel.cli.looking import example_of
from wfkernel.model import forms


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Guest(BaseModel):
    name: str = Field(min_length=1)
    age: int | None = Field(None, ge=0, le=150)


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 2**60 + 1


class Dog(BaseModel):
    kind: Literal["dog"]


class Booking(BaseModel):
    """Which flight to book."""

    flight: str = Field(title="Flight number", description="Airline and number")
    seat: Literal["aisle", "window"] = "aisle"
    on: date
    guests: list[Guest] = []
    first: Guest
    is_refundable: bool = False

    @field_validator("flight")
    @classmethod
    def _has_digits(cls, text: str) -> str:
        if not any(c.isdigit() for c in text):
            raise ValueError("a flight has a number")
        return text


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


@pytest.mark.parametrize(
    ("annotation", "form"),
    [
        (bool, {"kind": "bool"}),
        (int, {"kind": "int"}),
        (float, {"kind": "number"}),
        (str, {"kind": "text"}),
        (date, {"kind": "date"}),
        (datetime, {"kind": "datetime"}),
        (time, {"kind": "time"}),
        (SecretStr, {"kind": "text", "secret": True}),
        (int | None, {"kind": "int", "nullable": True}),
        (int | float, {"kind": "number"}),
        (Decimal, {"kind": "decimal"}),
        (NaiveDatetime, {"kind": "datetime", "zone": "naive"}),
        (AwareDatetime, {"kind": "datetime", "zone": "aware"}),
        (Annotated[float, Field(ge=0, le=float("inf"))], {"kind": "number", "min": 0}),
        (Annotated[int, Field(ge=1, le=9)], {"kind": "int", "min": 1, "max": 9}),
        (Annotated[str, Field(max_length=5000)], {"kind": "text", "multiline": True}),
        (list[int], {"kind": "list", "item": {"kind": "int"}}),
        (None, {"kind": "json"}),
        (Any, {"kind": "json"}),
        (dict[str, int], {"kind": "json"}),
        (tuple[int, str], {"kind": "json"}),
        (object, {"kind": "json"}),
        (type("NoSchema", (), {}), {"kind": "json"}),
    ],
)
def test_each_type_has_its_field(annotation: Any, form: dict[str, Any]) -> None:
    assert forms.describe(annotation) == form


def test_an_enum_and_a_literal_are_choices() -> None:
    options = [{"label": "RED", "value": '"red"'}, {"label": "BLUE", "value": '"blue"'}]
    assert forms.describe(Color) == {"kind": "choice", "options": options}
    assert forms.describe(Literal[1, 2])["options"] == [{"label": "1", "value": "1"}, {"label": "2", "value": "2"}]
    assert forms.describe(Color | None)["nullable"] is True
    assert [o["label"] for o in forms.describe(Level)["options"]] == ["LOW", "HIGH"]
    assert [o["label"] for o in forms.describe(Right)["options"]] == ["READ", "WRITE"]
    assert [o["label"] for o in forms.describe(Literal[Level.LOW, "other", None])["options"]] == ["LOW", "other", "none"]


def test_a_model_is_a_group_of_fields_with_their_titles_defaults_and_help() -> None:
    form = forms.describe(Booking)
    assert form["kind"] == "object"
    assert form["help"] == "Which flight to book."
    by_name = {f["name"]: f for f in form["fields"]}
    assert by_name["flight"] == {
        "name": "flight",
        "kind": "text",
        "title": "Flight number",
        "help": "Airline and number",
        "required": True,
    }
    assert by_name["seat"]["default"] == '"aisle"'
    assert by_name["guests"]["item"]["kind"] == "object"
    assert [f["name"] for f in by_name["first"]["fields"]] == ["name", "age"]
    assert by_name["is_refundable"]["title"] == "Is Refundable"
    json.dumps(form)


def test_a_type_that_holds_itself_comes_to_an_end() -> None:
    form = forms.describe(Tree)
    (children,) = [f for f in form["fields"] if f["name"] == "children"]
    assert children["item"]["kind"] == "json"


def test_models_to_choose_from_are_variants() -> None:
    form = forms.describe(Guest | int)
    assert form["kind"] == "union"
    assert [(v["title"], v["kind"]) for v in form["variants"]] == [("Guest", "object"), ("int", "int")]


def test_a_model_that_may_be_none_is_a_choice_and_begins_with_its_default() -> None:
    form = forms.describe(Guest | None)
    assert ([v["title"] for v in form["variants"]], form["nullable"]) == (["Guest", "none"], True)

    class Table(BaseModel):
        host: Guest | None = None
        guest: Guest | None = Guest(name="Ada", age=36)
        seats: list[int] | None = None
        number: int | str = "12"

    host, guest, seats, number = forms.describe(Table)["fields"]
    assert [f["variants"][f["chosen"]]["title"] for f in (host, guest, seats, number)] == ["none", "Guest", "none", "text"]
    assert [f["now"] for f in guest["variants"][0]["fields"]] == ['"Ada"', "36"]
    assert (guest["default"], host["default"]) == ('{"name":"Ada","age":36}', "null")


def test_a_description_is_json_whatever_the_defaults_are() -> None:
    class Odd(BaseModel):
        most: float = float("inf")
        few: list[float] = [float("-inf")]
        thing: Any = object()
        raw: bytes = b"\xff"

    most, few, thing, raw = forms.describe(Odd)["fields"]
    assert (most["default"], few["default"]) == ('"Infinity"', '["-Infinity"]')
    assert [f["kind"] for f in (thing, raw) if "default" not in f] == ["json", "text"]
    json.dumps(forms.describe(Odd), allow_nan=False)


def test_an_answer_becomes_a_value_of_the_type() -> None:
    answer = {"flight": "LH 400", "on": "2026-11-20", "first": {"name": "Ada"}, "guests": [{"name": "Bo", "age": "7"}]}
    value = forms.validated(Booking, answer)
    assert isinstance(value, Booking)
    assert value.on == date(2026, 11, 20)
    assert value.guests[0].age == 7
    assert forms.validated(Color, "red") is Color.RED
    assert forms.validated(set[int], [1, 1]) == {1}
    assert forms.validated(None, {"a": 1}) == {"a": 1}
    assert forms.validated(int, str(2**70)) == 2**70


_MANY_TYPES = [
    bool,
    int,
    float,
    Decimal,
    str,
    date,
    datetime,
    NaiveDatetime,
    AwareDatetime,
    time,
    Color,
    Level,
    Guest,
    list[Guest],
]
_CHOICES = [Literal["a", 1], Guest | None, int | str, Literal["a"] | None, dict[str, int] | None, Cat | Dog]


@pytest.mark.parametrize("annotation", [*_MANY_TYPES, *_CHOICES], ids=forms.type_name)
def test_the_example_for_the_terminal_is_a_value_of_the_type(annotation: Any) -> None:
    found = forms.validated(annotation, json.loads(example_of(forms.describe(annotation))))
    assert TypeAdapter(annotation).validate_python(found) == found


def test_each_error_knows_its_field() -> None:
    with pytest.raises(ValidationError) as caught:
        forms.validated(Booking, {"flight": "LH", "first": {"name": ""}, "guests": [{"name": "Bo"}, {"name": "Cy", "age": 200}]})
    found = {tuple(e["loc"]): e["msg"] for e in forms.errors(caught.value)}
    assert found[("flight",)] == "a flight has a number"
    assert found[("on",)] == "Field required"
    assert found[("first", "name")] == "String should have at least 1 character"
    assert found[("guests", 1, "age")] == "Input should be less than or equal to 150"
    assert len(found) == 4


def test_a_type_is_called_by_its_name() -> None:
    assert forms.type_name(bool) == "bool"
    assert forms.type_name(Booking) == "Booking"
    assert forms.type_name(list[int]) == "list[int]"
    assert forms.type_name(int | None) == "int | None"
    assert forms.type_name(None) is None
    assert forms.type_name(Annotated[float, Field(ge=0)]) == "float"
    assert forms.type_name(list[Booking]) == "list[Booking]"
    assert forms.type_name(dict[str, Annotated[Booking, "x"]] | None) == "dict[str, Booking] | None"
    assert forms.type_name(Literal["a", 1, None]) == "Literal['a', 1, None]"
    assert forms.type_name(tuple[int, ...]) == "tuple[int, ...]"
    assert forms.type_name(Any) == "Any"
