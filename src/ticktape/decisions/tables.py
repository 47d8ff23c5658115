"""A strategy's journal as rows of the table `decisions`; nothing here runs a strategy."""

from collections.abc import Iterable

import pyarrow as pa

from ticktape.decisions.log import HasEntries, decision_records
from ticktape.schemas import KINDS


class DecisionTables:
    """Makes rows of the decisions that a strategy's journal holds."""

    def __init__(self, decision: str) -> None:
        self._decision = decision

    def tables(self, blocks: Iterable[HasEntries]) -> dict[str, pa.Table]:
        """Kind -> rows; {} when the blocks hold no decision."""
        records = [record for block in blocks for record in decision_records(self._decision, block)]
        if not records:
            return {}
        schema = KINDS["decisions"]
        columns = [
            pa.array([getattr(record, name) for record in records], schema.field(name).type)
            for name in schema.names
        ]
        return {"decisions": pa.Table.from_arrays(columns, schema=schema)}
