"""Canonical values: merged exactly where the modules are the same, whatever the channels of a stage's sites."""

import itertools

import pytest

from chattn_nas.attention import get

STAGES = [[16], [64], [8, 20], [64, 256], [6, 6], [128, 40, 72], [1]]


def _forms(name, stage, grid):
    kind = get(name)
    sites = [(channels, (8, 8)) for channels in stage]
    for values in ({**kind.defaults, **dict(zip(grid, row))} for row in itertools.product(*grid.values())):
        yield values, kind.canonical(values, sites), sites


def _groups(name, stage, grid, built):
    """Values that build the same, against values with the same canonical form."""
    by_form, by_module = {}, {}
    for values, form, sites in _forms(name, stage, grid):
        assert get(name).canonical(form, sites) == form, "not idempotent"
        by_form.setdefault(tuple(sorted(form.items(), key=str)), []).append(values)
        by_module.setdefault(tuple(built(channels, values) for channels in stage), []).append(values)
    return sorted(map(str, by_form.values())), sorted(map(str, by_module.values()))


@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_reductions_merge_where_every_hidden_width_is_equal(stage):
    for name in ("se", "rcan"):
        forms, modules = _groups(name, stage, {"reduction": range(1, 70)}, lambda c, v: max(1, c // v["reduction"]))
        assert forms == modules


@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_eca_settings_merge_where_every_kernel_is_equal(stage):
    grid = {"gamma": [1, 2, 3], "b": [0, 1, 2, 3, 4], "kernel_size": [None, 1, 3, 5, 7, 9]}
    cls = get("eca").cls
    forms, modules = _groups("eca", stage, grid, lambda c, v: cls(c, **v).conv.kernel_size)
    assert forms == modules


def test_l2_has_no_after_relu():
    grid = {"mode": ["l1", "l2"], "after_relu": [False, True]}
    forms, modules = _groups("gct", [16], grid, lambda c, v: (v["mode"], v["mode"] == "l1" and v["after_relu"]))
    assert forms == modules


def test_frequency_sets_that_are_one_list_merge():
    grid = {"frequencies": get("fca").hyperparameters["frequencies"].values}
    tables = {"top1": "one", "low1": "one", "top2": "two", "low2": "two"}
    forms, modules = _groups("fca", [64], grid, lambda c, v: tables.get(v["frequencies"], v["frequencies"]))
    assert forms == modules
