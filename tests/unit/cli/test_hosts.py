"""Hosts of the configuration, looked up when the server starts."""

import ipaddress

import pytest

from gbe.cli.hosts import networks_of
from gbe.notify.config import NotifyConfig
from gbe.notify.visitors import Visitors


async def test_names_count_as_their_addresses_and_unknown_ones_are_said(caplog: pytest.LogCaptureFixture) -> None:
    unknown = "x" * 70  # longer than a name can be, so nobody is asked
    found = await networks_of(("10.0.0.0/8", " ::1 ", "localhost", unknown), "notify.proxy_trusted_hosts")
    assert ipaddress.ip_network("10.0.0.0/8") in found
    assert len(set(found)) == len(found)
    localhost = await networks_of(("localhost",), "notify.proxy_trusted_hosts")
    assert localhost
    assert all(network.is_loopback for network in localhost)
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"notify.proxy_trusted_hosts: host {unknown} is not known")


async def test_a_proxy_may_be_trusted_by_its_name() -> None:
    """It is skipped in the header, so that its clients do not share one bucket."""
    trusted = tuple(map(str, await networks_of(("localhost",), "notify.proxy_trusted_hosts")))
    visitors = Visitors(NotifyConfig(behind_proxy=True, proxy_trusted_hosts=trusted))
    proxy = trusted[0].partition("/")[0]
    headers = [(b"x-forwarded-for", b"198.51.100.7, " + proxy.encode())]
    assert visitors.address_of(("127.0.0.1", 1), headers) == "198.51.100.7"
