"""A second process that holds a journal, as the tests of tests/control need it, and waiting for a condition."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_BEGIN = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from holder_script import main; main(*sys.argv[1:])"
DEADLINE_S = 20.0


class Holder:
    """A process that holds the journal and has the workflows of ``holder_script``; one word a line tells it what to do."""

    def __init__(self, path: Path, *words: str):
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN, str(path), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def tell(self, word: str) -> str:
        """Tell it a word; its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def stop(self) -> None:
        """Stop it as Ctrl-Z would; all its threads stand still once this returns."""
        self.process.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def close(self) -> None:
        """Let it close its manager and end."""
        self.process.communicate("close\n", timeout=DEADLINE_S)

    def wait(self) -> None:
        self.process.communicate()


def until(holds: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """What ``holds`` gives, once that is true."""
    end = time.monotonic() + deadline_s
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
