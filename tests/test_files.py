"""Files that are replaced whole, with the mode of any new file."""

from __future__ import annotations

import subprocess
import sys

import pytest
from torch import nn

from chattn_nas.files import replacing
from chattn_nas.network.weights import write_weights


def test_weights_get_the_mode_of_any_new_file(tmp_path):
    (tmp_path / "ordinary").touch()
    path = write_weights(nn.Linear(2, 2), tmp_path / "weights.safetensors")
    assert path.stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_an_error_leaves_what_was_there(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(ValueError, match="no"), replacing(tmp_path / "file"):
        raise ValueError("no")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


WITHOUT_LOCKS = """
import os, sys
sys.modules["fcntl"] = sys.modules["msvcrt"] = None
import warnings; warnings.simplefilter("ignore")
from pathlib import Path
from chattn_nas.files import lock_at
left = Path(sys.argv[1])
left.touch()
os.utime(left, (1, 1))
with lock_at(left, timeout=5):
    assert left.exists()
    print("held")
"""


def test_where_a_system_has_no_locks_a_file_that_another_left_is_no_lock(tmp_path):
    command = [sys.executable, "-c", WITHOUT_LOCKS, tmp_path / "key.lock"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "held\n"
