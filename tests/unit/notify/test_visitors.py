"""Who is calling, and where it is counted."""

from pathlib import Path

import pytest

from gbe.errors import NotifyError
from gbe.notify.config import NotifyConfig
from gbe.notify.ledger import SharedLedger
from gbe.notify.visitors import Visitors


def test_workers_share_a_ledger_that_is_still_empty(tmp_path: Path) -> None:
    """An empty table is a table: two workers grant a visitor one burst together."""
    SharedLedger.create(tmp_path / "ledger", workers=2)
    config = NotifyConfig(visitor_request_limit_burst=4, visitor_request_limit_replenish=3600)
    workers = [Visitors(config, (), SharedLedger(tmp_path / "ledger", worker=n, workers=2)) for n in range(2)]
    for number in range(4):
        workers[number % 2].of_request(("192.0.2.1", 1), []).take_request()
    for visitors in workers:
        with pytest.raises(NotifyError) as caught:
            visitors.of_request(("192.0.2.1", 1), []).take_request()
        assert caught.value.code == 42901
        assert len(visitors) == 1
