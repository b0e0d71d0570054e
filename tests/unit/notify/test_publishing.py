"""From a publish request to a notification."""

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.errors import NotifyError
from gbe.notify.config import NotifyConfig
from gbe.notify.parameters import Parameters
from gbe.notify.publishing import Publication, from_json, from_request, message_clear, message_delete
from gbe.schemas.notify import Attachment, Notification, decode, encode

NOW_MS = 1_790_000_000_123
NOW = 1_790_000_000
CONFIG = NotifyConfig(refuse_calls=True)
LIMIT = CONFIG.message_size_limit


def publish(body: bytes = b"", query: str = "", config: NotifyConfig = CONFIG, **headers: str) -> Publication:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return from_request("ops", Parameters(sent, query.encode()), body, config=config, now_ms=NOW_MS)


def published(body: bytes = b"", query: str = "", **headers: str) -> Notification:
    return publish(body, query, **headers).notification


def publish_json(document: object, **headers: str) -> Publication:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return from_json(body, Parameters(sent), config=CONFIG, now_ms=NOW_MS)


def test_the_example_of_the_specification() -> None:
    publication = publish(b"\n90 % full\n", title="=?UTF-8?B?RGlzayDwn5K+?=", priority="high", tags="warning, ,nas1")
    assert (publication.topic, publication.durable, publication.deliver_at) == ("ops", True, None)
    notification = publication.notification
    assert notification == Notification(
        v=1,
        ts=NOW_MS,
        id=notification.id,
        time=NOW,
        event="message",
        expires=NOW + 72 * 3600,
        title="Disk 💾",
        message="90 % full",
        priority=4,
        tags=("warning", "nas1"),
    )
    assert len(notification.id) == 12


class TestText:
    """What the body and the message option become."""

    @pytest.mark.parametrize("body", [b"", b"  \n", b"\x00"])
    def test_an_empty_message_becomes_triggered(self, body: bytes) -> None:
        assert published(body).message == "triggered"

    def test_a_body_of_blanks_still_beats_the_option(self) -> None:
        assert published(b" ", message="option").message == "triggered"

    def test_the_option_stands_in_for_an_empty_body(self) -> None:
        assert published(b"", message=r"one\ntwo").message == "one\ntwo"
        assert published(b"", query="m=one%5Cntwo").message == "one\ntwo"
        assert published(b"body", message="option").message == "body"

    def test_a_plain_body_keeps_backslash_n(self) -> None:
        assert published(rb"one\ntwo").message == r"one\ntwo"

    def test_nul_bytes_vanish(self) -> None:
        assert published(b"a\x00b").message == "ab"

    def test_one_byte_below_the_limit_is_text(self) -> None:
        assert published(b"x" * (LIMIT - 1)).message == "x" * (LIMIT - 1)

    @pytest.mark.parametrize("body", [b"x" * LIMIT, b"x" * (LIMIT + 1), b" " * LIMIT, b"\xff", b"\xc3"])
    def test_what_is_long_or_binary_would_be_an_upload(self, body: bytes) -> None:
        with pytest.raises(NotifyError, match="attachments not allowed; ") as caught:
            publish(body)
        assert caught.value.code == 40014

    def test_json_sent_to_a_topic_is_text(self) -> None:
        body = b'{"topic":"other","message":"x"}'
        assert published(body, content_type="application/json").message == body.decode()


