"""An engine that answers and has no room: clients are told so, and not that nobody answers."""

from pathlib import Path

import httpx
import pytest
from tests.deployments import RedisBoth, deployed

from gbe.errors import StateFullError, TransportFullError
from gbe.http.app import build_application

pytestmark = pytest.mark.fault

EVENT = {"actor": "ann", "action": "update", "target": "invoice/17"}


async def _work() -> None:
    """Nobody runs it."""


async def test_a_full_redis_is_said_to_be_full(tmp_path: Path) -> None:
    """In every vocabulary: errors, tasks, events and ntfy's. What is read still answers, and room ends it."""
    with RedisBoth(tmp_path) as engine:
        assert isinstance(engine, RedisBoth)
        async with deployed(engine, tmp_path) as deployment:
            app = await deployment.app()
            app.task("work")(_work)
            tasks = await app.client()
            backend = tasks.backend
            await tasks.types.announce(["work"])
            application = build_application(backend.transport, namespace=deployment.namespace, tasks=tasks)
            asgi = httpx.ASGITransport(application, client=("127.0.0.1", 1))  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=asgi, base_url="http://gbe", timeout=60) as http:
                engine.process.call("CONFIG", "SET", "maxmemory", 1)
                with pytest.raises(StateFullError, match="OOM"):
                    await backend.state.put("gbe.a", {"n": b"1"})
                with pytest.raises(TransportFullError, match="OOM"):
                    await backend.transport.publish(f"{deployment.namespace}.events.audit.change", b"{}")
                for path, body in (("/v1/tasks", {"type": "work"}), ("/v1/events/events.audit.change", EVENT)):
                    refused = await http.post(path, json=body)
                    assert (refused.status_code, "no room" in refused.text) == (503, True), refused.text
                    assert "does not answer" not in refused.text
                noted = await http.post("/topic", content=b"hello")
                assert (noted.json()["code"], "no room" in noted.json()["error"]) == (50301, True)
                assert (await http.get("/v1/tasks")).status_code == 200
                engine.process.call("CONFIG", "SET", "maxmemory", 0)
                assert (await http.post("/v1/tasks", json={"type": "work"})).status_code == 201
            await application.close()
