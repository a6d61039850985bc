"""Frames and messages: whatever the bytes are, messages or a WireError come out."""

from __future__ import annotations

import itertools
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfkernel.control import wire
from wfkernel.control.wire import Message, Parser, WireError, packed

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(st.text().filter(lambda k: k != "blobs"), json_values, max_size=4)
blobs = st.dictionaries(st.text(), st.binary(max_size=300), max_size=3)


def frame(kind: str, content: bytes) -> bytes:
    return struct.pack(">IB", len(content), ord(kind)) + content


def fed(data: bytes, cuts: list[int], parser: Parser | None = None) -> list[Message]:
    """What a parser makes of the bytes, cut in pieces."""
    parser = parser or Parser()
    places = sorted({min(c, len(data)) for c in cuts} | {0, len(data)})
    return [m for a, b in itertools.pairwise(places) for m in parser.feed(data[a:b])]


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_any_bytes_in_any_pieces_give_messages_or_a_wire_error(data: bytes, cuts: list[int]) -> None:
    try:
        messages = fed(data, cuts)
    except WireError:
        return
    assert all(isinstance(m.body, dict) for m in messages)


@given(
    st.lists(st.tuples(st.sampled_from("JBx"), st.binary(max_size=60) | json_values.map(lambda v: json.dumps(v).encode()))),
    st.lists(st.integers(0, 400), max_size=5),
)
def test_any_frames_give_messages_or_a_wire_error(frames: list[tuple[str, bytes]], cuts: list[int]) -> None:
    data = b"".join(frame(kind, content) for kind, content in frames)
    try:
        messages = fed(data, cuts)
    except WireError:
        return
    assert len(messages) <= len(frames)


@given(st.lists(st.tuples(bodies, blobs), max_size=4), st.lists(st.integers(0, 5000), max_size=6))
def test_messages_with_attachments_come_through_in_any_pieces(
    sent: list[tuple[dict[str, Any], dict[str, bytes]]], cuts: list[int]
) -> None:
    data = b"".join(piece for body, attached in sent for piece in packed(body, attached))
    assert fed(data, cuts) == [Message(body, attached) for body, attached in sent]


def test_an_attachment_larger_than_a_piece_comes_through() -> None:
    blob = bytes(range(256)) * (3 * wire.MAX_PIECE // 256) + b"end"
    frames = list(packed({"id": 1}, {"a": blob, "empty": b""}))
    assert len(frames) == 1 + 4
    assert list(Parser().feed(b"".join(frames))) == [Message({"id": 1}, {"a": blob, "empty": b""})]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "no frame of wfkernel's"),
        (frame("J", b"{"), "not JSON"),
        (frame("J", b"\xff\xfe"), "not JSON"),
        (frame("J", b"[" * 100_000), "not JSON"),
        (frame("J", b'{"id": NaN}'), "not JSON"),
        (frame("J", b"[1]"), "must be a JSON object"),
        (frame("J", b'{"blobs": 7}'), "blobs must be a list"),
        (frame("J", b'{"blobs": [["a", -1]]}'), "blobs must be a list"),
        (frame("J", b'{"blobs": [["a", true]]}'), "blobs must be a list"),
        (frame("J", b'{"blobs": [["a", 5000000000]]}'), "attachments of more than"),
        (frame("J", b'{"blobs": [["a", 2]]}') + frame("B", b"abc"), "longer than announced"),
        (frame("J", b'{"blobs": [["a", 2]]}') + frame("J", b"{}"), "before the attachments of the last one"),
        (frame("B", b"a"), "that no message announced"),
        (struct.pack(">IB", wire.MAX_TEXT + 1, ord("J")), "are taken at most"),
        (frame("J", b'{"blobs": [["a", 2000000]]}') + struct.pack(">IB", wire.MAX_PIECE + 1, ord("B")), "are taken"),
    ],
)
def test_what_is_no_message_is_named(data: bytes, what: str) -> None:
    with pytest.raises(WireError, match=what):
        list(Parser().feed(data))


def test_what_the_other_side_would_refuse_is_not_sent() -> None:
    with pytest.raises(WireError, match="at most can be sent"):
        next(packed({"text": "a" * wire.MAX_TEXT}))
    with pytest.raises(WireError, match="too large to be sent"):
        next(packed({}, {str(i): b"" for i in range(wire.MAX_BLOBS + 1)}))
    with pytest.raises(WireError, match="cannot be sent as JSON"):
        next(packed({"x": float("nan")}))
    with pytest.raises(WireError, match="cannot be sent as JSON"):
        next(packed({"x": object()}))


def test_a_parser_takes_no_more_than_it_is_told_to() -> None:
    with pytest.raises(WireError, match="100 are taken at most"):
        list(Parser(max_text=100).feed(frame("J", b" " * 101)))
    with pytest.raises(WireError, match="attachments of more than 0 bytes"):
        list(Parser(max_blob_bytes=0).feed(frame("J", b'{"blobs": [["a", 1]]}')))


def test_lone_surrogates_come_through() -> None:
    body = {"text": "\udc80 and \ud800"}
    assert [m.body for m in Parser().feed(next(packed(body)))] == [body]


@pytest.mark.parametrize(("given_id", "read"), [(7, 7), (True, None), ("7", None), (None, None), (1.5, None)])
def test_only_a_whole_number_is_an_id(given_id: Any, read: int | None) -> None:
    assert Message({"id": given_id}, {}).id == read