class TestOptions:
    """Options beside the text."""

    def test_an_explicit_default_priority_is_kept(self) -> None:
        assert published(b"x", priority="3").priority == 3
        assert published(b"x").priority is None
        assert published(b"x", priority="u=3, i").priority is None

    def test_click_and_icon(self) -> None:
        notification = published(b"x", click="mailto:a@b", icon="https://x.net/i.png")
        assert (notification.click, notification.icon) == ("mailto:a@b", "https://x.net/i.png")

    @pytest.mark.parametrize(
        "headers",
        [
            {"markdown": "yes"},
            {"content_type": "text/markdown"},
            {"content_type": "Text/Markdown; charset=utf-8"},
        ],
    )
    def test_markdown(self, headers: dict[str, str]) -> None:
        assert published(b"*x*", **headers).content_type == "text/markdown"
        assert published(b"*x*", query="content_type=text/markdown").content_type == "text/markdown"

    def test_plain_text_has_no_content_type(self) -> None:
        assert published(b"x", markdown="si", content_type="text/plain").content_type is None

    def test_without_cache_only_live_subscribers_get_it(self) -> None:
        publication = publish(b"x", cache="no")
        assert (publication.durable, publication.notification.expires) == (False, None)

    def test_a_server_without_cache_stores_nothing(self) -> None:
        publication = publish(b"x", config=NotifyConfig(cache_duration=0))
        assert (publication.durable, publication.notification.expires) == (False, None)

    def test_firebase_is_accepted(self) -> None:
        assert publish(b"x", firebase="no").durable

    def test_actions(self) -> None:
        assert [action.label for action in published(b"x", actions="view, Open, https://x").actions] == ["Open"]

    def test_a_sequence_in_the_path_beats_the_option(self) -> None:
        parameters = Parameters([(b"x-sequence-id", b"option")])
        path = from_request("ops", parameters, b"x", config=CONFIG, now_ms=NOW_MS, sequence_from_path="path")
        option = from_request("ops", parameters, b"x", config=CONFIG, now_ms=NOW_MS)
        assert (path.notification.sequence_id, option.notification.sequence_id) == ("path", "option")

    def test_title_and_tags_may_be_as_long_as_the_limit(self) -> None:
        assert published(b"x", title="ä" * 512).title == "ä" * 512
        assert published(b"x", tags="a" * 512).tags == ("a" * 512,)

    def test_a_delay_moves_the_time_and_the_expiry(self) -> None:
        publication = publish(b"x", delay="1h", config=NotifyConfig(message_delay_limit=7200.0))
        assert publication.deliver_at == NOW_MS + 3_600_000
        assert (publication.notification.ts, publication.notification.time) == (NOW_MS, NOW + 3600)
        assert publication.notification.expires == NOW + 3600 + 72 * 3600

    def test_a_poll_request_carries_nothing_but_its_id(self) -> None:
        publication = publish(b"\xff" * 9000, poll_id="q3XbT0fKm2Lz", title="t", sid="s")
        notification = publication.notification
        assert not publication.durable
        assert notification == Notification(
            v=1,
            ts=NOW_MS,
            id=notification.id,
            time=NOW,
            event="poll_request",
            message="New message",
            poll_id="q3XbT0fKm2Lz",
        )


class TestUnifiedPush:
    """Bodies that are kept byte for byte."""

    def test_text_is_not_trimmed(self) -> None:
        notification = published(b" a\n", query="up=1")
        assert (notification.message, notification.encoding) == (" a\n", None)

    def test_binary_is_base64(self) -> None:
        notification = published(b"\x00\xff", content_encoding="aes128gcm")
        assert (notification.message, notification.encoding) == ("AP8=", "base64")

    def test_an_external_attachment_goes_along(self) -> None:
        notification = published(b" a ", query="up=1", attach="https://x.net/b")
        assert notification.message == " a "
        assert notification.attachment == Attachment(name="b", url="https://x.net/b")

    def test_a_long_body_is_cut_silently(self) -> None:
        assert published(b"x" * 9000, query="up=1").message == "x" * LIMIT

    @given(st.binary(max_size=LIMIT))
    def test_every_body_comes_out_as_it_went_in(self, body: bytes) -> None:
        notification = published(body, query="up=1")
        message = notification.message or ""
        kept = base64.b64decode(message) if notification.encoding else message.encode()
        assert kept == (body or b"triggered")


