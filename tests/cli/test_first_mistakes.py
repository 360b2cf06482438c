"""The first mistakes of somebody who starts: one sentence, exit code 2, nothing written."""

import numpy as np
import pytest
import yaml
from PIL import Image

from chattn_nas.cli import main
from chattn_nas.spec import load_spec

SPEC = """name: pets
backbone:
  model: cifar_resnet8
data:
  dataset: image_folder
  path: photos
  image_size: 16
space:
  all: [none, se]
proxy:
  rungs: [1, 2]
"""


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(12):
            pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{index}.png")
    (tmp_path / "pets.yaml").write_text(SPEC)
    return tmp_path


def refused(invoke, folder, *words) -> str:
    before = sorted(map(str, folder.rglob("*")))
    out, error = invoke(*words, code=2)
    assert error.count("\n") == 1, error
    assert error.startswith("chattn-nas: ")
    assert "Data:" not in out, "it is told before the data are read"
    assert "Plan:" not in out, "it is told before anything is timed"
    assert sorted(map(str, folder.rglob("*"))) == before
    return error


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("serch", "pets.yaml"), "no such command 'serch'; did you mean 'search'"),
        (("search",), "missing argument 'SPEC'; 'chattn-nas search -h' shows what is possible"),
        (("search", "pets.yaml", "--epochs", "4"), "no such option: --epochs; 'chattn-nas search -h'"),
        (("search", "pets.yaml", "--trials", "many"), "--trials should be a whole number, not 'many'"),
        (("search", "pets.yaml", "--trials", "2.5"), "--trials should be a whole number, not '2.5'"),
        (("search", "pets.yaml", "--trials", "0"), "--trials should be greater than or equal to 1, not '0'"),
        (("search", "pets.yaml", "--budget", "2 fortnights"), "--budget is a time such as 30m"),
        (("search", "pets.yaml", "--budget", ""), "'budget' is empty: leave it out, or give it a value"),
        (("search", "pets.yaml", "--name", ""), "'name' is empty"),
        (("search", "pets.yaml", "--run", "photos"), "photos holds other files, such as cat: a run needs a folder of"),
        (("search", "pets.yaml", "--run", "pets.yaml"), "pets.yaml is a file: a run needs a folder"),
        (("calibrate", "pets.yaml", "--run", "photos"), "photos holds other files, such as cat"),
        (("calibrate", "pets.yaml", "--recipe", "--run", "photos"), "photos holds other files, such as cat"),
        (("search", "pets.yaml", "--workers", "1000"), "1000 workers do not fit into the"),
        (("export", "pets"), "missing option '--out'"),
        (("init", "photos"), "unexpected extra argument(s) (photos); data are named with --data"),
        (("init", "--data", "", "--yes"), "'data' is empty"),
        (("init", "--data", "https://example.com/photos.zip", "--yes"), "nothing is fetched from a URL: download"),
        (("init", "--data", "photos", "--params", "5%", "--yes"), "--params 5%: it is no limit; possible: 1.02x"),
        (("init", "--data", "photos", "--params", "<= 1.02x", "--yes"), "--params <= 1.02x: it is no limit"),
        (("init", "--data", "photos", "--name", "pets", "--yes"), "pets.yaml exists and is left as it is; remove it"),
        (
            ("init", "--data", "photos", "--name", "größer", "--yes"),
            "a name is made of letters (a to z, A to Z), digits",
        ),
        (("init", "--data", "photos", "--backbone", "vit_tiny_patch16_224", "--yes"), "backbones PATTERN lists those"),
        (("backbones", "xyz*"), "timm has no model 'xyz*', nor one of a similar name"),
    ],
)
def test_what_is_typed(photos, invoke, monkeypatch, words, expected) -> None:
    monkeypatch.setattr("sys.argv", ["chattn-nas"])
    assert expected in refused(invoke, photos, *words)


