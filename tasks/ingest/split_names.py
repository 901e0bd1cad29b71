"""What people call the splits of a data set."""

_SYNONYMS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
EXPECTED = ", ".join(_SYNONYMS)


def split_called(name: str) -> str | None:
    """train, validation or test for a name in any case, as `Val` or `TESTING`; None for any other name."""
    return _SYNONYMS.get(name.strip().lower())
