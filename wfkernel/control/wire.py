"""What two processes say to each other about a journal: frames and messages. Bytes in, messages out; no sockets here.

A message is a JSON object, followed by the attachments that it announces::

    frame     4 bytes: length of the content, big-endian    1 byte: kind    content
    kind J    a JSON object: {"id": 7, "op": "status", "params": {...}, "blobs": [["<sha256>", 2000000], ...]}
    kind B    the next piece of an attachment

    request   {"id", "op", "params"}          of the client, who numbers them
    replies   {"id", "part"} ...              zero or more
              {"id", "result"} or {"id", "error": {"type", "message", "facts"}}

The first request is "hello" with the versions that the client speaks. "ping" is answered at once, "drop" never: nobody waits for
the answer to the request ``params["id"]`` any more.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from wfkernel.errors import ControlError

VERSIONS = (1,)
MAX_TEXT = 8 << 20  # bytes of the JSON object of a request
MAX_REPLY = 256 << 20  # ... and of a reply: who asks trusts the holder, and long lists have no other way
MAX_STRANGER = 1 << 16  # ... and of the first message, before we know whose it is
MAX_PIECE = 1 << 20  # bytes of one piece of an attachment
MAX_BLOBS = 1000  # attachments of one message
MAX_BLOB_BYTES = 1 << 30  # ... and their sum
_HEAD = struct.Struct(">IB")
_JSON, _PIECE = ord("J"), ord("B")


class WireError(ControlError):
    """What came is no message of ours, or too large. The connection cannot be read any further."""


class Message(NamedTuple):
    """A JSON object and its attachments by name."""

    body: dict[str, Any]
    blobs: dict[str, bytes]

    @property
    def id(self) -> int | None:
        found = self.body.get("id")
        return found if isinstance(found, int) and not isinstance(found, bool) else None


def packed(body: dict[str, Any], blobs: dict[str, Any] | None = None, *, max_text: int = MAX_TEXT) -> Iterator[bytes]:
    """The frames of a message, to be sent one after the other.

    Raises:
        WireError: it is larger than the other side takes, or no JSON; nothing was yielded.
    """
    if blobs:
        body = {**body, "blobs": [[name, len(memoryview(blob).cast("B"))] for name, blob in blobs.items()]}
        if len(blobs) > MAX_BLOBS or sum(size for _, size in body["blobs"]) > MAX_BLOB_BYTES:
            raise WireError(f"the values are too large to be sent: {MAX_BLOBS} of {MAX_BLOB_BYTES:,} bytes together at most")
    try:
        text = _encoded(body).encode("utf-8", "surrogatepass")
    except (ValueError, TypeError, RecursionError) as error:
        raise WireError(f"this cannot be sent as JSON: {error}") from None
    if len(text) > max_text:
        raise WireError(f"the message has {len(text):,} bytes, and {max_text:,} at most can be sent")
    yield _HEAD.pack(len(text), _JSON) + text
    for blob in (blobs or {}).values():
        view = memoryview(blob).cast("B")
        for i in range(0, len(view), MAX_PIECE):
            piece = view[i : i + MAX_PIECE]
            yield _HEAD.pack(len(piece), _PIECE) + piece


class Parser:
    """Takes bytes as they come and gives the messages that are complete.

    Attributes:
        max_text, max_blob_bytes: what is taken, in bytes; may be changed between messages.

    >>> parser = Parser()
    >>> [m.body for m in parser.feed(b"".join(packed({"id": 1, "op": "list"})))]
    [{'id': 1, 'op': 'list'}]
    """

    def __init__(self, max_text: int = MAX_TEXT, max_blob_bytes: int = MAX_BLOB_BYTES) -> None:
        self.max_text = max_text
        self.max_blob_bytes = max_blob_bytes
        self._bytes = bytearray()
        self._body: dict[str, Any] | None = None
        self._wanted: list[tuple[str, int]] = []
        self._blobs: dict[str, bytes] = {}
        self._piece = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """
        Raises:
            WireError: the bytes are no message of ours; no more can be read.
        """
        self._bytes += data
        while len(self._bytes) >= _HEAD.size:
            size, kind = _HEAD.unpack_from(self._bytes)
            self._check_frame(size, kind)
            end = _HEAD.size + size
            if len(self._bytes) < end:
                return
            content = bytes(self._bytes[_HEAD.size : end])
            del self._bytes[:end]
            if kind == _JSON:
                self._begin(content)
            else:
                self._add(content)
            if self._body is not None and not self._wanted:
                message = Message(self._body, self._blobs)
                self._body, self._blobs = None, {}
                yield message

    def _check_frame(self, size: int, kind: int) -> None:
        if kind == _JSON:
            if size > self.max_text:
                raise WireError(f"a message of {size:,} bytes; {self.max_text:,} are taken at most")
            if self._body is not None:
                raise WireError("a message began before the attachments of the last one were complete")
        elif kind == _PIECE:
            if not 0 < size <= MAX_PIECE:
                raise WireError(f"a piece of {size:,} bytes; 1 to {MAX_PIECE:,} are taken")
            if not self._wanted:
                raise WireError("a piece of an attachment that no message announced")
        else:
            raise WireError(f"this is no frame of wfkernel's: kind {kind}")

    def _begin(self, content: bytes) -> None:
        try:
            body = _decoded(content.decode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError):
            raise WireError("a message that is not JSON") from None
        if not isinstance(body, dict):
            raise WireError("a message must be a JSON object")
        self._body = body
        self._wanted = _announced(body.pop("blobs", []), self.max_blob_bytes)
        while self._wanted and self._wanted[0][1] == 0:
            self._blobs[self._wanted.pop(0)[0]] = b""

    def _add(self, content: bytes) -> None:
        name, size = self._wanted[0]
        self._piece += content
        if len(self._piece) > size:
            raise WireError("an attachment is longer than announced")
        if len(self._piece) == size:
            self._blobs[name] = bytes(self._piece)
            self._piece.clear()
            self._wanted.pop(0)
            while self._wanted and self._wanted[0][1] == 0:
                self._blobs[self._wanted.pop(0)[0]] = b""


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


# Made once: json.dumps and json.loads make new ones for each call that has options.
_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_decoded = json.JSONDecoder(parse_constant=_refuse).decode


def _announced(blobs: Any, max_bytes: int) -> list[tuple[str, int]]:
    if not isinstance(blobs, list) or len(blobs) > MAX_BLOBS:
        raise WireError(f"blobs must be a list of at most {MAX_BLOBS} [name, size]")
    found: list[tuple[str, int]] = []
    for blob in blobs:
        if not (isinstance(blob, list) and len(blob) == 2 and isinstance(blob[0], str) and type(blob[1]) is int and blob[1] >= 0):
            raise WireError(f"blobs must be a list of [name, size], and has {str(blob)[:100]}")
        found.append((blob[0], blob[1]))
    if sum(size for _, size in found) > max_bytes:
        raise WireError(f"attachments of more than {max_bytes:,} bytes")
    return found
