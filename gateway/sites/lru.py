"""A dictionary that drops the least recently used entries when it holds too much."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LeastRecentlyUsed(Generic[K, V]):
    """Limits the number of entries and the sum of their costs. An entry that costs more than the limit is not kept."""

    def __init__(self, max_entries: int, max_cost: int | None = None) -> None:
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._max_entries = max_entries
        self._max_cost = max_cost
        self.cost = 0

    def get(self, key: K) -> V | None:
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, cost: int = 0) -> None:
        self.pop(key)
        if self._max_cost is not None and cost > self._max_cost:
            return
        self._entries[key] = (value, cost)
        self.cost += cost
        while len(self._entries) > self._max_entries or (self._max_cost is not None and self.cost > self._max_cost):
            _, (_, freed) = self._entries.popitem(last=False)
            self.cost -= freed

    def pop(self, key: K) -> None:
        _, cost = self._entries.pop(key, (None, 0))
        self.cost -= cost

    def clear(self) -> None:
        self._entries.clear()
        self.cost = 0

    def values(self) -> Iterator[V]:
        return (value for value, _ in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)
