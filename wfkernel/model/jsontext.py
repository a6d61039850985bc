"""JSON text: one way to write it, so that equal values give equal text."""

from __future__ import annotations

import json
from collections.abc import Callable
from json import encoder as _encoder
from typing import Any

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
