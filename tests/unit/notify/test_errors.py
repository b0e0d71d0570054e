"""The error table."""

import pytest

from gbe.notify.errors import Refusal


@pytest.mark.parametrize(
    ("refusal", "code", "http", "text", "link"),
    [
        (Refusal.PRIORITY_INVALID, 40007, 400, "invalid priority parameter", "publish/#message-priority"),
        (Refusal.ACTIONS_INVALID, 40018, 400, "invalid request: actions invalid", "publish/#action-buttons"),
        (Refusal.FORBIDDEN, 40301, 403, "forbidden", "publish/#authentication"),
        (Refusal.NOT_FOUND, 40401, 404, "page not found", ""),
        (Refusal.JSON_TOO_LARGE, 41303, 413, "JSON body too large", ""),
        (
            Refusal.TOO_MANY_REQUESTS,
            42901,
            429,
            "limit reached: too many requests",
            "publish/#limitations",
        ),
        (Refusal.BASE_URL_MISSING, 50003, 500, "base-url must be configured for this feature", "config/"),
    ],
)
def test_an_error_carries_the_row_of_the_table(refusal: Refusal, code: int, http: int, text: str, link: str) -> None:
    error = refusal.error()
    assert (error.code, error.http, error.message) == (code, http, text)
    assert error.link == (f"https://ntfy.sh/docs/{link}" if link else "")


def test_a_detail_follows_after_a_semicolon() -> None:
    assert Refusal.ACTIONS_INVALID.error("only 3 actions allowed").message == (
        "invalid request: actions invalid; only 3 actions allowed"
    )


def test_every_code_stands_once_and_the_unused_ones_do_not() -> None:
    codes = [refusal.code for refusal in Refusal]
    assert len(codes) == len(set(codes)) == len(Refusal.__members__)
    assert codes == sorted(codes)
    assert not {40012, 40020} & set(codes)


def test_every_status_is_one_that_the_interface_uses() -> None:
    assert {refusal.error().http for refusal in Refusal} == {
        400,
        401,
        403,
        404,
        409,
        410,
        413,
        429,
        500,
        507,
    }
