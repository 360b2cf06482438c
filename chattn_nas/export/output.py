"""The folder that an export writes: refused where it holds what no export wrote, and filled only when all is proved."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from chattn_nas.arguments import asked_by
from chattn_nas.errors import ExportError, InputError
from chattn_nas.plural import first_of

#: Names the files that an export wrote, so that a later one knows which it may replace.
MANIFEST = "export.json"
FORCE = "--force", "force=True"
_SHOWN = 5


class OutputFolder:
    """A folder for one export at a time.

    Args:
        path: Made where it is missing, when something is written.
        force: Write beside, and over, files that no export wrote. Files of other names are never touched.

    Raises:
        InputError: It cannot be written, or it holds files that no export wrote, or that were changed since.
    """

    def __init__(self, path: Path | str, *, force: bool = False) -> None:
        self.path = Path(path)
        self._force = force
        place = self.path
        try:
            while not place.exists() and not place.is_symlink() and place != place.parent:
                place = place.parent
            tempfile.TemporaryFile(dir=place).close()
            held = sorted(entry.name for entry in self.path.iterdir()) if place == self.path else []
        except OSError as error:
            raise InputError(f"the folder {self.path} cannot be written: {error.strerror}", where=("out",)) from None
        self._earlier = self._manifest()
        if force or not held:
            return
        if self._earlier is None:
            raise InputError(
                f"the folder {self.path} is not empty, and no export wrote it (it holds "
                f"{first_of(held, _SHOWN)}): choose another, or say {asked_by(*FORCE)} to write there all the same",
                where=("out",),
            )
        for name, digest in self._earlier.items():
            file = self.path / name
            if file.is_file() and _digest(file) != digest:
                raise InputError(
                    f"{file} was changed since it was exported: choose another folder, or say "
                    f"{asked_by(*FORCE)} to replace it",
                    where=("out",),
                )

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder to write into; nothing of it stays where the body raises."""
        made = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.path, prefix=".export-") as place:
                yield Path(place)
        except BaseException:
            if made and self.path.is_dir() and not any(self.path.iterdir()):
                self.path.rmdir()
            raise

    def publish(self, staging: Path, names: Sequence[str]) -> None:
        """Move the files over; those of an earlier export that this one does not replace are deleted.

        Raises:
            InputError: A file is in the way that no export wrote.
            ExportError: A file cannot be moved.
        """
        earlier = self._earlier or {}
        for name in names:
            if (self.path / name).exists() and name not in earlier and not self._force:
                raise InputError(
                    f"{self.path / name} is there, and no export wrote it: choose another folder, or say "
                    f"{asked_by(*FORCE)} to replace it",
                    where=("out",),
                )
        manifest = {
            "written by": f"chattn-nas {version('chattn-nas')}",
            "files": {name: _digest(staging / name) for name in names},
        }
        (staging / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        # Some writers make files for their owner alone: all get the mode of a file made in the ordinary way.
        mode = (staging / MANIFEST).stat().st_mode & 0o777
        try:
            for name in earlier:
                if name not in names and (self.path / name).is_file() and _digest(self.path / name) == earlier[name]:
                    (self.path / name).unlink()
            for name in (*names, MANIFEST):
                (staging / name).chmod(mode)
                (staging / name).replace(self.path / name)
        except OSError as error:
            raise ExportError(f"the folder {self.path} cannot be written: {error.strerror}") from error

    def _manifest(self) -> dict[str, str] | None:
        """Names and digests of the files that an export wrote; None where none did."""
        try:
            found = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))["files"]
            # what is read is not trusted: only names of files in the folder itself
            return {str(name): str(digest) for name, digest in found.items() if Path(name).name == name}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
