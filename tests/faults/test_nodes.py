"""``chaos.nodes``, small: two nodes on a cluster, one killed, and a server of the engine too."""

from argparse import Namespace

import pytest
from chaos.nodes import run

pytestmark = pytest.mark.fault


@pytest.mark.timeout(240)
@pytest.mark.parametrize("engine", ["nats", "redis"])
async def test_clients_of_two_nodes_miss_nothing_when_one_is_killed_and_a_server_of_the_engine_too(engine: str) -> None:
    arguments = Namespace(seed=7, topics=8, followers=24, messages=400, rate=80.0, node_kills=1, engine_kills=1)
    books = await run(arguments, engine)
    assert books.violations == []
    assert books.count == 400
    assert books.faults == {"node": 1, "engine": 1}
    assert books.hung_up > 0
