"""Credentials of strangers: whatever comes, it is credentials, none, or one of two refusals."""

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.errors import NotifyError
from gbe.notify.access.credentials import Bearer, Login, from_query, parse


def outcome(read: Callable[[str], object], text: str) -> object:
    """What was read, or the code of the refusal."""
    try:
        return read(text)
    except NotifyError as error:
        return error.code


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=":"), min_size=1, max_size=20)
PASSWORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(NAMES, PASSWORDS)
def test_what_is_sent_as_basic_arrives(name: str, password: str) -> None:
    header = "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
    assert parse(header) == Login(name, password)
    query = base64.urlsafe_b64encode(header.encode()).decode().rstrip("=")
    assert parse(from_query(query)) == Login(name, password)


@given(
    st.text(max_size=40) | st.builds("{} {}".format, st.sampled_from(["Basic", "Bearer", "basic", "BEARER"]), PASSWORDS)
)
def test_any_header_is_read_or_refused(header: str) -> None:
    found = outcome(parse, header)
    assert found in (None, 40101) or isinstance(found, Bearer | Login)


@given(st.text(max_size=40))
def test_any_query_is_read_or_refused(value: str) -> None:
    found = outcome(from_query, value)
    assert found == 50001 or isinstance(found, str)


@pytest.mark.parametrize("header", ["", "Basic", "Digest x", "Negotiate abc", "Basicx y"])
def test_other_schemes_are_no_credentials(header: str) -> None:
    assert parse(header) is None


def test_a_token_may_be_a_password_of_nobody() -> None:
    assert parse("Basic " + base64.b64encode(b":tk_x").decode()) == Bearer("tk_x")
