"""Approval links as text: nothing but what was signed is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfkernel.web import links
from wfkernel.web.links import BadLink, Link

KEY = b"k" * 32
LINK = Link("r1", "approval", "e1-1.0", 2_000_000_000, "abc")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


@given(TEXT, TEXT, TEXT, st.integers(0, 2**40), TEXT)
def test_a_link_says_what_was_put_in(run_id: str, event: str, event_id: str, expires_at: int, link_id: str) -> None:
    link = Link(run_id, event, event_id, expires_at, link_id)
    assert links.read(links.signed(link, KEY), KEY) == link


@given(st.integers(0, 10_000), st.characters(min_codepoint=33, max_codepoint=126))
def test_a_link_with_one_character_changed_is_none(place: int, letter: str) -> None:
    text = links.signed(LINK, KEY)
    place %= len(text)
    changed = text[:place] + letter + text[place + 1 :]
    if changed != text:
        with pytest.raises(BadLink):
            links.read(changed, KEY)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(BadLink):
        links.read(text, KEY)


def test_a_link_of_another_journal_is_none() -> None:
    with pytest.raises(BadLink):
        links.read(links.signed(LINK, b"o" * 32), KEY)


def test_a_text_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadLink, match="as long"):
        links.read("a" * 5000, KEY)


def test_the_token_of_a_form_belongs_to_one_link_and_one_key() -> None:
    other = LINK._replace(id="abd")
    assert len({links.form_token(LINK, KEY), links.form_token(other, KEY), links.form_token(LINK, b"o" * 32)}) == 3
