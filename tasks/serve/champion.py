"""Which model answers now: the one that an alias points at, looked up again before every use."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from tasks.reasons import reason

Model = TypeVar("Model")

LOOK_EVERY = 1.0
"""Seconds; within them the alias is not looked up again, however many ask."""
_TRY_AGAIN = 60.0  # seconds until a version that could not be opened is tried again


class Champion(Generic[Model]):
    """The latest model that could be opened; one that cannot leaves the one before it serving.

    Attributes:
        problem: why the version that the alias points at does not answer, in a sentence; empty while it does.
    """

    def __init__(
        self, find: Callable[[], str], open_model: Callable[[str], Model], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Open the first one, which may raise.

        Args:
            find: gives the URI of the version that the alias points at.
            open_model: opens the model of a URI.
            clock: seconds.
        """
        self._find, self._open, self._clock = find, open_model, clock
        self._lock = threading.Lock()
        self._uri = find()
        self._model = open_model(self._uri)
        self._looked, self._refused, self._refused_at = clock(), "", clock()
        self.problem = ""

    def current(self) -> Model:
        """The model that answers now; whoever asks while another caller opens a new one gets the one before it."""
        if self._clock() - self._looked >= LOOK_EVERY and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._looked = self._clock()
                self._lock.release()
        return self._model

    def _look(self) -> None:
        try:
            found = self._find()
        except Exception as error:  # the store's, whatever it is, must not stop what answers
            self.problem = f"The registry cannot be asked; {self._uri} still answers. {reason(error)}"
            return
        if found == self._uri:
            self.problem, self._refused = "", ""
        elif found != self._refused or self._clock() - self._refused_at >= _TRY_AGAIN:
            self._switch(found)

    def _switch(self, uri: str) -> None:
        try:
            self._model = self._open(uri)
        except Exception as error:  # broken files have errors of their own
            self._refused, self._refused_at = uri, self._clock()
            self.problem = f"{uri} was chosen but cannot be used; {self._uri} still answers. {reason(error)}"
            return
        self._uri, self.problem, self._refused = uri, "", ""