class TestExternalAttachment:
    """Nothing is downloaded; the URL and a name are passed on."""

    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("https://x.net/a/report.pdf", "report.pdf"),
            ("https://x.net/a/report.pdf?v=1#top", "report.pdf"),
            ("https://x.net/a%20b.txt", "a b.txt"),
            ("https://x.net/a/", "a"),
            ("https://x.net/a%0Ab", "a b"),
            ("https://x.net", "attachment"),
            ("https://x.net/", "attachment"),
            ("https://x.net?q=/a.txt", "attachment"),
            ("http://[x/..", "attachment"),
        ],
    )
    def test_the_name_is_the_last_segment_of_the_path(self, url: str, name: str) -> None:
        notification = published(b"", attach=url)
        assert notification.attachment == Attachment(name=name, url=url)
        assert notification.message == f"You received a file: {name}"

    def test_the_file_name_option_wins(self) -> None:
        assert published(b"text", attach="https://x.net/a", filename="b").attachment == Attachment(
            name="b", url="https://x.net/a"
        )

    def test_the_body_is_the_text_and_is_cut(self) -> None:
        assert published(b" text ", attach="https://x.net/a").message == "text"
        assert published(b"x" * 9000, attach="https://x.net/a").message == "x" * LIMIT
        assert published(b"", attach="https://x.net/a", message="caption").message == "caption"

    @pytest.mark.parametrize("body", [b"x" + "ä".encode() * LIMIT, (b"x" + "ä".encode() * LIMIT)[:LIMIT]])
    def test_a_character_that_the_limit_splits_is_dropped(self, body: bytes) -> None:
        assert published(body, attach="https://x.net/a").message == "x" + "ä" * (LIMIT // 2 - 1)

    @pytest.mark.parametrize("body", [b"\xff", b"a\xc3", b"\xff" * 9000])
    def test_a_binary_body_is_refused(self, body: bytes) -> None:
        with pytest.raises(NotifyError) as caught:
            publish(body, attach="https://x.net/a")
        assert caught.value.code == 40011


# each step of the order of the checks (section 4.2) with a request that fails there; later ones may fail too
_FAILURES: list[tuple[int, dict[str, str]]] = [
    (40049, {"sid": "not ok"}),
    (40057, {"title": "x" * 1025}),
    (40013, {"attach": "ftp://x"}),
    (40021, {"icon": "x.png"}),
    (40050, {"email": "not an address"}),
    (40032, {"call": "+49123"}),
    (40007, {"priority": "0"}),
    (40058, {"tags": "x" * 513}),
    (40004, {"delay": "whenever"}),
    (40018, {"actions": "nothing"}),
]


class TestRefusals:
    """What is refused, and which of two refusals is shown."""

    @pytest.mark.parametrize(
        ("code", "headers"),
        [
            *_FAILURES,
            (40057, {"title": "ä" * 513}),
            (40058, {"tags": "ä," * 300}),
            (40001, {"email": "ann@example.net"}),
            (40001, {"email": "yes"}),
            (40050, {"email": "a@b,c@d"}),
            (40032, {"call": "yes"}),
            (40002, {"delay": "1h", "cache": "no"}),
            (40002, {"delay": "whenever", "cache": "no"}),
            (40005, {"delay": "5s"}),
            (40006, {"delay": "4 days"}),
            (40014, {"filename": "a.txt"}),
            (40045, {"template": "yes"}),
            (40045, {"template": "no"}),
        ],
    )
    def test_each_with_its_code(self, code: int, headers: dict[str, str]) -> None:
        with pytest.raises(NotifyError) as caught:
            publish(b"x", **headers)
        assert caught.value.code == code

    @pytest.mark.parametrize("first", range(len(_FAILURES)))
    def test_the_earlier_check_decides(self, first: int) -> None:
        headers: dict[str, str] = {}
        for _, wrong in _FAILURES[first:]:
            headers |= wrong
        with pytest.raises(NotifyError) as caught:
            publish(b"\xff", **headers)
        assert caught.value.code == _FAILURES[first][0]

    def test_a_reserved_topic_comes_first(self) -> None:
        with pytest.raises(NotifyError) as caught:
            from_request("docs", Parameters([(b"sid", b"not ok")]), b"", config=CONFIG, now_ms=NOW_MS)
        assert caught.value.code == 40010

    def test_with_a_template_the_priority_may_be_one_too(self) -> None:
        with pytest.raises(NotifyError) as caught:
            publish(b"{}", template="yes", priority="{{.p}}")
        assert caught.value.code == 40045

    @pytest.mark.parametrize(
        ("headers", "detail"),
        [
            ({"email": "a@b"}, "; this server sends no e-mail"),
            ({"call": "yes"}, "; this server makes no calls"),
            ({"filename": "a"}, "; a file name was given, but this server stores no files"),
            ({"template": "1"}, "; no template was applied"),
        ],
    )
    def test_what_this_server_cannot_do_is_said(self, headers: dict[str, str], detail: str) -> None:
        with pytest.raises(NotifyError) as caught:
            publish(b"x", **headers)
        assert caught.value.message.endswith(detail)


class TestJson:
    """Publishing as JSON."""

    def test_the_example_of_the_specification(self) -> None:
        publication = publish_json(
            {
                "topic": "ops",
                "title": "Build",
                "message": "green",
                "priority": 4,
                "tags": ["tada"],
                "actions": [{"action": "view", "label": "Log", "url": "https://ci.example.net/7"}],
            }
        )
        notification = publication.notification
        assert publication.topic == "ops"
        assert (notification.title, notification.message, notification.priority, notification.tags) == (
            "Build",
            "green",
            4,
            ("tada",),
        )
        assert notification.actions[0].url == "https://ci.example.net/7"

    def test_null_is_absent_everywhere(self) -> None:
        keys = "message title click icon attach filename email call delay sequence_id priority tags actions"
        document: dict[str, object] = dict.fromkeys([*keys.split(), "markdown", "cache", "firebase"])
        assert publish_json(document | {"topic": "ops"}).notification.message == "triggered"

    def test_the_message_is_taken_literally(self) -> None:
        assert publish_json({"topic": "ops", "message": r"a\nb"}).notification.message == r"a\nb"

    def test_an_absent_message_is_triggered_even_with_an_attachment(self) -> None:
        notification = publish_json({"topic": "ops", "attach": "https://x.net/a"}).notification
        assert notification.message == "triggered"
        assert notification.attachment == Attachment(name="a", url="https://x.net/a")

    def test_keys_ignore_case_and_unknown_ones_are_ignored(self) -> None:
        notification = publish_json({"Topic": "ops", "TITLE": "t", "x": {"y": [1.5]}}).notification
        assert notification.title == "t"

    def test_what_follows_the_first_value_is_ignored(self) -> None:
        assert publish_json(b' \n{"topic":"ops","message":"a"} {"topic":').notification.message == "a"

    def test_a_comma_in_a_tag_makes_two(self) -> None:
        assert publish_json({"topic": "ops", "tags": ["a,b", " c ", None]}).notification.tags == ("a", "b", "c")

    def test_values_act_as_headers_and_other_headers_still_apply(self) -> None:
        notification = publish_json(
            {"topic": "ops", "title": "=?utf-8?q?=C3=A4?=", "click": ""}, title="old", click="kept"
        ).notification
        assert (notification.title, notification.click) == ("ä", "kept")

    def test_booleans_and_strings(self) -> None:
        publication = publish_json({"topic": "ops", "markdown": True, "cache": "no", "firebase": "no"})
        assert publication.notification.content_type == "text/markdown"
        assert not publication.durable

    def test_priority_zero_is_unset(self) -> None:
        assert publish_json({"topic": "ops", "priority": 0}).notification.priority is None

    def test_invalid_utf8_and_lone_surrogates_become_replacement_characters(self) -> None:
        assert publish_json(b'{"topic":"ops","message":"a\xff"}').notification.message == "a\ufffd"
        assert publish_json(b'{"topic":"ops","title":"\\ud83d!\\u0000"}').notification.title == "\ufffd!"

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"hello",
            b"{",
            b"[]",
            b'"ops"',
            b"\xef\xbb\xbf{}",
            b'{"topic":"ops","x":NaN}',
            b'{"topic":"ops","x":' + b"[" * 8000,
            b'{"topic":"ops","priority":' + b"9" * 8000 + b"}",
            b'{"topic":1}',
            b'{"topic":"ops","message":1}',
            b'{"topic":"ops","priority":"high"}',
            b'{"topic":"ops","priority":3.0}',
            b'{"topic":"ops","priority":true}',
            b'{"topic":"ops","tags":"a,b"}',
            b'{"topic":"ops","tags":[1]}',
            b'{"topic":"ops","actions":"view, a, b"}',
            b'{"topic":"ops","actions":[1]}',
            b'{"topic":"ops","actions":[{"action":"view","clear":"yes"}]}',
            b'{"topic":"ops","markdown":"yes"}',
            b'{"topic":"ops","cache":false}',
            b'{"topic":"ops","firebase":true}',
        ],
    )
    def test_what_is_not_json_or_of_the_wrong_type(self, body: bytes) -> None:
        with pytest.raises(NotifyError) as caught:
            publish_json(body)
        assert caught.value.code == 40024

    @pytest.mark.parametrize(
        ("document", "code"),
        [
            (None, 40009),
            ({}, 40009),
            ({"topic": None}, 40009),
            ({"topic": "a b"}, 40009),
            ({"topic": "a,b"}, 40009),
            ({"topic": "docs"}, 40010),
            ({"topic": "ops", "priority": 6}, 40007),
            ({"topic": "ops", "priority": -1}, 40007),
            ({"topic": "ops", "filename": "a.txt"}, 40014),
            ({"topic": "ops", "message": "x" * LIMIT}, 40014),
            ({"topic": "ops", "message": "x" * 2 * LIMIT}, 41303),
            ({"topic": "ops", "actions": [{"action": "view"}]}, 40018),
        ],
    )
    def test_other_refusals(self, document: object, code: int) -> None:
        with pytest.raises(NotifyError) as caught:
            publish_json(document)
        assert caught.value.code == code

    def test_twice_the_limit_is_too_large(self) -> None:
        start = b'{"topic":"ops"}'
        assert publish_json(start.ljust(2 * LIMIT - 1)).notification.message == "triggered"
        with pytest.raises(NotifyError) as caught:
            publish_json(start.ljust(2 * LIMIT))
        assert caught.value.code == 41303

    @given(st.binary(max_size=100))
    def test_no_body_raises_anything_but_an_error_of_the_interface(self, body: bytes) -> None:
        for start in (b"", b'{"topic":"ops","actions":[{', b'{"topic":"ops","tags":'):
            with contextlib.suppress(NotifyError):
                publish_json(start + body)


