"""Exported networks in the dashboard: the folder as an artifact of the study, linked from its trial's note."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact

from chattn_nas.dashboard import _dashboard
from chattn_nas.study._optuna import id_of, save_trial_note, trial_note
from chattn_nas.study.artifacts import FOLDER

HEADING = "\n\n**Exported**: "


def link_export(study: optuna.Study, run_directory: Path, number: int, folder: Path, files: Sequence[str]) -> None:
    """Keep an export as a zip file in the run's artifact store, and link it from the note of trial ``number``.

    A trial that has ended accepts no artifacts, so the file belongs to the study. A later export of the same trial
    replaces the file and the link.

    Args:
        study: Study of the run.
        run_directory: The run's directory, with its artifacts.
        number: Number of the trial.
        folder: The exported folder.
        files: Names of the files that the export wrote there; nothing else is packed.
    """
    directory = run_directory / FOLDER
    directory.mkdir(parents=True, exist_ok=True)
    store = FileSystemArtifactStore(str(directory))
    name = f"trial{number}.zip"
    with tempfile.TemporaryDirectory() as place:
        packed = Path(place) / name
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(folder / file, f"{folder.resolve().name}/{file}")
        packs = (
            held for held in get_all_artifact_meta(study) if re.fullmatch(rf"trial{number}(-.*)?\.zip", held.filename)
        )
        key = next((held.artifact_id for held in packs), None)
        if key is None:
            key = upload_artifact(
                artifact_store=store, file_path=str(packed), study_or_trial=study, mimetype="application/zip"
            )
        else:
            with packed.open("rb") as stream:
                store.write(key, stream)
    trial = study.get_trials(deepcopy=False)[number]
    body = trial_note(study, id_of(trial)).split(HEADING)[0]
    link = f"[download]({_dashboard.link(study, key)})"
    save_trial_note(study, id_of(trial), f"{body}{HEADING}{link}, from `{folder.resolve()}`")
