"""Opens the study of a spec, or creates it, and makes sure that it is the one of this spec and this directory."""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path

import optuna

from chattn_nas.arguments import asked_by
from chattn_nas.errors import RunError
from chattn_nas.spec.spec import Spec, stored
from chattn_nas.stored import KEY
from chattn_nas.study.attributes import StudyAttributes, study_attributes
from chattn_nas.study.exclusive import exclusively
from chattn_nas.study.hold import write_whole
from chattn_nas.study.storage import file_of, open_storage, storage_errors

#: File with the identity of the run's study, and the study's attribute that must be the same.
STUDY, IDENTITY = ".study", "run_id"
#: What trials leave in a directory, where a version of this package that wrote no :data:`STUDY` made it.
TRACES = ("trials.csv", "checkpoints", "artifacts")
#: How a spec gets a run of its own.
OWN_RUN = "chattn-nas search SPEC --name NAME", "spec.changed(name=...)"


def create_study(spec: Spec, url: str, directory: Path) -> tuple[Spec, optuna.Study]:
    """Open or create the study of a spec; two processes that create it at once get the same one.

    Raises:
        RunError: The study belongs to another spec, or the trials that the directory once had are gone.
    """
    mark = directory / STUDY
    known = _identity(mark)
    had_trials = mark.is_file() or any((directory / name).exists() for name in TRACES)
    file = file_of(url)
    if file is not None and not file.is_file():
        if had_trials:
            raise _lost(directory, f"there is no file {file}")
        file.parent.mkdir(parents=True, exist_ok=True)
    storage = open_storage(url)
    with storage_errors(url):
        try:
            study = optuna.load_study(study_name=spec.name, storage=storage)
        except KeyError:
            if had_trials:
                raise _lost(directory, f"the storage {url} holds no study {spec.name!r}") from None
            directions = spec.search.directions  # no storage makes two studies of one name
            study = optuna.create_study(
                storage=storage, study_name=spec.name, directions=directions, load_if_exists=True
            )
    with storage_errors(url), exclusively(storage, spec.name):
        kept = study_attributes(study)
        if kept.spec:
            stored_spec = Spec.from_stored(dict(kept.spec))
            spec = spec.started_as(stored_spec)
            refuse_another(spec.differences(stored_spec), f"the study {spec.name!r} in the storage")
        identity = kept.run_id or uuid.uuid4().hex
        if known is not None and known != identity and kept.run_id:
            raise _lost(directory, f"the study {spec.name!r} in the storage is another one")
        if not kept.run_id:
            study.set_user_attr(IDENTITY, identity)
            study.set_user_attr(KEY, StudyAttributes.FORMAT)
        if kept.spec != stored(spec):
            study.set_user_attr("spec", stored(spec))
        if not kept.spec_hash:
            names = [spec.metric if name == "accuracy" else str(name) for name in spec.search.objectives]
            study.set_metric_names(names)
            study.set_user_attr("spec_hash", spec.hash)
    write_whole(mark, identity + "\n")
    return spec, study


def _identity(mark: Path) -> str | None:
    """Read the mark of a directory; a damaged one gives nothing, and is written again."""
    with suppress(OSError, ValueError):
        return uuid.UUID(hex=mark.read_text(encoding="utf-8").strip()).hex
    return None


def _lost(directory: Path, reason: str) -> RunError:
    return RunError(
        f"the trials of the run in {directory} are gone: {reason}; put it back, or remove {directory} to start over"
    )


def refuse_another(changed: list[str], what: str) -> None:
    """Refuse to go on with other settings.

    Args:
        changed: The settings that differ, as ``section.key``.
        what: What was started with the others, in words.

    Raises:
        RunError: There are any.
    """
    if changed:
        raise RunError(
            f"{what} was started with other settings: {', '.join(changed)}; its trials cannot be compared with new "
            f"ones: give the new spec a name of its own ({asked_by(*OWN_RUN)})",
            where=tuple(changed[0].split(".")),
        )
