"""The comm tap: a widget's messages reach us while the kernel is busy with a cell.

What is in here is all that wfkernel knows of ipykernel's inside. Nothing here knows workflows.

A click in the notebook is a ``comm_msg`` on the kernel's shell channel, where it queues behind the cell that runs. The tap looks
at each message as it comes off that channel, takes those whose comm was registered with it, and passes on the rest untouched.

- ipykernel 7 reads the channel in a thread of its own ("Shell channel"): the tap sees a click at once, also while the cell blocks the
  main thread. That thread must not be held up, so handlers run on ours, ``wfkernel-widgets``.
- ipykernel 6 reads the channel in the main thread's loop: the tap sees a click at once while a cell awaits; while one blocks, our
  blocking wait has to call ``pump``.
- Subshells (ipykernel 7) are not relied on: 7.4 sends a comm's messages to the subshell that used the comm last, and a widget that a
  cell made belongs to the main one, where its clicks wait for the cell.

Steps run in the ``contextvars`` context of the cell that started their run (the engine sees to that), and in it ipykernel keeps which cell
output belongs to: prints and displays of a step land in that cell, whatever runs meanwhile. ipykernel 6 has a context for prints only:
there ``display()`` in a step lands in the latest cell.

ipykernel 6.31, 7.0.1, 7.3 and 7.4 are tested (``make test-kernels``). The one private name is ``ZMQStream._recv_callback``: what was
there before is to be called for everybody else's messages. Where something is missing (marimo, JupyterLite, a script) there is no tap:
then clicks wait for the end of the cell, as they do for every other widget.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from typing import Any

from wfkernel.cards import desk

_log = logging.getLogger("wfkernel")
_INSTALL_S = 2.0  # for ipykernel's thread to put the tap in place
_LOOK_S = 0.25  # ... for that thread to look again, see pump
_CONTROL = "jupyter.widget.control"  # the comm by which a reloaded page asks for the state of all widgets

Handler = Callable[[dict[str, Any]], Any]


def current_kernel() -> Any:
    """The kernel whose cells run in this process, or None (script, terminal, marimo). Imports nothing."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return getattr(get_ipython(), "kernel", None) if get_ipython is not None else None


