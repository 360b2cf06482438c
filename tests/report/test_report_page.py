import json
import re
from html.parser import HTMLParser

import pytest
from results_study import add_trial, architecture_of, make_world, new_study, simulate

from chattn_nas.report import html, write_report
from chattn_nas.report.page import strong
from chattn_nas.report.picture import picture
from chattn_nas.report.verdict import verdict
from chattn_nas.results import Standing, leaderboard
from chattn_nas.study import records
from chattn_nas.study.short import short, short_form


@pytest.fixture(scope="module")
def page(study) -> str:
    return html(study)


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.scripts: list[str] = []
        self.text = ""
        self.inside = ""

    def handle_starttag(self, tag, attrs):
        self.inside = tag
        values = dict(attrs)
        self.links += [values[key] for key in ("src", "href") if key in values]
        self.ids += [values["id"]] if "id" in values else []

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts.append(data)
        elif self.inside != "style":
            self.text += data + " "


@pytest.fixture(scope="module")
def read(page) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def test_the_page_asks_for_nothing_from_outside(read):
    assert [link for link in read.links if not link.startswith("data:")] == []
    assert len(read.ids) == len(set(read.ids))


def test_the_verdict_comes_first_and_says_unconfirmed(page, read, study):
    body = page[page.index("<body>") :]
    assert body.index('class="verdict"') < body.index("<table")
    best = Standing(study).best()
    words = re.sub(r"\s+", " ", read.text)
    said = re.sub(r"\s*\|\s*", " | ", words).replace("  ", " ")
    assert f"{short_form(best.choices)} first, at {best.pooled:.2f} %" in said
    for choice in best.choices:
        assert short(choice) in said
        assert short(choice) in (choice, "-") or f"{short(choice)}: {choice}" in words, "the legend"
    assert "unconfirmed" in words
    assert "chattn-nas confirm simulated" in words


def test_every_plot_has_a_caption_and_its_figure_is_plain_json(page):
    figures = re.findall(r'<script type="application/json" id="(figure-[\w-]+)">(.*?)</script>', page, re.S)
    names = {name for name, _ in figures}
    assert {"figure-pareto-parameters", "figure-effects", "figure-rungs", "figure-progress", "figure-outcomes"} <= names
    for name, text in figures:
        assert json.loads(text)["data"], name
    for block in re.findall(r"<figure>(.*?)</figure>", page, re.S):
        assert "<figcaption>" in block


def test_baselines_show_the_seeds_behind_each(read):
    for name in (
        "no attention",
        "se everywhere",
        "eca everywhere",
        "fca everywhere",
        "gct everywhere",
        "the random-gate control",
    ):
        assert name in read.text


def test_a_study_without_results_still_gets_a_page(tmp_path):
    study = new_study()
    path = write_report(tmp_path / "run", study)
    assert "Nothing was trained to the end yet" in path.read_text()
    study.ask()
    add_trial(
        study, architecture_of((0, 1, 2)), seed=0, accuracies=(), outcome="crashed", reason="<script>alert(1)</script>"
    )
    text = html(study)
    assert "<script>alert(1)" not in text
    assert "crashed" in text


@pytest.mark.parametrize("trials", [1, 2, 3, 5, 8])
def test_a_page_of_a_search_that_has_hardly_begun(trials):
    assert "unconfirmed" in html(simulate(make_world(1), trials))


def test_the_verdict_says_when_attention_does_not_pay():
    study = new_study()
    for index, (types, label) in enumerate(
        [((0, 0, 0), "none"), ((1, 1, 1), "uniform se"), ((1, 2, 1), ""), ((2, 2, 1), ""), ((2, 2, 2), "uniform eca")]
    ):
        for seed in range(3):
            add_trial(study, architecture_of(types), seed=seed, accuracies=[70, 92 - index - 0.1 * seed], label=label)
    said = verdict(study, records(study), Standing(study), leaderboard(study))
    assert said.headline == "No attention at all leads"
    assert "Attention does not pay here" in " ".join(said.sentences)


def test_the_verdict_says_when_the_control_is_as_good():
    study = new_study()
    for types, label, accuracy in [
        ((5, 5, 5), "random_gate", 95),
        ((1, 1, 1), "uniform se", 90),
        ((1, 2, 1), "", 91),
        ((0, 0, 0), "none", 89),
    ]:
        for seed in range(3):
            add_trial(study, architecture_of(types), seed=seed, accuracies=[70, accuracy + 0.1 * seed], label=label)
    assert "not evidence for attention" in " ".join(
        verdict(study, records(study), Standing(study), leaderboard(study)).sentences
    )


def test_the_verdict_names_what_luck_would_have_chosen():
    """Among these seeds some have a luckiest trial that is not the pooled pick; then both are named."""
    for seed in range(20):
        study = simulate(make_world(seed), 60)
        standing = Standing(study)
        single = standing.best("single")
        said = " ".join(verdict(study, records(study), standing, leaderboard(study)).details)
        same = [standing.best(by).hash == standing.best().hash for by in ("mean", "single")]
        assert ("agree on it" in said) == all(same)
        assert ("The three ways to choose differ" in said) == (not all(same))
        if not same[1]:
            assert f"{single.single:.2f} %" in said
            return
    pytest.fail("no study in which the picks differ")


def test_marked_text_is_escaped():
    assert strong("**a<b** `c&d`") == "<strong>a&lt;b</strong> <code>c&amp;d</code>"


def test_the_picture_names_every_stage_and_escapes():
    svg = picture(
        ["se(reduction=4)", "none", "<x>"],
        [{"name": "layer1", "blocks": 6}],
        backbone="net&co",
        head="detection",
        colours={"se": "red"},
    )
    assert svg.count('class="stage"') == 3
    assert "reduction=4" in svg
    assert "6 blocks" in svg
    assert "<x>" not in svg
    assert "net&amp;co" in svg
    assert ">detection<" in svg
