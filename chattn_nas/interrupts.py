"""Signals that end a command as Ctrl-C does: a batch system's SIGTERM, and SIGHUP when the terminal is closed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def as_interrupt() -> Iterator[None]:
    """Turn such a signal into ``KeyboardInterrupt``, so that unfinished work is returned or cleaned up.

    Signals that are ignored, as under ``nohup``, stay ignored; only the main thread receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {one: signal.getsignal(one) for one in SIGNALS}
    heard = [one for one, handler in before.items() if handler is not signal.SIG_IGN]
    for one in heard:
        signal.signal(one, interrupt)
    try:
        yield
    finally:
        for one in heard:
            signal.signal(one, before[one])


def at_once() -> None:
    """From here on let such a signal end the process at once.

    A server has nothing to clean up, and wsgiref answers an exception raised inside a request and goes on."""
    for one in SIGNALS:
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, signal.SIG_DFL)
