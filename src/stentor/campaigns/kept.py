"""Values kept in memory up to a total size."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Kept(Generic[K, V]):
    """The lately used values, together at most `size_max`; a single one that is larger is kept alone."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._size = 0

    def get(self, key: K) -> V | None:
        """The value, which counts as used now; None when it is not kept."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keeps the value, and lets go what was not used for longest where it is too much."""
        _, replaced = self._values.pop(key, (None, 0))
        self._values[key] = value, size
        self._size += size - replaced
        while self._size > self._size_max and len(self._values) > 1:
            _, (_, freed) = self._values.popitem(last=False)
            self._size -= freed
