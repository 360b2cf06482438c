"""A study that is scored by another metric says so wherever it spoke of accuracy, and names its floor."""

import numpy as np
import pytest
from PIL import Image

from chattn_nas.report import html, markdown, write_report
from chattn_nas.report.classes import class_figures
from chattn_nas.search import search
from chattn_nas.spec import Spec
from chattn_nas.study import records
from chattn_nas.study.metric import metric_of, named
from chattn_nas.unit import ACCURACY, Unit, percent


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("uneven")
    for name, count in (("ant", 30), ("bee", 10)):
        (root / "set" / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.random.default_rng(number + 100 * count).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "set" / name / f"{number:03d}.png")
    spec = Spec.model_validate({
        "name": "uneven",
        "backbone": {"model": "cifar_resnet8", "options": {"width": 4}},
        "data": {"dataset": "image_folder", "path": str(root / "set"), "image_size": 8, "metric": "macro_f1"},
        "space": {"all": ["none", "se"]},
        "proxy": {"rungs": [1], "batch_size": 8, "device": "cpu"},
        "search": {"trials": 2, "workers": 0, "sampler": "random"},
    })  # fmt: skip
    return search(spec, run=root / "run", progress=False).study


def test_reports_name_the_metric(study) -> None:
    assert metric_of(study) == "macro F1"
    text = markdown(study)
    report, spec = text.split("<details><summary>The spec")
    assert "macro F1" in report
    assert "accuracy" not in report.lower()
    assert "Always answering 'ant' would score 42.86 % macro F1." in report
    assert "- accuracy" in spec, "the spec stays as it is"
    page = html(study)
    assert "validation macro F1 (%)" in page
    assert "/* plotly.js */" not in page
    assert "score" in study.trials[0].user_attrs["measurement"]["rungs"][-1]


def test_reports_show_every_class_and_what_the_network_sees(study, tmp_path_factory) -> None:
    complete = [record for record in records(study) if record.outcome == "complete"]
    found = class_figures(complete, complete[0].hash, ["ant", "bee"])
    kept = complete[0].measurement.rungs[-1].figures
    assert found is not None
    assert found.trainings == 1
    assert found.names == ("ant", "bee")
    assert found.figures["recall"].tolist() == kept["recall"]
    counts = np.array(kept["confusion"])
    assert found.confusion.sum(1) == pytest.approx([1, 1])
    assert found.confusion.diagonal() == pytest.approx(counts.diagonal() / counts.sum(1))
    assert class_figures(complete, "unknown", []) is None
    assert "## Class by class" in markdown(study)
    page = html(study)
    assert 'id="classes"' in page
    assert 'id="figure-confusion"' in page
    assert 'id="data"' not in page, "without a run's folder there is no contact sheet"
    run = next(tmp_path_factory.getbasetemp().glob("uneven*")) / "run"
    with Image.open(run / "data.jpg") as sheet:
        assert sheet.format == "JPEG"
        assert max(sheet.size) <= 960
    assert "data:image/jpeg;base64," in write_report(run, study).read_text(encoding="utf-8")


def test_accuracy_stays_accuracy() -> None:
    assert named("Accuracy and accuracy", ACCURACY) == "Accuracy and accuracy"
    assert named("Accuracy, accuracy, balanced_accuracy; x: accuracy", percent("auroc", "AUROC"), ["x: accuracy"]) == (
        "AUROC, AUROC, balanced_accuracy; x: accuracy"
    )


def test_a_text_that_names_the_metric_already_stays() -> None:
    unit = percent("balanced_accuracy")
    once = named("Accuracy and 92.00 % validation accuracy", unit)
    assert once == "Balanced accuracy and 92.00 % validation balanced accuracy"
    assert named(once, unit) == once


def test_another_unit_takes_the_place_of_percent_and_points() -> None:
    unit = Unit(name="psnr", title="PSNR", unit="dB", difference="dB", scale=1.0)
    said = {
        "se leads by +0.42 points (95 % interval -0.10 to 1.20)": "se leads by +0.42 dB (95 % interval -0.10 to 1.20)",
        "an accuracy of 28.66 %, shown with a probability of 80 %":
            "an PSNR of 28.66 dB, shown with a probability of 80 %",
        "validation accuracy (%)": "validation PSNR (dB)",
        "pooled % (sd) | mean % (se)": "pooled dB (sd) | mean dB (se)",
        "%{y:.2f} % after %{x} epochs": "%{y:.2f} dB after %{x} epochs",
        '<polyline points="1,2"/> event.points[0]': '<polyline points="1,2"/> event.points[0]',
        "differences in percentage points": "differences in dB",
    }  # fmt: skip
    for before, after in said.items():
        assert named(before, unit) == after
    assert (unit.text(28.661), unit.apart(-0.041)) == ("28.66 dB", "0.04 dB")
    assert Unit.from_dict(unit.to_dict() | {"of_another_version": 1}) == unit
