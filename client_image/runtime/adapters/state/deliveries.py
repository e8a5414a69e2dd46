"""Implements the engine's Deliveries: watermarks, and the deliveries that wait for a receipt. One of each a subject and action.

What is awaited here is on disk when the await returns. A watermark moves in the transaction that ends its delivery.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from contracts.bounded import MAX_BYTES
from runtime.adapters.state.codec import dumps, loads
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import deliveries, watermarks
from runtime.domain.deliveries import Delivery, Parcel
from runtime.domain.model import Host
from runtime.domain.ports import Clock


class SqlDeliveries:
    """All methods raise StateUnavailable."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state, self._clock = state, clock

    async def load(self, host: Host, action: str) -> tuple[str, Delivery | None]:
        with self._state.read() as connection:
            value = connection.scalar(
                select(watermarks.c.value).where(_of_subject(watermarks, host.network, host.name, action))
            )
            row = connection.execute(
                select(deliveries).where(_of_subject(deliveries, host.network, host.name, action))
            ).first()
        return value or "", None if row is None else _delivery(row)

    async def begin(self, delivery: Delivery) -> None:
        """Raises RuntimeError when another delivery still waits for its receipt: its rows would be left out."""
        values: dict[str, Any] = {
            "network": delivery.network,
            "subject": delivery.subject,
            "action": delivery.action,
            "stage": delivery.stage,
            "run_id": delivery.run_id,
            "watermark": delivery.watermark,
            "parcels": dumps(delivery.parcels),
            "begun_at": self._clock.now(),
        }
        if len(values["parcels"]) > MAX_BYTES:
            raise ValueError(f"{delivery.stage}: {len(values['parcels'])} bytes are too many for one delivery")

        def work(connection: Connection) -> None:
            row = connection.execute(select(deliveries).where(_of_delivery(deliveries, delivery))).first()
            if row is None:
                connection.execute(insert(deliveries), values)
            elif _delivery(row).parcels != delivery.parcels:
                raise RuntimeError(
                    f"a delivery of {delivery.action} from {delivery.subject} still waits for its receipt"
                )

        await self._state.awrite(work)

    async def withdraw(self, delivery: Delivery) -> None:
        await self._state.awrite(lambda connection: _end(connection, delivery))

    async def acknowledge(self, delivery: Delivery) -> None:
        values = {
            "network": delivery.network,
            "subject": delivery.subject,
            "action": delivery.action,
            "value": delivery.watermark,
            "moved_at": self._clock.now(),
        }
        moved = upsert(watermarks).values(values)
        moved = moved.on_conflict_do_update(
            index_elements=[watermarks.c.network, watermarks.c.subject, watermarks.c.action],
            set_={"value": moved.excluded.value, "moved_at": moved.excluded.moved_at},
        )

        def work(connection: Connection) -> None:
            _end(connection, delivery)
            connection.execute(moved)

        await self._state.awrite(work)


def _end(connection: Connection, delivery: Delivery) -> None:
    """Raises RuntimeError when the delivery is not open: then its watermark is not ours to move."""
    if not connection.execute(delete(deliveries).where(_of_delivery(deliveries, delivery))).rowcount:
        raise RuntimeError(f"no delivery of {delivery.action} from {delivery.subject} waits for a receipt")


def _of_delivery(table: Table, delivery: Delivery) -> ColumnElement[bool]:
    return _of_subject(table, delivery.network, delivery.subject, delivery.action)


def _of_subject(table: Table, network: str, subject: str, action: str) -> ColumnElement[bool]:
    return and_(table.c.network == network, table.c.subject == subject, table.c.action == action)


def _delivery(row: Any) -> Delivery:
    parcels = tuple(Parcel(**parcel) for parcel in loads(row.parcels) or ())
    if not parcels:  # without this its watermark would move past rows that nobody has
        raise ValueError(f"the rows of a delivery of {row.action} from {row.subject} cannot be read")
    return Delivery(row.network, row.subject, row.action, row.stage, row.run_id, row.watermark, parcels)
