"""A Ctrl-C that was lost is raised again.

Python raises KeyboardInterrupt wherever the main thread is. Where that is a finalizer, or a function that native code
calls, the exception is dropped there, and a training would go on for hours.
"""

import signal
import threading
from types import FrameType

_asked = threading.Event()


def note_interrupts() -> None:
    """From here on an interrupt is remembered, and raised as ever; in the main thread alone, where signals arrive."""
    if threading.current_thread() is threading.main_thread():
        _asked.clear()
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _asked.set()
    signal.default_int_handler(number, frame)


def raise_lost_interrupt() -> None:
    """Called now and then by what takes long.

    Raises:
        KeyboardInterrupt: one was asked for, and did not get through.
    """
    if _asked.is_set():
        raise KeyboardInterrupt