def test_a_default_that_is_empty_is_none_of_them(photos, invoke) -> None:
    assert "pets is no run" in refused(invoke, photos, "export", "pets", "--out", "network")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "name: pets",
            "format: 99\nname: pets",
            "spec.yaml:1: this spec",
        ),
        ("name: pets", "format: png\nname: pets", "spec.yaml:1: unknown key 'format'"),
        ("  model:", "\tmodel:", "spec.yaml:3: not YAML: a tab stands where only blanks can"),
        ("  model:", "\u00a0\u00a0model:", "spec.yaml:3: not YAML: a blank of another kind (such as U+00A0) stands"),
        (
            "space:\n  all: [none, se]",
            "space: se",
            "space: should be a mapping of keys to values, such as {all: [none, se]}, not 'se'",
        ),
        ("proxy:", "task: segmentation\nproxy:", "task: should be a mapping of keys to values, such as {type: segm"),
        ("[none, se]", "['se(reduction=4)']", "'se(reduction=4)': settings are written {se: {reduction: 4}}"),
        *(
            (
                "[none, se]",
                f"[none, {{se: {{reduction: {written}}}}}]",
                "; there are no ranges: values are listed, such as red",
            )
            for written in (
                "2..16",
                "2-16",
                "{low: 2, high: 16}",
                "[2, ..., 16]",
                "'range(2, 16)'",
                "[[2, 16]]",
                "2 4 8",
            )
        ),
        *(
            ("[none, se]", f"[{written}, se]", "no attention is written none")
            for written in ("no", "off", "~", "null", "'no'", "nothing", "identity", "Identity", "''", "{no: {}}")
        ),
        ("[none, se]", "[None, se]", "did you mean 'none'?"),
        ("[none, se]", "[my_att: Att, se]", "'my_att': a class of your own is written 'my_att:Att', in one word"),
        ("[none, se]", "[my_att.Att, se]", "'my_att.Att': a class of your own is named 'my_att:Att'"),
        ("[none, se]", "[./my_att.py, se]", "'./my_att.py': a class of your own is named 'my_att:CLASS'"),
        ("[none, se]", "[./my_att.py:Att, se]", "names a file where a module belongs: write 'my_att:Att'"),
        ("[none, se]", "[MyOwn, se]", "'MyOwn', nor a class of your own, which is named module:CLASS; possible"),
        ("[none, se]", "[none, timm:se]", "unknown attention type 'timm:se'; did you mean 'timm/se'?"),
        ("[none, se]", "[none, {se: 4}]", "se takes settings, such as {reduction: 16}, or the word 'search', not 4"),
        ("[none, se]", "[{type: se, reduction: 4}]", "such as se or {se: {reduction: 4}}, not {'type': 'se', 'red"),
        (
            "[none, se]",
            "[none, {eca: {kernel_size: 3, gamma: 2}}]",
            "spec.yaml:9: eca: gamma has no effect with kernel_",
        ),
        ("  image_size", "   image_size", "spec.yaml:7: not YAML: "),
        ("backbone:", "  backbone:", "spec.yaml:2: not YAML: a colon stands where none can"),
        ("name: pets", "name pets", "spec.yaml:2: not YAML: "),
        ("path: photos", "path: %HOME%/photos", "spec.yaml:6: not YAML: no text can start with % without quotes"),
        ("path: photos", 'path: "C:\\Users\\me"', "put a path of Windows into single quotes"),
        ("path: photos", 'path: "photos', "not YAML: a quote that was opened is not closed"),
        ("[none, se]", "[none, se", "not YAML: a list or mapping is not closed: ] or a comma is missing"),
        ("path: photos", 'path: ""', "spec.yaml:6: data.path is empty: leave it out, or name a file or folder"),
        (
            "path: photos",
            "path: https://example.com/photos",
            "spec.yaml:6: there is no .*; nothing is fetched from a URL",
        ),
        ("rungs: [1, 2]", "rungs: 1, 2", "proxy.rungs: should be a list, such as [1, 2], not '1, 2'"),
        ("  path", "  validation: 20%\n  path", "data.validation: should be a number, such as 0.2, not '20%'"),
        ("  path", "  validation: 0,25\n  path", "data.validation: should be a number, such as 0.25, not '0,25'"),
        ("proxy:", "search: {budget: 2h}\nproxy:", "unknown key 'search.budget': time is given on the command line"),
        (
            "proxy:",
            "search: {constraints: {latency: '<= 5'}}\nproxy:",
            "'<= 5' would be seconds; possible: '<= 5ms', '<= 5s'",
        ),
        (
            "proxy:",
            "search: {storage: 'postgres://me@localhost/studies'}\nproxy:",
            "spec.yaml:10: a storage of the unknown kind 'postgres'; did you mean 'postgresql'?",
        ),
        (
            "proxy:",
            "search: {storage: 'sqlite:///pets.yaml/study.db'}\nproxy:",
            "spec.yaml:10: the storage pets.yaml/study.db cannot be reached, read or written: [Errno 20] Not a",
        ),
        (
            "proxy:",
            "search: {storage: 'oracle://me@localhost/studies'}\nproxy:",
            "spec.yaml:10: the storage oracle://me@localhost/studies needs a driver: ",
        ),
        ("cifar_resnet8", "timm/resnet18.a1_in1k", "did you mean 'resnet18.a1_in1k'?"),
        ("cifar_resnet8", "torchvision.models.resnet18", "did you mean 'resnet18'?"),
        ("cifar_resnet8", "microsoft/resnet-50", "did you mean 'resnet50'?"),
        ("cifar_resnet8", "yolov8n", "nor one of a similar name: chattn-nas backbones PATTERN lists what is possible"),
        (
            "cifar_resnet8",
            "resnet18.a1",
            "spec.yaml:3: timm has no weights 'a1' for resnet18; did you mean 'resnet18'? possible: resnet18,",
        ),
        (
            "cifar_resnet8",
            "cifar_resnet8\n  pretrained: true",
            "spec.yaml:4: timm has no pretrained weights for cifar_",
        ),
        (
            "cifar_resnet8",
            "cifar_resnet8\n  freeze: [stem, 7]",
            "spec.yaml:4: the backbone has no part 7 to freeze",
        ),
        ("rungs:", "optimizer: sgdd\n  rungs:", "spec.yaml:11: there is no optimiser 'sgdd'; did you mean 'sgd'?"),
        ("rungs:", "optimizer: nope:Mine\n  rungs:", "spec.yaml:11: 'nope:Mine' cannot be imported as an optimiser"),
        (
            "rungs:",
            "loss: focal\n  rungs:",
            "spec.yaml:11: there is no loss 'focal'; possible: task, ce, bce",
        ),
        ("rungs:", "loss: nope:mine\n  rungs:", "spec.yaml:11: 'nope:mine' cannot be imported as a loss"),
        ("rungs:", "scheduler: nope:mine\n  rungs:", "spec.yaml:11: 'nope:mine' cannot be imported as a scheduler"),
        (
            "  path",
            "  metric: psnr\n  path",
            "spec.yaml:6: no metric 'psnr' for classification; possible: ",
        ),
        ("  path", "  metric: nope:mine\n  path", "spec.yaml:6: 'nope:mine' cannot be imported as a metric"),
        ("  path", "  augment: nope:mine\n  path", "spec.yaml:6: 'nope:mine' cannot be imported as an augmentation"),
        ("proxy:", "task: {type: segmentation}\nproxy:\n  mixup: 0.2", "proxy.mixup changes images in a way that"),
        ("proxy:", "task: {type: segmentation}\nproxy:\n  loss: ce", "proxy.loss ce is not for task segmentation; pos"),
        (
            "  image_size: 16\n",
            "  image_size: 16\n  metric: accuracy\ntask: {type: segmentation}\n",
            "spec.yaml:8: no metric 'accuracy' for segmentation; did you mean 'pixel_accuracy'?",
        ),
        (
            "cifar_resnet8\n",
            "cifar_resnet8\n  head: isqrt_cov\ntask: {type: segmentation}\n",
            "spec.yaml:4: backbone.head: isqrt_cov stands before a classifier, and task segmentation has none",
        ),
        (
            "proxy:",
            "task: {type: super_resolution}\nproxy:\n  label_smoothing: 0.1",
            "proxy.label_smoothing 0.1 smooths labels, and task super_resolution has none",
        ),
        (
            "proxy:",
            "task: {type: segmentation}\ntraining: {cutmix: 1.0}\nproxy:",
            "training.cutmix changes images",
        ),
        (
            "proxy:",
            "search: {log_to: ['nope:Mine']}\nproxy:",
            "'nope:Mine' cannot be imported as a logger",
        ),
        (
            "proxy:",
            "search: {sampler: 'nope:Mine'}\nproxy:",
            "'nope:Mine' cannot be imported as a sampler",
        ),
        ("cifar_resnet8", "cifar_resnet8\n  weights: nope.pth", "spec.yaml:4: there is no file of weights 'nope.pth'"),
    ],
)
def test_what_is_written_into_a_spec(photos, invoke, old, new, expected) -> None:
    assert old in SPEC
    (photos / "spec.yaml").write_text(SPEC.replace(old, new, 1))
    said = refused(invoke, photos, "plan", "spec.yaml")
    before, _, after = expected.partition(".*")
    assert before in said, said
    assert after in said, said


