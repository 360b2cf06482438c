"""Reads all images of a part in parallel: decodes and resizes them, and passes them on in order."""

from __future__ import annotations

import hashlib
import sys
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from chattn_nas.data.decoding import (
    DEEP,
    ColourError,
    NeedsRangeError,
    Original,
    Pixels,
    Reading,
    decode,
    decode_arrays,
    seen_array,
)
from chattn_nas.data.layout import FOREIGN
from chattn_nas.data.pictures import Arrays, Part, Pictures, Targets
from chattn_nas.data.values import bounds, guess_range, needs_range
from chattn_nas.device import cpu_count
from chattn_nas.errors import DataError

#: Images that the range of more than eight bits is guessed from.
SAMPLED = 256
#: Images of an array that are brought to size at once.
CHUNK = 512
OnProgress = Callable[[int], None]
T = TypeVar("T")


@dataclass
class ReadPart:
    """Observations made while a part was read.

    Attributes:
        sizes: Number of images by width and height.
        modes: Number of images by Pillow's mode or the array's type.
        bad: Names of unreadable images, with reasons.
        kept: Indices of the images that were read.
        frames: Files with several frames, of which the first is taken.
        turned: Images that EXIF turns or mirrors.
        content, pixels: Hashes of the files and of the decoded images.
    """

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[str, str]] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    frames: int = 0
    turned: int = 0
    content: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))
    pixels: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))


def settle(part: Part, reading: Reading, read: Callable[[Reading], T]) -> tuple[T, Reading]:
    """Call ``read``, and call it again if images turn out to have colours or more than eight bits.

    Args:
        part: The images.
        reading: With ``channels`` 0, a single channel is used as long as all images are grey.
        read: Reads everything, and can be called again.
    """
    while True:
        try:
            return read(reading), reading
        except ColourError:
            reading = replace(reading, channels=3)
        except NeedsRangeError:
            reading = replace(reading, scale=_range(part.images), guessed=True)


def _range(pictures: Pictures) -> tuple[float, float]:
    """Guess the range from images spread over the whole set."""
    seen = []
    for index in np.unique(np.linspace(0, len(pictures) - 1, SAMPLED).astype(int)):
        try:
            raw = pictures.open(int(index))[0]
            if not isinstance(raw, np.ndarray) and not raw.mode.startswith(DEEP):
                continue
            values = np.asarray(raw)
            if values.dtype.kind in "biuf" and needs_range(values.dtype):
                seen.append((bounds(values), values.dtype.kind != "f"))
        except DataError:
            raise
        except Exception:
            continue  # it is listed as bad when its turn comes
    return guess_range(seen, f"the images ({pictures.name(0)}, ...)")


def read_part(
    part: Part,
    reading: Reading,
    write: Callable[[Pixels, NDArray[Any] | None], None],
    *,
    threads: int | None = None,
    on_progress: OnProgress = lambda done: None,
) -> ReadPart:
    """Read every image of a part, and its target if targets are read.

    The memory needed does not grow with the number of images.

    Args:
        part: The part to read.
        reading: How to read it.
        write: Takes uint8 images (n, C, H, W) and their targets in order; unreadable ones are left out.
        threads: Number of decoding threads; one per core by default, at most 8.
        on_progress: Called with the number of images done.
    """
    survey = ReadPart()
    if isinstance(part.images, Arrays) and isinstance(part.targets, np.ndarray):
        _read_arrays(part.images, reading, write, survey, on_progress)
        return survey
    threads = threads or min(8, cpu_count())
    with quiet_pillow(), ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Any]] = deque()
        try:
            for index in range(len(part.images) + 4 * threads):
                if index < len(part.images):
                    waiting.append(pool.submit(_one, part, index, reading))
                if len(waiting) > 4 * threads or index >= len(part.images):
                    if not waiting:
                        break
                    number = index - 4 * threads if index < len(part.images) else len(part.images) - len(waiting)
                    _take(waiting.popleft().result(), number, part, write, survey)
                    on_progress(number + 1)
        finally:
            for future in waiting:
                future.cancel()
    return survey


def _one(part: Part, index: int, reading: Reading) -> Any:
    """Read one image: pixels, facts, a hash of its content, and its target; or the reason why that failed."""
    try:
        raw, content = part.images.open(index)
        pixels, seen = decode(raw, reading, part.images.name(index))
        target = None
        if not isinstance(part.targets, np.ndarray):
            target = _target(part.targets, index, seen, reading)
        return pixels, seen, hashlib.blake2b(content, digest_size=16).digest(), target
    except (ColourError, NeedsRangeError, DataError):
        raise
    except Exception as error:  # a broken file makes Pillow raise whatever it met
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        words = " ".join(str(error).split()) or type(error).__name__
        if "cannot identify image file" not in words:
            return words
        ending = PurePath(part.images.name(index)).suffix.lower()
        return (
            f"{ending} has to be converted to JPEG or PNG" if ending in FOREIGN else "it is no image that Pillow knows"
        )


def _target(targets: Targets, index: int, seen: Original, reading: Reading) -> NDArray[Any]:
    """Read a target; where it does not fit an image that EXIF turns, say that this may be why."""
    try:
        return targets.read(index, (seen.width, seen.height), reading)
    except ValueError as error:
        if not seen.turned:
            raise
        raise ValueError(f"{error}; EXIF turns or mirrors this image, which is read as it is shown: what belongs to it "
                         "must lie on it so") from None  # fmt: skip


def _take(image_or_reason: Any, index: int, part: Part, write: Callable[..., None], survey: ReadPart) -> None:
    if isinstance(image_or_reason, str):
        found = part.images.name(index), image_or_reason
        survey.bad += [found] * (found not in survey.bad[-1:])  # patches of one picture follow each other
        return
    pixels, seen, content, target = image_or_reason
    survey.kept.append(index)
    survey.sizes[seen.width, seen.height] += 1
    survey.modes[seen.mode] += 1
    survey.frames += seen.frames
    survey.turned += seen.turned
    survey.content.update(content)
    survey.pixels.update(pixels.tobytes())
    write(pixels[None], None if target is None else target[None])


def _read_arrays(
    images: Arrays, reading: Reading, write: Callable[..., None], survey: ReadPart, on_progress: OnProgress
) -> None:
    for start in range(0, len(images), CHUNK):
        part = np.ascontiguousarray(images.array[start : start + CHUNK])
        try:
            pixels = decode_arrays(part, reading, images.name(start))
        except ValueError as error:
            raise DataError(f"{images.called} {error}", where=("path",)) from None
        survey.content.update(part.tobytes())
        survey.pixels.update(pixels.tobytes())
        write(pixels, None)
        on_progress(start + len(part))
    if len(images):
        seen = seen_array(images.array[0])
        survey.sizes[seen.width, seen.height] = len(images)
        survey.modes[seen.mode] = len(images)
    survey.kept = list(range(len(images)))


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings about odd files: those that matter are errors, the others read correctly."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\..*")
        yield


@contextmanager
def progress(total: int, what: str) -> Iterator[OnProgress]:
    """Show a bar on a terminal, elsewhere a line every ten seconds with the remaining time."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
            task = shown.add_task(what, total=total)
            yield lambda done: shown.update(task, completed=done)
        return
    begun = last = time.monotonic()

    def print_progress(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 10 and done:
            last = now
            left = (now - begun) / done * (total - done)
            print(f"{what}: {done:,} of {total:,} images, about {left:.0f} s left", file=sys.stderr, flush=True)

    yield print_progress
