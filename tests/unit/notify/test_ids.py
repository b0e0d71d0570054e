"""Message ids and the transport ids that belong to them."""

import itertools
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.ids import is_ulid, ulid_time_ms
from gbe.notify.ids import from_ulid, mint, random_alphanumerics, to_ulid

NOW_MS = 1_790_000_000_000
YEAR_2020_MS = 1_577_836_800_000
DAY_MS = 86_400_000

moments = st.integers(YEAR_2020_MS, 62**7 - 1 - DAY_MS)


@given(moments)
def test_an_id_has_twelve_alphanumerics_and_leads_to_a_ulid_and_back(now_ms: int) -> None:
    message_id = mint(now_ms)
    assert re.fullmatch(r"[A-Za-z0-9]{12}", message_id)
    ulid = to_ulid(message_id, now_ms)
    assert ulid is not None
    assert is_ulid(ulid)
    assert ulid_time_ms(ulid) == now_ms
    assert from_ulid(ulid) == message_id


def test_no_id_is_minted_twice_within_a_millisecond() -> None:
    assert len({mint(NOW_MS) for _ in range(200_000)}) == 200_000


def test_ids_of_one_millisecond_do_not_look_alike() -> None:
    """At most places, neighbours differ: in 12 characters two random ids agree at 0.2 places on average."""
    ids = [mint(NOW_MS + step // 10) for step in range(2_000)]
    agreements = [sum(a == b for a, b in zip(one, other, strict=True)) for one, other in itertools.pairwise(ids)]
    assert sum(agreements) / len(agreements) < 0.4
    assert ids != sorted(ids)


def test_transport_ids_sort_by_time() -> None:
    ulids = [to_ulid(mint(NOW_MS + step), NOW_MS) or "" for step in range(100)]
    assert ulids == sorted(ulids)
    assert all(ulids)


@pytest.mark.parametrize("text", ["", "short", "x" * 13, "abc-def_ghij", "äbcdefghijkl", "abcdefghijk\n"])
def test_what_is_no_message_id_has_no_transport_id(text: str) -> None:
    assert to_ulid(text, NOW_MS) is None


@pytest.mark.parametrize(
    ("minted_ms", "plausible"),
    [
        (YEAR_2020_MS - 1, False),
        (YEAR_2020_MS, True),
        (NOW_MS + DAY_MS, True),
        (NOW_MS + DAY_MS + 1, False),
    ],
)
def test_an_implausible_time_marks_a_foreign_id(minted_ms: int, plausible: bool) -> None:
    assert (to_ulid(mint(minted_ms), NOW_MS) is not None) is plausible


@given(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", min_size=12, max_size=12))
def test_any_twelve_alphanumerics_are_answered_and_reversible(message_id: str) -> None:
    ulid = to_ulid(message_id, 62**7)
    if ulid is not None:
        assert from_ulid(ulid) == message_id


@pytest.mark.parametrize("text", ["", "01M3250V00QHRJRTRNGXW03WZ0", "not a ulid", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"])
def test_a_foreign_ulid_has_no_message_id(text: str) -> None:
    assert from_ulid(text) is None


@pytest.mark.parametrize("now_ms", [-1, 62**7])
def test_a_time_that_does_not_fit_is_refused(now_ms: int) -> None:
    with pytest.raises(ValueError, match="1970 to 2081"):
        mint(now_ms)


_FORKING = """
import os
from gbe.notify.ids import mint

reading, writing = os.pipe()
if os.fork() == 0:
    os.write(writing, ",".join(mint(1) for _ in range(100)).encode())
    os._exit(0)
ours = {mint(1) for _ in range(100)}
os.wait()
theirs = os.read(reading, 65536).decode().split(",")
assert len(theirs) == 100
assert not ours.intersection(theirs)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform cannot fork")
def test_a_forked_process_mints_other_ids() -> None:
    """Forked from a process of its own, as this one may run threads."""
    subprocess.run([sys.executable, "-c", _FORKING], check=True)


def test_random_alphanumerics() -> None:
    drawn = {random_alphanumerics(10) for _ in range(1_000)}
    assert len(drawn) == 1_000
    assert all(re.fullmatch(r"[A-Za-z0-9]{10}", text) for text in drawn)
    assert len(set("".join(drawn))) == 62
