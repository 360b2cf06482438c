"""The folder of an export: refused if it holds other files, and filled only when everything is proved."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from filelock import Timeout

from chattn_nas.arguments import asked_by
from chattn_nas.errors import InputError, first_line
from chattn_nas.files import is_full, lock_at
from chattn_nas.plural import first_of

#: Names the files that an export wrote, so that a later one knows which it may replace.
MANIFEST = "export.json"
FORCE = "--force", "force=True"
#: Begins the name of a folder that is written into until all is proved.
STAGING = ".export-"
#: Held while an export writes; one that was killed leaves it behind, and the next one takes it over.
LOCK = f"{STAGING}lock"
_SHOWN = 5


class OutputFolder:
    """A folder for one export at a time.

    Args:
        path: The folder; created when something is written.
        force: Write beside and over files that no export wrote. Files of other names are never touched.

    Raises:
        InputError: It cannot be written, or holds files that no export wrote, or that were changed since.
    """

    def __init__(self, path: Path | str, *, force: bool = False) -> None:
        self.path = Path(path)
        self._force = force
        place = self.path
        try:
            while not place.exists() and not place.is_symlink() and place != place.parent:
                place = place.parent
            tempfile.TemporaryFile(dir=place).close()
            self._earlier = self._look()
        except OSError as error:
            raise self._unwritable(error) from None

    def _look(self) -> dict[str, str]:
        """Names and digests of the files of an earlier export.

        Raises:
            InputError: The folder holds other files, or some that were changed since.
        """
        if not self.path.is_dir():
            return {}
        held = sorted(entry.name for entry in self.path.iterdir() if not entry.name.startswith(STAGING))
        try:
            earlier = written_there(self.path)
        except (OSError, ValueError) as error:
            if not self._force:
                reason = getattr(error, "strerror", None) or first_line(error)
                what = f"{self.path / MANIFEST} is damaged ({reason}), or no export wrote it"
                raise self._refusal(f"{what}: which of its files belong to an export is unknown") from None
            earlier = {}
        self._refuse_folders([*earlier, MANIFEST])
        if held and not earlier and not self._force:
            raise self._refusal(
                f"the folder {self.path} is not empty, and no export wrote it (it holds {first_of(held, _SHOWN)})"
            )
        if not self._force:
            try:
                for name in changed_since(self.path, earlier):
                    raise self._refusal(f"{self.path / name} was changed since it was exported, or is damaged")
            except OSError as error:
                raise self._refusal(f"{error.filename} cannot be read ({error.strerror})") from None
        return earlier

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield a temporary folder to write into, which is removed if the body raises.

        Raises:
            InputError: Another export is writing to the folder, the disk is full, or the folder has become unusable.
        """
        made = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with _alone(self.path) as alone:
                if alone:
                    for left in self.path.glob(f"{STAGING}*"):  # by an export that was killed
                        shutil.rmtree(left, ignore_errors=True)  # the lock is no folder, and stays
                self._earlier = self._look()  # another export may have ended since
                with tempfile.TemporaryDirectory(dir=self.path, prefix=STAGING, ignore_cleanup_errors=True) as place:
                    try:
                        yield Path(place)
                    except Exception as error:  # each format's library has its own
                        if not isinstance(error, InputError) and is_full(self.path, error):
                            raise InputError(
                                f"the folder {self.path} cannot be written: the disk is full", where=("out",)
                            ) from error
                        raise
        except BaseException:
            if made and self.path.is_dir() and not any(self.path.iterdir()):
                self.path.rmdir()
            raise

    def publish(self, staging: Path, names: Sequence[str]) -> None:
        """Move the files to their place, and delete those of an earlier export that were not replaced.

        Raises:
            InputError: A file that no export wrote is in the way, or a file cannot be moved.
        """
        earlier = self._earlier
        self._refuse_folders(names)
        for name in names:
            if os.path.lexists(self.path / name) and name not in earlier and not self._force:
                raise self._refusal(f"{self.path / name} is there, and no export wrote it")
        manifest = {
            "written by": f"chattn-nas {version('chattn-nas')}",
            "files": {name: _digest(staging / name) for name in names},
        }
        (staging / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        # Some writers make files for their owner alone: all get the mode of a file made in the ordinary way.
        mode = (staging / MANIFEST).stat().st_mode & 0o777
        try:
            for name in earlier:
                with contextlib.suppress(PermissionError, FileNotFoundError):  # what is not an export's any more stays
                    if name not in names and _digest(self.path / name) == earlier[name]:
                        (self.path / name).unlink()
            for name in (*names, MANIFEST):
                (staging / name).chmod(mode)
                (staging / name).replace(self.path / name)
        except OSError as error:
            raise self._unwritable(error) from error

    def _refuse_folders(self, names: Sequence[str]) -> None:
        for name in names:
            if (self.path / name).is_dir():
                raise InputError(
                    f"{self.path / name} is a folder, where an export writes a file: remove it", where=("out",)
                )

    def _refusal(self, what: str) -> InputError:
        return InputError(
            f"{what}: choose another folder, or say {asked_by(*FORCE)} to write there all the same", where=("out",)
        )

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"the folder {self.path} cannot be written: {error.strerror}", where=("out",))


def written_there(folder: Path) -> dict[str, str]:
    """Names and SHA-256 of the files that an export wrote into a folder; empty if there was none.

    Raises:
        OSError: The list of files cannot be read.
        ValueError: The list of files is damaged.
    """
    file = folder / MANIFEST
    if not os.path.lexists(file):
        return {}
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["files"].items()
    except (KeyError, TypeError, AttributeError):
        raise ValueError("it names no files") from None
    # what is read is not trusted: only names of files in the folder itself
    return {str(name): str(digest) for name, digest in entries if Path(name).name == name}


def changed_since(folder: Path, written: dict[str, str]) -> Iterator[str]:
    """The existing files that have changed since they were written.

    Raises:
        OSError: A file cannot be read.
    """
    for name, digest in written.items():
        if (folder / name).is_file() and _digest(folder / name) != digest:
            yield name


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Hold the lock file of a folder, and remove it at the end; ``False`` if the system or the disk has no locks.

    Raises:
        InputError: Another export holds it.
    """
    file = folder / LOCK
    lock = lock_at(file, timeout=0)
    try:
        lock.acquire()
        held = True
    except Timeout:
        raise InputError(
            f"another export writes into {folder}: wait for it, or choose another folder", where=("out",)
        ) from None
    except (OSError, NotImplementedError):
        held = False
    try:
        yield held
    finally:
        with contextlib.suppress(OSError):
            file.unlink()  # before it is released: nobody waits for this file, who comes later makes a new one
        lock.release()


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