@pytest.mark.parametrize(("build", "event"), [(message_clear, "message_clear"), (message_delete, "message_delete")])
def test_clearing_and_deleting_carry_only_the_sequence(build: object, event: str) -> None:
    assert callable(build)
    publication: Publication = build("ops", "dl-7", config=CONFIG, now_ms=NOW_MS)
    notification = publication.notification
    assert publication.durable
    assert notification == Notification(
        v=1,
        ts=NOW_MS,
        id=notification.id,
        time=NOW,
        event=event,
        expires=NOW + 72 * 3600,
        sequence_id="dl-7",
    )
    with pytest.raises(NotifyError) as caught:
        build("ops", "not ok", config=CONFIG, now_ms=NOW_MS)
    assert caught.value.code == 40049


_names = st.sampled_from(
    ["title", "priority", "tags", "click", "icon", "actions", "attach", "markdown", "cache", "up", "sid", "message"]
)


@given(
    st.binary(max_size=60),
    st.dictionaries(_names, st.binary(max_size=40) | st.sampled_from([b"=?utf-8?b?AAEK?=", b"1", b"https://x"])),
)
def test_every_request_is_refused_or_becomes_a_payload_that_reads_back(body: bytes, sent: dict[str, bytes]) -> None:
    headers = [(name.encode(), value) for name, value in sent.items()]
    try:
        notification = from_request("ops", Parameters(headers), body, config=CONFIG, now_ms=NOW_MS).notification
    except NotifyError:
        return
    assert decode(encode(notification)) == notification
    assert notification.message
    assert b"\\u0000" not in encode(notification)