@pytest.mark.parametrize(
    "command", [("search",), ("plan",), ("calibrate",), ("calibrate", "--recipe"), ("one-shot",)], ids=" ".join
)
def test_what_needs_no_data_is_told_before_they_are_looked_for(photos, invoke, command) -> None:
    spec = SPEC.replace("path: photos", "path: gone").replace("rungs:", "optimizer: sgdd\n  rungs:")
    (photos / "spec.yaml").write_text(spec)
    assert "spec.yaml:11: there is no optimiser 'sgdd'" in refused(invoke, photos, *command, "spec.yaml")


def test_a_server_that_nobody_reaches_is_told_before_anything_is_timed(photos, invoke) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    storage = "search: {storage: 'postgresql://me@127.0.0.1:1/studies'}\n"
    (photos / "spec.yaml").write_text(SPEC + storage)
    said = refused(invoke, photos, "search", "spec.yaml")
    assert "spec.yaml:12: the storage postgresql://me@127.0.0.1:1/studies cannot be reached" in said


@pytest.mark.parametrize("command", [("search",), ("calibrate",), ("calibrate", "--recipe")])
def test_a_place_that_cannot_be_written_is_told_before_anything_is_timed(
    photos, invoke, without_rights, command
) -> None:
    (photos / "spec.yaml").write_text(SPEC)
    photos.chmod(0o555)
    with without_rights():
        said = refused(invoke, photos, *command, "spec.yaml")
    photos.chmod(0o755)
    assert "cannot be written: Permission denied" in said


