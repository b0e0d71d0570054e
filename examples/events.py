"""A domain of events of one's own, and a handler for it.

1. gbe.yaml, in the directory where you start everything:

       streams:
         - name: orders
           subjects: ["orders.*"]
           max_age: 30d
       events:
         orders.placed: shop_events:OrderPlaced

2. gbe serve                        in one terminal, with PYTHONPATH=examples
3. gbe worker events:app            in another one, with PYTHONPATH=examples
4. curl -H 'Content-Type: application/json' localhost:8080/v1/events/orders.placed \
        -d '{"number": 17, "customer": "ann"}'
"""

from shop_events import OrderPlaced

import gbe

app = gbe.App()


@app.on("orders.placed", group="billing")
async def bill(event: OrderPlaced) -> None:
    """Write a bill, and say so to the auditors."""
    await app.events.audit.record("bill", actor="billing", action="bill", target=f"order/{event.number}")
