"""A run that can only be read is reported all the same, where one stands."""

import errno
from pathlib import Path

import pytest
from results_study import make_world, simulate

from chattn_nas.report import write_report


def test_the_report_of_a_run_on_a_read_only_disk_comes_into_the_working_directory(tmp_path, monkeypatch):
    place, run = tmp_path / "here", tmp_path / "run"
    place.mkdir()
    run.mkdir()
    monkeypatch.chdir(place)
    write, number = Path.write_text, errno.EROFS

    def refused(path, *given, **options):
        if path.is_relative_to(run):
            raise OSError(number, "no")
        return write(path, *given, **options)

    monkeypatch.setattr(Path, "write_text", refused)
    study = simulate(make_world(0), 12)
    assert write_report(run, study, "md") == Path("simulated-report.md")
    assert "simulated" in (place / "simulated-report.md").read_text()
    number = errno.ENOSPC
    with pytest.raises(OSError, match="no"):
        write_report(run, study, "md")
