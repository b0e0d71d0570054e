"""Credentials that a class of somebody else provides."""

import sys
from types import SimpleNamespace

import pytest
from redis.credentials import CredentialProvider, UsernamePasswordCredentialProvider

from gbe.errors import ConfigError
from gbe.redis.credentials import load_provider

SECRET = "hunter2"


class Provider(UsernamePasswordCredentialProvider):
    """One that needs no arguments."""

    def __init__(self) -> None:
        super().__init__("gbe", SECRET)


class Outer:
    """A place with a name of two parts."""

    provider = Provider()


made = Provider()


@pytest.mark.parametrize("attribute", ["made", "Provider", "Outer.provider"])
def test_a_provider_is_an_object_or_what_makes_one(attribute: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(made=made, Provider=Provider, Outer=Outer)
    monkeypatch.setitem(sys.modules, "providers_of_this_test", module)
    provider = load_provider(f"providers_of_this_test:{attribute}")
    assert isinstance(provider, CredentialProvider)
    assert provider.get_credentials() == ("gbe", SECRET)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("name", ["no_such_module:x", "gbe.redis.config:NoSuchThing", "gbe.redis.topology:Topology"])
def test_a_provider_that_is_none_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load_provider(name)
