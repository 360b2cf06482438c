"""A file of a run that is damaged counts as missing, and what made it makes it again."""

import logging

import pytest
import torch
from torch import nn

from chattn_nas.errors import RunError
from chattn_nas.network.weights import read_weights, write_weights
from chattn_nas.training import checkpoint
from chattn_nas.training.checkpoint import NAME, Checkpoint, Header, read_checkpoint, restore
from chattn_nas.training.result import NAME as RESULT
from chattn_nas.training.result import TrainingResult, read_result


def damaged(whole: bytes):
    """Cut off, emptied, overwritten in the middle."""
    middle = len(whole) * 3 // 4
    yield whole[: len(whole) // 2]
    yield b""
    yield whole[:middle] + bytes(byte ^ 0xFF for byte in whole[middle : middle + 16]) + whole[middle + 16 :]
    yield b"not at all" * 100


def test_weights(tmp_path, caplog) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    path = write_weights(network, tmp_path / "weights.safetensors")
    kept = read_weights(path)
    assert kept is not None
    assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())
    whole = path.read_bytes()
    for index, content in enumerate(damaged(whole)):
        path.write_bytes(content)
        with caplog.at_level(logging.WARNING):
            assert read_weights(path) is None, index
        assert "is damaged" in caplog.text
    path.write_bytes(whole)
    assert read_weights(path) is not None


def test_weights_of_a_module_that_is_used_twice(tmp_path) -> None:
    layer = nn.BatchNorm2d(8)
    network = nn.Sequential(layer, nn.Conv2d(8, 8, 3), layer)
    kept = read_weights(write_weights(network, tmp_path / "weights.safetensors"))
    assert kept is not None
    assert kept.keys() == network.state_dict().keys()
    network.load_state_dict(kept)


def test_checkpoint(tmp_path) -> None:
    tensors, states = {"a": torch.randn(64, 64)}, [{"momentum_buffer": torch.zeros(3)}]
    made = Checkpoint(
        header=Header(plan={"x": 1}, epoch=2, rows=[]),
        network=tensors,
        optimizer=states,
        ema=None,
    )
    made.write(tmp_path)
    found = read_checkpoint(tmp_path, {"x": 1})
    assert found is not None
    assert found.header.epoch == 2
    for index, content in enumerate(damaged((tmp_path / NAME).read_bytes())):
        (tmp_path / NAME).write_bytes(content)
        assert read_checkpoint(tmp_path, {"x": 1}) is None, index


def test_a_checkpoint_that_cannot_be_read_is_kept(tmp_path, monkeypatch) -> None:
    """It may be whole: epochs are not thrown away because a disk is away or a right is missing."""
    (tmp_path / NAME).write_bytes(b"whole")

    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(checkpoint.zipfile, "ZipFile", refused)
    with pytest.raises(RunError, match=r"checkpoint\.pt cannot be read \(Permission denied\): .* remove it"):
        read_checkpoint(tmp_path, {"x": 1})


def test_a_checkpoint_of_format_1_without_momentum_is_restored(tmp_path) -> None:
    """It kept the momentum of every parameter that had one: none where ``momentum: 0``."""
    network = nn.Linear(2, 2)
    state = {name: value + 1 for name, value in network.state_dict().items()}
    torch.save(
        {"plan": {"x": 1}, "epoch": 2, "rows": [], "network": state, "momentum": [], "ema": None}, tmp_path / NAME
    )
    found = read_checkpoint(tmp_path, {"x": 1})
    assert found is not None
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    restore(found, network, optimizer, None)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert not any(optimizer.state[parameter] for parameter in network.parameters())


def test_result(tmp_path) -> None:
    result = TrainingResult(plan={}, test_score=0.5, test_loss=1.0, score=None, loss=None, seconds=1.0,
                            date="2026-11-26", device="cpu", versions={})  # fmt: skip
    result.write(tmp_path)
    assert read_result(tmp_path) == result
    text = (tmp_path / RESULT).read_text()
    (tmp_path / RESULT).write_text(text.replace("{", '{"of_tomorrow": 1, ', 1))
    assert read_result(tmp_path) == result, "what a later version wrote is passed over"
    for content in (text[: len(text) // 2], "", "[1, 2]", "null", '{"plan": {}}'):
        (tmp_path / RESULT).write_text(content)
        assert read_result(tmp_path) is None
    (tmp_path / RESULT).write_bytes(b"\xff\x00")
    assert read_result(tmp_path) is None


@pytest.mark.slow
def test_train_mends_its_weights_and_its_result(run) -> None:
    trained = run.best()
    first = trained.train(epochs=1)
    folder = run.directory / "training" / f"{trained.pick.hash}-{trained.seed}"
    whole = (folder / "weights.safetensors").read_bytes()
    for name in ("weights.safetensors", RESULT):
        (folder / name).write_bytes((folder / name).read_bytes()[:50])
        with pytest.raises(RunError, match=r"is damaged or gone: 'chattn-nas train .* trains it again"):
            trained.network()
        again = trained.train(epochs=1)
        assert again.test_score == first.test_score
        assert (folder / "weights.safetensors").read_bytes() == whole
