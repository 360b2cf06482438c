"""A worker process: ``python -m chattn_nas.search.worker RUN --device cpu --threads 1``.

Its exit code is 0 when the target number of trials has ended, 2 when the spec, the data or the run cannot be used, 28
when a disk is full, 74 when the storage cannot be reached or written, and 75 when its device is broken and another
process must take over. On SIGTERM it returns its trial to the queue.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import FrameType

from chattn_nas._lazy import leave_garbage, uncollected
from chattn_nas.search.processes import end_own_group
from chattn_nas.spec.plugins import take_path

INPUT, FULL, STORAGE, BROKEN = 2, 28, 74, 75
#: Seconds that a worker has to return its trial after it is told to stop.
GRACE = 10.0


def main() -> None:
    """Parse the command line and work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--device")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--trainer")
    parser.add_argument("--parent", type=int, help="process number of the supervisor")
    parser.add_argument("--tells", type=Path, help="file that says what it does")
    parser.add_argument("--queued", action="store_true", help="run only trials that wait")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal: the supervisor tells us
    signal.signal(signal.SIGTERM, _terminate)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)

    take_path()
    leave_garbage()
    with uncollected():
        import torch
        from optuna.exceptions import StorageInternalError

        from chattn_nas import files
        from chattn_nas.errors import ChattnError, FullDiskError, StorageError
        from chattn_nas.proxy.pulse import heard_by
        from chattn_nas.search._join import join
        from chattn_nas.search.doing import written_to
        from chattn_nas.search.loop import watch_parent
        from chattn_nas.search.trainer import import_trainer
        from chattn_nas.search.trial import BrokenDevice
        from chattn_nas.study.storage import storage_error

    watch_parent(arguments.parent or os.getppid(), _orphaned)
    torch.set_num_threads(arguments.threads)
    context = heard_by(written_to(arguments.tells)) if arguments.tells else nullcontext()
    try:
        trainer = import_trainer(arguments.trainer) if arguments.trainer else None
        with context:
            join(arguments.run, device=arguments.device, alone=False, propose=not arguments.queued, trainer=trainer)
    except (StorageInternalError, StorageError) as error:
        logging.exception("the storage cannot be reached or written")
        sys.exit(FULL if isinstance(storage_error(error), FullDiskError) else STORAGE)
    except OSError as error:
        if error.errno not in files.FULL:
            raise
        logging.exception("the disk is full")
        sys.exit(FULL)
    except BrokenDevice:
        sys.exit(BROKEN)
    except ChattnError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def _terminate(signum: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + signum)


def _orphaned() -> None:
    """Return the trial to the queue; if the process hangs and cannot, at least end it."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    end_own_group()
    os._exit(1)


if __name__ == "__main__":
    main()
