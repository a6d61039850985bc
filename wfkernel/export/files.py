"""Notebooks as files: the only place that says nbformat, which is loaded when a notebook is read or made."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from wfkernel.export.refusals import ExportError

__all__ = ["ORIGIN", "RawCell", "cells_of", "make_notebook", "name_of", "read_notebook"]

ORIGIN = "wfkernel"  # in a notebook's metadata: {"exported_as": the name of the notebook that the script came from}
RawCell = tuple[str, tuple[str, ...], str]  # kind, tags, source


def read_notebook(source: str | os.PathLike[str] | Mapping[str, Any]) -> Any:
    """The notebook of a path, or the one that is given, brought to nbformat 4. A copy: ``source`` stays as it is.

    Raises:
        ExportError: it is no notebook, or no Python notebook.
    """
    nbformat = _nbformat()
    where = "this" if isinstance(source, Mapping) else os.fspath(source)
    try:
        text = json.dumps(source) if isinstance(source, Mapping) else Path(source).read_text(encoding="utf-8-sig")
        parsed = json.loads(text)
        if not isinstance(parsed, dict) or not isinstance(parsed.get("nbformat"), int):
            raise ExportError(f"{where} is not a notebook: nbformat is missing in it")
        notebook = nbformat.reads(text, as_version=4)
    except ExportError:
        raise
    except FileNotFoundError:
        raise ExportError(f"there is no file {where}") from None
    except (UnicodeDecodeError, OSError, json.JSONDecodeError) as exc:
        raise ExportError(f"{where} is not a notebook: {exc}") from None
    except (nbformat.ValidationError, ValueError, AttributeError, KeyError, TypeError) as exc:
        raise ExportError(f"{where} is not a notebook that nbformat can read: {exc}") from None
    if not isinstance(notebook.get("cells"), list):
        raise ExportError(f"{where} is not a notebook: it has no cells")
    metadata = notebook.get("metadata", {})
    language = metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get("name") or "python"
    if language.lower() not in ("python", "ipython", "python3"):
        raise ExportError(f"{where} is a notebook in {language}; only one in Python can become a Python script")
    return notebook


def cells_of(notebook: Any) -> list[RawCell]:
    """The cells: kind, tags and source, with plain line ends."""
    found: list[RawCell] = []
    for cell in notebook["cells"]:
        source = cell.get("source", "")
        text = "".join(source) if isinstance(source, list) else source
        tags = cell.get("metadata", {}).get("tags", [])
        found.append((cell["cell_type"], tuple(tags), text.replace("\r\n", "\n").replace("\r", "\n")))
    return found


def name_of(source: Any, notebook: Any) -> str:
    """The notebook's file name, without its folder; for one that has no file the name that an import noted in it."""
    if not isinstance(source, Mapping):
        return Path(source).name
    noted = notebook.get("metadata", {}).get(ORIGIN, {})
    return str(noted.get("exported_as", "notebook.ipynb")) if isinstance(noted, Mapping) else "notebook.ipynb"


def make_notebook(cells: Sequence[RawCell], name: str) -> Any:
    """A notebook with these cells, whose ids are the same each time."""
    v4 = import_module("nbformat.v4") if _nbformat() else None
    assert v4 is not None
    make = {"code": v4.new_code_cell, "markdown": v4.new_markdown_cell, "raw": v4.new_raw_cell}
    made = []
    for number, (kind, tags, source) in enumerate(cells, 1):
        cell = make[kind](source, id=f"cell-{number}")
        if tags:
            cell.metadata["tags"] = list(tags)
        made.append(cell)
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}, ORIGIN: {"exported_as": name}}
    return v4.new_notebook(cells=made, metadata=metadata)


def _nbformat() -> Any:
    try:
        return import_module("nbformat")
    except ImportError:
        raise ExportError(
            "notebooks are read and written by nbformat, which is not installed: pip install 'wfkernel[export]'"
        ) from None
