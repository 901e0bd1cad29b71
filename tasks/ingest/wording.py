"""Many names in one sentence."""

from collections.abc import Iterable

_MOST = 50


def name_them(names: Iterable[object], most: int = _MOST) -> str:
    """`a, b, c`, and from the `most`-th on only how many more there are."""
    texts = [str(name) for name in names]
    more = [f"and {len(texts) - most:,} more"] if len(texts) > most else []
    return ", ".join(texts[:most] + more)
