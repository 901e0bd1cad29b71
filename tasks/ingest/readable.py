"""Folders that their user has no right to read."""

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline_config.errors import DataError


@contextmanager
def readable() -> Iterator[None]:
    """Turn a refusal while folders are walked into a sentence.

    Raises:
        DataError: a folder may not be read.
    """
    try:
        yield
    except PermissionError as error:
        raise DataError(
            f"dataset.path: {error.filename} may not be read; give the right to read and open it (chmod u+rx), "
            "or give another --set dataset.path"
        ) from None
