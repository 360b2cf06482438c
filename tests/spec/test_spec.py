from pathlib import Path

import pytest

from chattn_nas.errors import InputError, SpecError
from chattn_nas.spec import load_spec

QUICKSTART = Path(__file__).parents[2] / "search_spaces" / "quickstart.yaml"


def written(tmp_path: Path, old: str, new: str) -> Path:
    text = QUICKSTART.read_text()
    assert old in text
    path = tmp_path / "spec.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


def line_of(path: Path, words: str) -> int:
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if words in line)


@pytest.mark.parametrize(
    ("old", "new", "message", "at"),
    [
        (
            "  batch_size: 128",
            "  batchsize: 128",
            "unknown key 'proxy.batchsize'; did you mean 'batch_size'?",
            "batchsize",
        ),
        ("proxy:", "proxi:", "unknown key 'proxi'; did you mean 'proxy'?", "proxi"),
        ("  trials: 24", "  trials: many", "search.trials: .*valid integer.*not 'many'", "many"),
        ("  sampler: tpe", "  sampler: tpee", "search.sampler cannot be 'tpee'; did you mean 'tpe'?", "tpee"),
        ("cifar_resnet8 ", "cifar_resnet9 ", "did you mean 'cifar_resnet", "cifar_resnet9"),
        ("    - eca:", "    - ecca:", "unknown attention type 'ecca'; did you mean 'eca'?", "ecca"),
        (
            "reduction: [2, 4, 8, 16]",
            "reductions: [2]",
            "no setting 'reductions'; did you mean 'reduction'?",
            "reductions",
        ),
        ("gamma: [1, 2]", "gamma: []", "gamma has an empty list of values", "gamma: []"),
        ("mode: [l1, l2]", "mode: [l1, l3]", "mode cannot be 'l3'; possible: l2, l1", "l3"),
        ("[top1, top2,", "[top1, top32,", "stage 1: fca.*32", "top32"),
        ("  all: ", "  4: [se]\n  all: ", "the backbone has no stage 4; possible: all, 1, 2, 3", "4: [se]"),
        ("  image_size: 16", "  image_size: [16", "not YAML: ", None),
        ("  image_size: 16", "  image_size: 16\n  image_size: 8", "key 'image_size' appears twice", "image_size: 8"),
        ('"<= 1.05x"', '"< 1.05y"', "1.05y", "1.05y"),
        ("objectives: [accuracy]", "objectives: [acuracy]", "did you mean 'accuracy'", "acuracy"),
    ],
)
def test_a_bad_spec_is_one_sentence_with_file_and_line(tmp_path, old, new, message, at) -> None:
    path = written(tmp_path, old, new)
    with pytest.raises(SpecError, match=message) as caught:
        load_spec(path)
    text = str(caught.value)
    assert "\n" not in text
    if at:
        assert text.startswith(f"{path}:{line_of(path, at)}: "), text


def test_a_missing_key_points_at_its_section(tmp_path) -> None:
    path = written(tmp_path, "  model: cifar_resnet8 ", "  #")
    with pytest.raises(SpecError, match=r"key 'backbone\.model' is missing") as caught:
        load_spec(path)
    assert caught.value.line in (line_of(path, "backbone:"), line_of(path, "options:"))


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "- a list\n", "just words\n", "a: [\n", "\t- x", "a: !!python/none x\n"]
)
def test_what_is_no_mapping_is_refused(tmp_path, text) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=r"spec.yaml:\d+: "):
        load_spec(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load_spec(tmp_path / "missing.yaml")
    with pytest.raises(InputError, match="Is a directory"):
        load_spec(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="not UTF-8"):
        load_spec(tmp_path / "binary.yaml")


def test_quickstart_is_what_the_issue_asks_for() -> None:
    spec = load_spec(QUICKSTART)
    space = spec.search_space()
    assert (space.size, space.canonical_size) == (21**3, 2 * 2 * 2 * space.canonical_size // 8)
    assert spec.model_validate(spec.model_dump(mode="json")) == spec, "the resolved spec reads back"
