"""A notebook as a script, and back: ``export_notebook``, ``write_script`` and ``import_script``; ``script`` is what the exported scripts run on.

Nothing here knows IPython. nbformat is loaded where a notebook is read or made, nbconvert only by the module that its entry point
names: both come with ``pip install 'wfkernel[export]'``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wfkernel.export.exporting import export_notebook, write_script
    from wfkernel.export.importing import import_script
    from wfkernel.export.refusals import ExportError, ExportRefused, Refusal

__all__ = ["ExportError", "ExportRefused", "Refusal", "export_notebook", "import_script", "write_script"]

_PLACES = {
    "ExportError": "refusals",
    "ExportRefused": "refusals",
    "Refusal": "refusals",
    "export_notebook": "exporting",
    "import_script": "importing",
    "write_script": "exporting",
}


def __getattr__(name: str) -> Any:
    # A script imports `wfkernel.export.script` through here: it has no need of the exporter itself.
    if name not in _PLACES:
        raise AttributeError(f"module 'wfkernel.export' has no attribute {name!r}")
    value = getattr(import_module(f"wfkernel.export.{_PLACES[name]}"), name)
    globals()[name] = value
    return value
