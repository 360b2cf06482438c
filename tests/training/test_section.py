"""The section ``training`` of a spec: free to change between sessions, wrong values refused with their line."""

import pytest

from chattn_nas.errors import SpecError
from chattn_nas.spec import Spec, load_spec

SPEC = """\
name: tiny
backbone: {model: cifar_resnet8}
data: {dataset: digits, image_size: 8}
space: {all: [none, se]}
"""


def test_another_final_training_leaves_the_trials_comparable(tmp_path) -> None:
    (tmp_path / "plain.yaml").write_text(SPEC)
    (tmp_path / "long.yaml").write_text(SPEC + "training: {epochs: 50, mixup: 0.2, with_validation: true}\n")
    plain, long = load_spec(tmp_path / "plain.yaml"), load_spec(tmp_path / "long.yaml")
    assert long.training.epochs == 50
    assert plain.differences(long) == []
    assert plain.hash == long.hash
    assert Spec.from_dict(long.to_dict()) == long


@pytest.mark.parametrize("line", ["training: {epoch: 3}", "training: {ema: 1.5}", "training: {data_on: gpu}"])
def test_wrong_settings_are_refused_with_their_line(tmp_path, line) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC + line)
    with pytest.raises(SpecError, match=r"spec\.yaml:5: .*training\."):
        load_spec(tmp_path / "spec.yaml")
