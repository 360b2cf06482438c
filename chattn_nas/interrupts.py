"""Signals that end a command as Ctrl-C does: a batch system's SIGTERM, and SIGHUP when the terminal is closed."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def as_interrupt() -> Iterator[None]:
    """Turn such a signal into ``KeyboardInterrupt``, so that unfinished work is returned or cleaned up.

    Python drops an exception that is raised in a destructor or in a callback of C: such an interrupt is sent again.
    Signals that are ignored, as under ``nohup``, stay ignored; only the main thread receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def dropped(what: sys.UnraisableHookArgs) -> None:
        if not issubclass(what.exc_type, KeyboardInterrupt):
            return hook(what)
        again = threading.Timer(0.05, _thread.interrupt_main, [heard[0] if heard else signal.SIGINT])
        again.daemon = True
        again.start()

    hook = sys.unraisablehook
    before = {one: signal.getsignal(one) for one in SIGNALS}
    heard = [one for one, handler in before.items() if handler is not signal.SIG_IGN]
    for one in heard:
        signal.signal(one, interrupt)
    sys.unraisablehook = dropped
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for one in heard:
            signal.signal(one, before[one])


def at_once() -> None:
    """From here on let such a signal, and Ctrl-C, end the process at once, with the exit code of a stopped command.

    A server has nothing to clean up, and wsgiref answers an exception raised inside a request and goes on."""
    sys.stdout.flush()
    for one in (signal.SIGINT, *SIGNALS):
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, lambda signum, frame: os._exit(130))
