"""Runs cells in an IPython shell in this process, and keeps what they print."""

import atexit
import re
import warnings
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Notebook:
    """The shell of one test. The journal is the default one, in the folder of the test."""

    def __init__(self, capsys: pytest.CaptureFixture[str]):
        config = Config()
        config.HistoryManager.enabled = False  # no SQLite file, no thread
        config.Completer.use_jedi = False  # it adds Python's keywords
        self.shell = InteractiveShell.instance(config=config)
        self._capsys = capsys
        self._read = ("", "")

    def run(self, cell: str) -> Any:
        """Run a cell that must succeed; its last value."""
        result = self.shell.run_cell(cell, store_history=True)
        if not result.success:
            raise AssertionError(f"the cell failed:\n{self.read()}") from (result.error_before_exec or result.error_in_exec)
        return result.result

    def fail(self, cell: str) -> BaseException:
        """Run a cell that must fail; its error. What it shows is in ``read()``."""
        result = self.shell.run_cell(cell, store_history=True)
        error = result.error_before_exec or result.error_in_exec
        assert error is not None, f"the cell did not fail, and gave {result.result!r}"
        return error

    def __getitem__(self, name: str) -> Any:
        return self.shell.user_ns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.shell.user_ns

    def read(self) -> str:
        """What was printed and shown since the last time, without colours."""
        out, err = self._capsys.readouterr()
        self._read = (_COLOURS.sub("", out), _COLOURS.sub("", err))
        return "".join(self._read)

    def warnings(self, cell: str) -> list[str]:
        """The lines that a cell prints to stderr."""
        self.read()
        self.run(cell)
        self.read()
        return self._read[1].splitlines()

    def complete(self, line: str) -> list[str]:
        """What Tab offers at the end of the line."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PendingDeprecationWarning)  # IPython 9 has only provisional ones beside it
            return self.shell.complete("", line, len(line))[1]

    def close(self) -> None:
        if "wfkernel" in self.shell.extension_manager.loaded:
            self.run("%unload_ext wfkernel")
        self.shell.atexit_operations()
        atexit.unregister(self.shell.atexit_operations)
        self.shell.restore_sys_module_state()
        InteractiveShell.clear_instance()
