"""A run: its directory, its study, and what may change between two of its sessions."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import optuna
import yaml
from optuna.trial import TrialState

from chattn_nas import attention
from chattn_nas.arguments import asked_by, checked
from chattn_nas.credentials import redacted
from chattn_nas.errors import InputError, RunError, first_line, unreadable
from chattn_nas.files import try_to_write
from chattn_nas.space import Stage
from chattn_nas.spec.plugins import folders, import_first, look_in
from chattn_nas.spec.spec import Spec, stored
from chattn_nas.study.attributes import study_attributes
from chattn_nas.study.checkpoints import Checkpoints
from chattn_nas.study.creation import OWN_RUN, STUDY, TRACES, create_study, refuse_another
from chattn_nas.study.hold import hold, write_whole
from chattn_nas.study.locked_by import numbers_of
from chattn_nas.study.storage import DATABASE, RUN, default_url, file_of, load_study, open_storage, storage_errors

T = TypeVar("T")
SPEC, LOCK = "spec.yaml", ".lock"
#: File with the folders in which modules that the spec names are looked for.
FOLDERS = ".path"
#: Folder of a run's confirmation, which is itself a run with a study in the same storage.
CONFIRM = "confirm"
#: File with training images as they reach the network, for the report.
CONTACT_SHEET = "data.jpg"
PREDICTIONS = "predictions.json"


class RunDirectory:
    """An existing run.

    Args:
        directory: ``runs/<name>``, or just the name of a run below ``runs/`` in the current folder.

    Raises:
        RunError: There is no run.
    """

    @checked
    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        if not (self.directory / SPEC).is_file() and (Path("runs") / directory / SPEC).is_file():
            self.directory = Path("runs") / directory
        if not (self.directory / SPEC).is_file():
            if (self.directory / STUDY).is_file():
                raise RunError(_damaged_spec(self.directory, "it is gone"))
            known = [path.parent.name for path in sorted(Path("runs").glob(f"*/{SPEC}"))]
            name, why = str(directory), f"it holds no {SPEC}"
            if self.directory.suffix in (".yaml", ".yml"):
                name, why = self.directory.stem, "a run goes by its directory or its name below runs/, not by its spec"
            if not known:
                why += "; none lies in runs/: 'chattn-nas search SPEC' starts one"
            raise RunError(f"{directory} is no run: {why}", value=name, choices=known)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.directory)!r})"

    @classmethod
    @contextmanager
    @checked
    def held(cls, spec: Spec, directory: Path | None = None, *, what: str = "search") -> Iterator[RunDirectory]:
        """Create or open the run of a spec, and hold it: one search at a time works in a directory.

        Nothing is written before the run is held and known to be compatible with this spec. Workers may join from
        anywhere, and the process that holds a run may hold it again.

        Args:
            spec: The spec.
            directory: Directory of the run; ``runs/<name>`` by default.
            what: What works there, for the error of a second one: ``search``, ``confirmation``.

        Raises:
            RunError: It exists with settings that are incompatible with this spec, its trials lie in another storage
                or are gone, another process holds it, or it is a folder of other things.
            StorageError: Its storage cannot be opened.
        """
        directory = place_of(spec.name, directory)
        lock = directory / LOCK

        def busy() -> str:
            joins = f"'chattn-nas worker {directory}' joins it"
            return f"another {what}{numbers_of(lock)} works in {directory}: wait until it is done, or end it; {joins}"

        with hold(lock, busy):
            if (directory / SPEC).is_file():
                spec = cls(directory)._accepted(spec)
            spec, study = create_study(spec, resolved(spec.search.storage, directory), directory)
            write_whole(directory / FOLDERS, json.dumps(folders()) + "\n")
            text = yaml.safe_dump(stored(spec), sort_keys=False, explicit_start=True, explicit_end=True)
            write_whole(directory / SPEC, text)
            run = cls(directory)
            run.__dict__["study"] = study
            yield run

    @classmethod
    def create(cls, spec: Spec, directory: Path | None = None) -> RunDirectory:
        """Create or open the run as :meth:`held` does, and release it."""
        with cls.held(spec, directory) as run:
            return run

    @cached_property
    def spec(self) -> Spec:
        """The spec, resolved."""
        with suppress(OSError, ValueError, TypeError):
            look_in(json.loads((self.directory / FOLDERS).read_text(encoding="utf-8")))
        return self._read_spec(imports=True)

    def import_nothing(self) -> None:
        """Read the spec without the task's class: in a run from somebody else, that may be their code.

        Raises:
            RunError: The spec is damaged.
        """
        self.__dict__["spec"] = self._read_spec(imports=False)

    def _read_spec(self, *, imports: bool) -> Spec:
        path = self.directory / SPEC
        try:
            text = path.read_text(encoding="utf-8")
            if text.startswith("---") and not text.endswith("\n...\n"):  # half of it may well be a spec
                raise ValueError("its end is missing")
            return Spec.from_stored(yaml.safe_load(text), imports=imports)
        except OSError as error:
            raise unreadable(path, error) from None
        except (yaml.YAMLError, InputError, ValueError) as error:
            raise RunError(_damaged_spec(self.directory, first_line(error))) from None

    @property
    def storage_url(self) -> str:
        """URL of the study's storage."""
        return resolved(self.spec.search.storage, self.directory)

    def refuse_foreign_storage(self) -> None:
        """Refuse a storage outside the run's directory, which a run from somebody else may name.

        Raises:
            RunError: The trials lie on a server, or in a file elsewhere.
        """
        url, above = self.storage_url, self.directory.resolve()
        file = file_of(url)
        near = above.parent if above.name == CONFIRM else above  # a confirmation lies in the study of its run
        if file is None or not Path(os.path.realpath(file)).is_relative_to(near):
            raise RunError(
                f"the trials of the run in {self.directory} lie outside of it, in {redacted(url)}: where you trust "
                "whoever made it, say --trust"
            )

    def import_plugins(self) -> None:
        """Import what the spec names: its modules, and the classes of attentions that are named by path.

        Raises:
            InputError: One cannot be imported.
        """
        import_first(self.spec.imports)
        for name in {candidate for entries in self.spec.space.root.values() for candidate in map(_name_of, entries)}:
            if ":" in name:
                attention.get(name)

    def storage_seen_from(self, directory: Path) -> str:
        """The storage for a run in ``directory``; a file in this run's directory is found relative to it."""
        file = file_of(self.storage_url)
        mine = self.directory.resolve()
        if file is None or not file.resolve().is_relative_to(mine):
            return self.storage_url
        scheme = self.storage_url.partition("://")[0]
        up = os.path.relpath(file.resolve(), directory.resolve())
        return f"{scheme}://{'/' if scheme == 'sqlite' else ''}{RUN}/{up}"

    @cached_property
    def study(self) -> optuna.Study:
        """The Optuna study, the only source of truth about this run."""
        url = self.storage_url
        file = file_of(url)
        if file is not None and not file.is_file():
            raise RunError(f"the trials of the run in {self.directory} are gone: there is no file {file}")
        storage = open_storage(url)
        with storage_errors(url):
            return load_study(storage, self.spec.name, url)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the backbone, as the first worker stored them."""
        return tuple(Stage.from_dict(stage) for stage in self._known(study_attributes(self.study).stages or None))

    @property
    def reference(self) -> dict[str, float]:
        """Costs of the backbone without attention: ``parameters``, ``macs``, perhaps ``latency``."""
        return dict(self._known(study_attributes(self.study).reference))

    def checkpoint(self, architecture: str, seed: int) -> Path | None:
        """The weights of an architecture (canonical hash) trained on a seed; ``None`` if not kept, or damaged."""
        from chattn_nas.network.weights import read_weights  # torch: reading a study needs none

        path = Checkpoints(self.directory / "checkpoints", keep=0).path(architecture, seed)
        return path if path.is_file() and read_weights(path) is not None else None

    def _accepted(self, spec: Spec) -> Spec:
        """Return the spec, completed from the run's, if it is compatible with this run.

        Raises:
            RunError: It is not.
        """
        try:
            mine = self.spec
        except RunError:  # damaged: the study knows what it was
            return spec
        spec = spec.started_as(mine)
        if spec.name != mine.name:
            raise RunError(f"{self.directory} holds the run {mine.name!r}, not {spec.name!r}", where=("name",))
        changed = spec.differences(mine)
        mark = self.directory / STUDY
        if changed and self._is_unused():  # a first start that failed does not bind the next one
            optuna.delete_study(study_name=mine.name, storage=open_storage(self.storage_url))
            mark.unlink(missing_ok=True)
            return spec
        refuse_another(changed, f"the run in {self.directory}")
        url, before = resolved(spec.search.storage, self.directory), self.storage_url
        if url == before:
            return spec
        if _has_trials(before, mine.name, missing=mark.is_file()):
            raise RunError(
                f"the trials of the run in {self.directory} lie in {before}, not in {url}: name that storage again, "
                f"or give the new spec a name of its own ({asked_by(*OWN_RUN)})",
                where=("search", "storage"),
            )
        mark.unlink(missing_ok=True)  # no trial is left behind there
        return spec

    def _is_unused(self) -> bool:
        """Whether the study exists, and none of its trials has begun."""
        try:
            trials = self.study.get_trials(deepcopy=False)
        except RunError:
            return False
        return all(trial.state == TrialState.WAITING for trial in trials)

    def _known(self, value: T | None) -> T:
        if value is None:
            raise RunError(f"the run in {self.directory} has no trial yet")
        return value


def place_of(name: str, given: Path | str | None = None, *, several: bool = False) -> Path:
    """Where a run of that name may lie: ``runs/NAME``, or the directory that was given.

    Args:
        name: The name.
        given: The directory, if one was asked for.
        several: It is to hold several runs, each in a folder of its own, as a calibration's does.

    Raises:
        RunError: It is a file, a folder of other things, such as the images, or cannot be written.
    """
    directory = Path("runs") / name if given is None else Path(given)
    if directory.exists() and not directory.is_dir():
        raise RunError(f"{directory} is a file: a run needs a folder of its own ({asked_by('--run DIR', 'run=DIR')})")
    with suppress(OSError):  # one that cannot be listed is told when it is written to
        names = {path.name for path in directory.iterdir()} if directory.is_dir() else set()
        ours = names & {SPEC, LOCK, FOLDERS, STUDY, DATABASE, *TRACES}
        if names and not ours and not (several and any((directory / one / SPEC).is_file() for one in names)):
            raise RunError(
                f"{directory} holds other files, such as {min(names)}: a run needs a folder of its own "
                f"({asked_by('--run DIR', 'run=DIR')})"
            )
    try:
        try_to_write(directory)
    except OSError as error:
        raise RunError(f"{directory} cannot be written: {error.strerror or error}") from error
    return directory


def _damaged_spec(directory: Path, reason: str) -> str:
    again = (
        f"'chattn-nas confirm {directory.parent}'" if directory.name == CONFIRM
        else f"'chattn-nas search SPEC --run {directory}' with the spec that the run was started with"
    )  # fmt: skip
    return f"{directory / SPEC} is damaged ({reason}): {again} writes it again and goes on"


def _name_of(entry: Any) -> str:
    return str(next(iter(entry), "")) if isinstance(entry, Mapping) else str(entry)


def resolved(storage: str | None, directory: Path) -> str:
    """The URL of a spec's storage: a file in the run's directory if the spec names none."""
    if storage is None:
        return default_url(directory)
    return storage.replace(RUN, str(directory.resolve()))


def _has_trials(url: str, name: str, *, missing: bool) -> bool:
    """Whether a storage holds trials: ``True`` if that cannot be seen, ``missing`` if the file is gone."""
    file = file_of(url)
    if file is not None and not file.is_file():
        return missing
    try:
        storage = open_storage(url)
        return bool(storage.get_n_trials(storage.get_study_id_from_name(name)))
    except KeyError:
        return False
    except RunError:
        return True
