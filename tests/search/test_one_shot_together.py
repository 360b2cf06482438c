"""Shared weights trained by several processes: what one of them gives, and one voice."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from supernet import SPEC, train_supernet

from chattn_nas.proxy import DistributedContext
from chattn_nas.search.one_shot.ranking import ranking
from chattn_nas.search.one_shot.run import predict
from chattn_nas.spec import Spec

HERE = Path(__file__).parent


def torchrun(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    """Two processes over Gloo."""
    paths = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": paths}
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=200, cwd=cwd,
    )  # fmt: skip


@pytest.mark.slow
def test_two_processes_train_the_supernet_of_one(tmp_path) -> None:
    done = torchrun(HERE / "supernet.py", tmp_path / "two.pt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    found, losses = torch.load(tmp_path / "two.pt")
    alone, expected = train_supernet(DistributedContext(0, 1, torch.device("cpu")))
    assert losses == pytest.approx(expected, rel=1e-4)
    assert found.keys() == alone.keys()
    for name, value in alone.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-4, msg=lambda words: f"{name}: {words}")  # noqa: B023


@pytest.mark.slow
def test_the_first_of_two_processes_tells_what_one_would(tmp_path) -> None:
    (tmp_path / "spec.yaml").write_text(json.dumps(SPEC))
    done = torchrun("-m", "chattn_nas", "one-shot", "spec.yaml", "--csv", "ranking.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for words in ("for 2 epochs in 2 processes", "one-shot: done in", "Wrote ranking.csv: 25 networks"):
        assert done.stdout.count(words) == 1, done.stdout
    with (tmp_path / "ranking.csv").open() as text:
        found = {row["hash"]: float(row["predicted"]) for row in csv.DictReader(text)}
    spec = Spec.from_dict(SPEC)
    expected = {row["hash"]: row["predicted"] for row in ranking(predict(spec), spec)}
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("batch_size", "words"),
    [
        (63, "spec.yaml:1: a batch of 63 cannot be divided among 2 processes: take a multiple of 2"),
        (0, "batch_size: should be greater than or equal to 1, not 0"),
    ],
)
def test_a_mistake_is_told_once_and_ends_all(tmp_path, batch_size, words) -> None:
    mistaken = SPEC | {"proxy": SPEC["proxy"] | {"batch_size": batch_size}}
    (tmp_path / "spec.yaml").write_text(json.dumps(mistaken))
    done = torchrun("-m", "chattn_nas", "one-shot", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 1, "torchrun's own"
    assert done.stderr.count("chattn-nas: ") == 1, done.stderr
    assert words in done.stderr
    assert "exitcode  : 2" in done.stderr
