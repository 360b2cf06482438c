"""Signals that end a command as Ctrl-C does: a batch system's SIGTERM, and SIGHUP of a terminal that is closed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def as_interrupt() -> Iterator[None]:
    """Inside, such a signal raises ``KeyboardInterrupt``, so that all that is half done is given back or cleared away.

    One that is ignored, as ``nohup`` asks for, stays so; threads other than the main one get no signals.
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
    """From here on such a signal ends the process: what only serves has nothing to clear away, and of an exception
    that comes while it answers, wsgiref makes an answer and goes on."""
    for one in SIGNALS:
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, signal.SIG_DFL)
