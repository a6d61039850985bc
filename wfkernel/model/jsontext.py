"""JSON text: one way to write it, so that equal values give equal text."""

from __future__ import annotations

import json
from typing import Any

_utf8 = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_ascii = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode
loads = json.JSONDecoder().decode


def dumps(obj: Any) -> str:
    """``obj`` as compact JSON; readable UTF-8 unless a lone surrogate forces escapes.

    >>> dumps({"a": [1, "é"]})
    '{"a":[1,"é"]}'
    """
    text = _utf8(obj)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return _ascii(obj)
    return text