class CommTap:
    """Delivers the messages of registered comms at once; see the module.

    Attributes:
        is_installed: whether it hears messages; without, they take ipykernel's way, which leads to the same handlers.
    """

    def __init__(self, kernel: Any):
        self._kernel = kernel
        self._handlers: dict[str, tuple[Handler, Context]] = {}
        self._control: set[str] = set()
        self._waiting = 0
        self._lock = threading.Lock()
        # The parent of what a handler sends comes from a ContextVar. A thread that never had one gets a LookupError from
        # comm.send on ipykernel 7.0.1 (ipykernel#1450), so handlers always run in a context copied in a cell.
        self._context = copy_context()
        self._passed_on: Callable[[list[Any]], Any] | None = None
        self._next_look = 0.0
        self._thread = getattr(kernel, "shell_channel_thread", None)
        self._install()

    # -- for widgets --

    def register(self, comm_id: str, handler: Handler) -> None:
        """Hand the messages of this comm to ``handler`` (an ipywidgets ``Widget._handle_msg``, say), on the thread of ``post``."""
        self._handlers[comm_id] = (handler, self._context_here())

    def unregister(self, comm_id: str) -> None:
        """Its messages take ipykernel's way again."""
        self._handlers.pop(comm_id, None)

    def post(self, fn: Callable[..., Any], *args: Any) -> None:
        """Call ``fn`` on the thread where all widgets of ours live. (ipywidgets has no locks: change a widget from one thread only.)"""
        desk.loop().call_soon_threadsafe(_calmly, fn, args, context=self._context_here())

    def _context_here(self) -> Context:
        """The caller's context, if a cell is its origin; else that of the cell which brought us in."""
        try:
            parent = self._kernel.get_parent("shell")
        except LookupError:
            return self._context.copy()
        return copy_context() if parent else self._context.copy()

    # -- for waits --

    @property
    def is_installed(self) -> bool:
        return self._passed_on is not None

    @property
    def needs_pump(self) -> bool:
        """Whether nobody reads the channel while the main thread is blocked (ipykernel 6)."""
        return self.is_installed and self._thread is None

    def pump(self) -> None:
        """Take in what has arrived; a wait calls this at each of its ticks.

        ipykernel 6: nobody else does while the main thread is blocked. This runs no nested loop: other messages are only queued.
        ipykernel 7.0 to 7.3: a reply that is sent while a message arrives makes the stream overlook that message and all later
        ones (ipykernel#1554), until something makes it look again.
        """
        if not self.is_installed:
            return
        if self._thread is None:
            self._read()
        elif time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_S
            self._thread.io_loop.add_callback(self._read)

    def _read(self) -> None:
        self._kernel.shell_stream.flush(_zmq().POLLIN)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """While a cell waits, a reloaded page is answered, too: else it shows "Loading widget..." until the cell ends."""
        with self._lock:
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    # -- in the thread that reads the channel --

    def _install(self) -> None:
        if getattr(self._kernel, "shell_stream", None) is None:
            return
        if self._thread is None:
            self._put_in_place()
            return
        done = threading.Event()

        def there() -> None:  # a ZMQStream may be touched by the thread of its loop only
            try:
                self._put_in_place()
            finally:
                done.set()

        self._thread.io_loop.add_callback(there)
        done.wait(_INSTALL_S)

    def _put_in_place(self) -> None:
        stream = self._kernel.shell_stream
        before = getattr(stream, "_recv_callback", None)
        if before is None:
            _log.warning("clicks in widgets wait for the end of the cell here: this pyzmq has no ZMQStream._recv_callback")
            return
        self._passed_on = before
        stream.on_recv(self._received, copy=False)

    def _received(self, frames: list[Any]) -> Any:
        if (self._handlers or self._control) and self._take(frames):
            return None
        assert self._passed_on is not None
        return self._passed_on(frames)  # a coroutine in ipykernel 7: the stream awaits what its callback returns

    def _take(self, frames: list[Any]) -> bool:
        """Whether the message is ours; then it is on its way to its handler."""
        session = self._kernel.session
        try:
            ident, parts = session.feed_identities(frames, copy=False)
            # Without the content, deserialize does not note the signature, so ipykernel can still take the message as new.
            head = session.deserialize(parts, content=False, copy=False)
            kind = head["header"]["msg_type"]
            if not kind.startswith("comm_"):
                return False
            content = session.unpack(head["content"])
            comm_id = content.get("comm_id")
            is_control = comm_id in self._control or (kind == "comm_open" and content.get("target_name") == _CONTROL)
            if kind == "comm_close":
                self._handlers.pop(comm_id, None)
                self._control.discard(comm_id)
            found = self._handlers.get(comm_id) if kind == "comm_msg" else None
            if found is not None:
                message = session.deserialize(parts, content=True, copy=False)
                handler, context = found
                self._deliver(message, handler, (message,), context)
                return True
            if self._waiting == 0:
                return False
            if kind == "comm_info_request":
                self._tell_comms(content.get("target_name"), ident, parts)
            elif is_control:
                message = session.deserialize(parts, content=True, copy=False)
                if kind == "comm_open":
                    self._control.add(comm_id)
                serve = getattr(self._kernel.comm_manager, kind)
                self._deliver(message, serve, (None, ident, message), self._context)
            else:
                return False
            return True
        except Exception:  # damaged, or not what this ipykernel promises: let it judge
            _log.debug("the comm tap left a message to ipykernel", exc_info=True)
            return False

    def _tell_comms(self, target: str | None, ident: Any, parts: list[Any]) -> None:
        """A page that was reloaded asks which comms there are; then it opens a control comm and asks for all widgets' state."""
        kernel = self._kernel
        comms = {
            comm_id: {"target_name": comm.target_name}
            for comm_id, comm in list(kernel.comm_manager.comms.items())
            if not target or comm.target_name == target
        }
        message = kernel.session.deserialize(parts, content=True, copy=False)
        self._status("busy", message)
        stream = kernel.shell_stream
        kernel.session.send(stream, "comm_info_reply", {"comms": comms, "status": "ok"}, parent=message, ident=ident)
        stream.flush(_zmq().POLLOUT)  # ipykernel 6: the loop that would send it is blocked
        self._status("idle", message)

    def _deliver(self, message: dict[str, Any], fn: Callable[..., Any], args: tuple[Any, ...], context: Context) -> None:
        def handle() -> None:
            self._status("busy", message)
            try:
                _calmly(fn, args)
            finally:
                self._status("idle", message)  # a front end holds back a widget's next change until it hears this

        # In a copy: one context cannot be entered twice, and posted functions of the same cell may run meanwhile.
        desk.loop().call_soon_threadsafe(handle, context=context.copy())

    def _status(self, state: str, parent: dict[str, Any]) -> None:
        kernel = self._kernel
        topic = f"kernel.{kernel.ident}.status".encode()
        kernel.session.send(kernel.iopub_socket, "status", {"execution_state": state}, parent=parent, ident=topic)


def _zmq() -> Any:
    """pyzmq, which a kernel has loaded; wfkernel does not depend on it."""
    return sys.modules["zmq"]


def _calmly(fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        fn(*args)
    except Exception:
        _log.exception("a widget's handler failed")


# -- one a process --

_tap_lock = threading.Lock()
_tap: CommTap | None = None


def tap() -> CommTap | None:
    """The tap of this process's kernel, put in place at the first call; None without a kernel."""
    global _tap
    kernel = current_kernel()
    if kernel is None:
        return None
    with _tap_lock:
        if _tap is None or _tap._kernel is not kernel:
            try:
                _tap = CommTap(kernel)
            except Exception:  # an unknown kernel: its cells must run all the same
                _log.warning("clicks in widgets wait for the end of the cell in this kernel", exc_info=True)
                return None
        return _tap
