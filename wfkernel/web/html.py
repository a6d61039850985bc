"""HTML as text: everything that is put in is escaped, and there is no inline script or style, which the policy forbids."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from starlette.responses import HTMLResponse

_LONGEST = 2000


def page(title: str, body: str, *, view: str, data: dict[str, str] | None = None, status: int = 200) -> HTMLResponse:
    """A whole page; ``view`` tells the script what to draw, ``data`` are its attributes."""
    attributes = "".join(f' data-{key}="{escape(value)}"' for key, value in (data or {}).items())
    return HTMLResponse(
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex, nofollow">
<title>{escape(title)}</title>
<link rel="icon" href="/static/icon.svg">
<link rel="stylesheet" href="/static/web.css">
<script type="module" src="/static/web.js"></script>
</head>
<body data-view="{escape(view)}"{attributes}>
{body}
</body>
</html>
""",
        status_code=status,
    )


def values(pairs: list[tuple[str, str]]) -> str:
    """Names and values, the values as they are."""
    return "".join(f"<dt>{escape(name)}</dt><dd><pre>{escape(text)}</pre></dd>" for name, text in pairs)


def shown(stored: Any, limit: int = _LONGEST) -> str:
    """A stored value (``model.values``) as a person reads it, cut where it is long."""
    plain = readable(stored)
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False, indent=2)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= limit else f"{text[:limit]} …"


def readable(stored: Any) -> Any:
    """A stored value without what only the journal needs."""
    if isinstance(stored, list):
        return [readable(v) for v in stored]
    if not isinstance(stored, dict):
        return stored
    if "$" not in stored:
        return {k: readable(v) for k, v in stored.items()}
    if stored["$"] == "dict":
        return {str(readable(k)): readable(v) for k, v in stored.get("v", [])}
    if "v" in stored:
        return readable(stored["v"])
    return f"<{stored['$']}{', {:,} bytes'.format(stored['size']) if 'size' in stored else ''}>"
