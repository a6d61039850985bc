"""Libraries that not everybody needs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from wfkernel.errors import OptionError


def needed(module: str, extra: str, what: str) -> Any:
    """The library.

    Raises:
        OptionError: it is not installed; says how to get it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        name = module.partition(".")[0]
        raise OptionError(f"{what} needs {name}, which is not installed: pip install 'wfkernel[{extra}]'") from None
