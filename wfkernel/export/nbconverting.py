"""``jupyter nbconvert --to workflow-script``, and the entry of that name in JupyterLab's menu: nbconvert's side of the exporter.

Loaded by nbconvert, through the entry point in pyproject.toml, and by nothing else.
"""

from __future__ import annotations

from typing import Any

from nbconvert.exporters import Exporter

from wfkernel.export.exporting import export_notebook

__all__ = ["WorkflowScriptExporter"]


class WorkflowScriptExporter(Exporter):
    """Exports a notebook as a script that goes on with the notebook's runs; see ``export_notebook``."""

    export_from_notebook = "Workflow Script (.py)"  # what the menu calls it
    output_mimetype = "text/x-python"

    def _file_extension_default(self) -> str:
        return ".py"

    def from_notebook_node(self, nb: Any, resources: Any = None, **kw: Any) -> tuple[str, Any]:  # type: ignore[override]
        copy, resources = super().from_notebook_node(nb, resources, **kw)
        name = resources.get("metadata", {}).get("name")
        return export_notebook(copy, name=f"{name}.ipynb" if name else None), resources
