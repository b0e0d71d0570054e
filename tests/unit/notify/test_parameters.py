"""Looking up options in headers and query string."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.notify import options
from gbe.notify.options import ALL, BY_NAME, Option
from gbe.notify.parameters import MAX_QUERY_PARAMETERS, Parameters


def headers(**values: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in values.items()]


def test_no_name_belongs_to_two_options() -> None:
    assert len(BY_NAME) == sum(len(option.names) for option in ALL)


@pytest.mark.parametrize("option", ALL, ids=lambda option: option.names[0])
def test_every_name_works_as_header_and_as_query_parameter(option: Option) -> None:
    for name in option.names:
        assert Parameters([(name.encode(), b" value ")]).get(option) == "value"
        assert Parameters(query=f"{name}=+value+".encode()).get(option) == "value"


def test_the_first_listed_name_wins_not_the_first_sent() -> None:
    sent = headers(t="third", title="second", x_title="first")
    assert Parameters(sent).get(options.TITLE) == "first"
    assert Parameters(query=b"t=third&title=second&x-title=first").get(options.TITLE) == "first"


def test_an_empty_header_means_not_given() -> None:
    parameters = Parameters(headers(x_title=" ", title="second"), b"t=query")
    assert parameters.get(options.TITLE) == "second"
    assert Parameters(headers(x_title="", title="  "), b"x-title=&t=query").get(options.TITLE) == "query"


def test_any_header_beats_the_query_string() -> None:
    assert Parameters(headers(t="header"), b"x-title=query").get(options.TITLE) == "header"


def test_query_names_are_lower_case_only() -> None:
    assert Parameters(query=b"Title=a&X-Title=b&TITLE=c").get(options.TITLE) == ""


def test_only_headers_are_decoded_as_words() -> None:
    word = "=?utf-8?q?=C3=A4pfel?="
    assert Parameters(headers(title=word)).get(options.TITLE) == "äpfel"
    assert Parameters(query=b"title==?utf-8?q?%3DC3%3DA4pfel?=").get(options.TITLE) == word


def test_raw_utf8_in_a_header_is_accepted() -> None:
    assert Parameters([(b"title", "Übung 💾".encode())]).get(options.TITLE) == "Übung 💾"
    assert Parameters([(b"title", b"a\xffb\x00")]).get(options.TITLE) == "a\ufffdb"


def test_query_values_are_unescaped() -> None:
    assert Parameters(query=b"title=a+b%20c%C3%A4%00%ff&x").get(options.TITLE) == "a b cä\ufffd"


def test_newlines_of_encoded_words_survive_in_the_message_only() -> None:
    word = "=?utf-8?q?a=0Ab?="
    parameters = Parameters(headers(message=word, title=word))
    assert (parameters.get(options.MESSAGE), parameters.get(options.TITLE)) == ("a\nb", "a b")


@pytest.mark.parametrize("noise", ["u=3", "u=3, i", "u=0,i", "u=5, d"])
def test_browser_urgency_is_not_a_priority(noise: str) -> None:
    assert Parameters(headers(priority=noise)).get(options.PRIORITY) == ""
    assert Parameters(headers(priority=noise, p="high")).get(options.PRIORITY) == "high"
    assert Parameters(headers(priority=noise), b"p=low").get(options.PRIORITY) == "low"


@pytest.mark.parametrize("written", ["u=", "u=x", "u=3, x", "u=3, i, i"])
def test_what_only_resembles_urgency_is_kept(written: str) -> None:
    assert Parameters(headers(priority=written)).get(options.PRIORITY) == written


def test_urgency_is_a_matter_of_headers() -> None:
    assert Parameters(query=b"priority=u%3D3").get(options.PRIORITY) == "u=3"


@pytest.mark.parametrize(
    ("written", "meant"),
    [("1", True), ("yes", True), ("TRUE", True), ("Yes", True), ("0", False), ("on", False), ("si", False)],
)
def test_every_unknown_word_is_false(written: str, meant: bool) -> None:
    for default in (True, False):
        assert Parameters(headers(cache=written)).flag(options.CACHE, default=default) is meant


def test_an_absent_boolean_takes_its_default() -> None:
    assert Parameters().flag(options.CACHE, default=True) is True
    assert Parameters(headers(cache="")).flag(options.CACHE, default=False) is False


def test_values_put_in_front_replace_headers_but_only_of_that_option() -> None:
    parameters = Parameters(headers(x_title="old", tags="kept"), b"click=kept")
    changed = parameters.with_headers({options.TITLE: "neu ä"})
    assert changed.get(options.TITLE) == "neu ä"
    assert (changed.get(options.TAGS), changed.get(options.CLICK)) == ("kept", "kept")
    assert parameters.get(options.TITLE) == "old"


def test_the_query_alone_can_be_asked() -> None:
    parameters = Parameters(headers(auth="header"), b"auth=&authorization=abc%3D")
    assert parameters.query_value("auth", "authorization") == "abc="
    assert Parameters().query_value("auth") == ""


def test_a_query_of_too_many_parameters_is_cut() -> None:
    filler = b"x=1&" * MAX_QUERY_PARAMETERS
    assert Parameters(query=filler + b"title=late").get(options.TITLE) == ""
    assert Parameters(query=filler[4:] + b"title=early").get(options.TITLE) == "early"


@given(
    st.lists(st.tuples(st.sampled_from(sorted(BY_NAME)), st.binary(max_size=30)), max_size=8), st.binary(max_size=80)
)
def test_no_request_raises_and_no_value_is_untrimmed(sent: list[tuple[bytes, bytes]], query: bytes) -> None:
    parameters = Parameters(sent, query)
    for option in ALL:
        value = parameters.get(option)
        assert "\0" not in value
        assert value.encode("utf-8").decode() == value.strip("\t\n\v\f\r ")
