"""The ``tasks:`` section, which may be replaced while others hold it."""

import pickle

import pytest

from gbe.errors import ConfigError
from gbe.lifecycle.configured import Configured, Tables


def test_who_holds_it_sees_the_change_and_who_follows_is_told() -> None:
    """Of what is new, changed or gone, and of nothing else."""
    told: list[frozenset[str]] = []
    configured = Configured({"same": {"max_retries": 1}, "changed": {}, "gone": {}})
    configured.follow(lambda _tables: None, told.append)
    changed = configured.replace({"same": {"max_retries": 1}, "changed": {"paused": True}, "new": {}})
    assert told == [changed] == [{"changed", "gone", "new"}]
    assert dict(configured) == {"same": {"max_retries": 1}, "changed": {"paused": True}, "new": {}}
    assert configured.replace(dict(configured)) == frozenset()
    assert len(told) == 1


def test_what_one_cannot_use_nobody_gets() -> None:
    """Everything stays as it is."""
    told: list[frozenset[str]] = []

    def refuse(_tables: Tables) -> None:
        raise ConfigError("not here")

    configured = Configured({"one": {}})
    configured.follow(lambda _tables: None, told.append)
    configured.follow(refuse, told.append)
    with pytest.raises(ConfigError, match="not here"):
        configured.replace({})
    assert dict(configured) == {"one": {}}
    assert told == []


def test_it_travels_to_other_processes() -> None:
    """Without those who follow here."""
    configured = Configured({"one": {}})
    configured.follow(lambda _tables: None, lambda _names: None)
    assert dict(pickle.loads(pickle.dumps(configured))) == {"one": {}}  # noqa: S301  our own
