"""JSON text: one way to write it, so that equal values give equal text."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from decimal import Decimal
from json import encoder as _encoder
from typing import Any

_FLOAT_DIGITS = 17  # that a program may write for a float
loads = json.JSONDecoder().decode


def _writer() -> Callable[[Any], str]:
    """The C encoder itself where there is one: json.JSONEncoder makes a new one for each call, at twice the cost."""
    make: Any = getattr(_encoder, "c_make_encoder", None)  # the stubs do not know it
    if make is None:
        return json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False).encode
    write = make(None, _refuse, _encoder.encode_basestring, None, ":", ",", False, False, False)
    join = "".join
    return lambda obj: join(write(obj, 0))


def _refuse(obj: Any) -> Any:
    raise TypeError(f"{type(obj).__name__} is not JSON")


dumps = _writer()
"""``obj`` as compact JSON: strict, readable UTF-8, equal text for equal values.

>>> dumps({"a": [1, "é"]})
'{"a":[1,"é"]}'
"""


def exact_float(text: str) -> float:
    """A number as somebody typed it, unless a float would be another one: a ``parse_float`` for JSON.

    Raises:
        ValueError: it has more digits than a float keeps, or is too large for one.

    >>> exact_float("0.10")
    0.1
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    exact = Decimal(text)
    if len(exact.as_tuple().digits) > _FLOAT_DIGITS and exact != Decimal(repr(number)):
        raise ValueError(f'{text} has more digits than a number in JSON keeps; as a text, "{text}", a Decimal has them all')
    return number
