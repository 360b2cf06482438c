"""Exported networks in the dashboard: the folder as an artifact of the study, linked from its trial's note."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import optuna
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna_dashboard._note import get_note_from_system_attrs

from chattn_nas.study.artifacts import FOLDER
from chattn_nas.study.notes import save_note

HEADING = "\n\n**Exported**: "


def link_export(study: optuna.Study, run_directory: Path, number: int, folder: Path) -> None:
    """Keep ``folder`` as a zip file in the run's artifact store, and link it from the note of trial ``number``.

    A trial that has ended takes no artifacts any more, so the file is the study's. A later export of the same trial
    replaces the link.
    """
    store = run_directory / FOLDER
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        packed = shutil.make_archive(str(Path(place) / f"trial{number}-{folder.name}"), "zip", folder)
        key = upload_artifact(
            artifact_store=FileSystemArtifactStore(str(store)), file_path=packed, study_or_trial=study,
            mimetype="application/zip",
        )  # fmt: skip
    trial = study.get_trials(deepcopy=False)[number]
    attributes = study._storage.get_study_system_attrs(study._study_id)
    body = get_note_from_system_attrs(attributes, trial._trial_id)["body"].split(HEADING)[0]
    link = f"[download](/artifacts/{study._study_id}/{key})"
    save_note(study, trial._trial_id, f"{body}{HEADING}{link}, from `{folder.resolve()}`")