def test_weights_that_are_missing_are_told_before_the_data_are_read(photos, invoke) -> None:
    (photos / "spec.yaml").write_text(SPEC.replace("cifar_resnet8", "cifar_resnet8\n  weights: nope.pth"))
    out, _ = invoke("plan", "spec.yaml", code=2)
    assert "Data:" not in out


def test_a_spec_in_another_encoding_is_told_with_its_line(photos, invoke) -> None:
    (photos / "spec.yaml").write_bytes(SPEC.replace("photos", "fötos").encode("latin-1"))
    said = refused(invoke, photos, "space", "spec.yaml")
    assert "spec.yaml:6: it is not UTF-8 text: save the file as UTF-8" in said


@pytest.mark.parametrize(
    "change", [lambda text: text.replace("\n", "\r\n").encode(), lambda text: b"\xef\xbb\xbf" + text.encode()]
)
def test_files_as_windows_writes_them_are_read(photos, change) -> None:
    (photos / "spec.yaml").write_bytes(change(SPEC))
    assert load_spec("spec.yaml").name == "pets"


def test_a_mistyped_train_is_no_class(photos, invoke) -> None:
    for part in ("trian", "test"):
        for name in ("cat", "dog"):
            (photos / "set" / part / name).mkdir(parents=True)
            for file in (photos / "photos" / name).iterdir():
                (photos / "set" / part / name / file.name).write_bytes(file.read_bytes())
    said = refused(invoke, photos, "init", "--data", "set", "--yes")
    assert "holds test/ (test images) and trian/ with the same folders inside, but no train/" in said


def test_folders_inside_class_folders_are_told(photos, invoke) -> None:
    (photos / "photos").rename(photos / "animals")
    (photos / "set").mkdir()
    (photos / "animals").rename(photos / "set" / "animals")
    (photos / "set" / "plants" / "oak").mkdir(parents=True)
    for file in (photos / "set" / "animals" / "cat").iterdir():
        (photos / "set" / "plants" / "oak" / file.name).write_bytes(file.read_bytes())
    out, _ = invoke("init", "--data", "set", "--yes")
    assert "folders inside a class folder count for its class: animals holds cat, dog, plants holds oak" in out
    assert yaml.safe_load((photos / "set.yaml").read_text())["data"]["path"] == "set"


def test_without_a_word_the_help_is_shown(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["chattn-nas"])
    with pytest.raises(SystemExit):
        main()
    assert "Take home" in "".join(capsys.readouterr())
