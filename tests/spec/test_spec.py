import copy
import random
from pathlib import Path

import pytest
import yaml

from chattn_nas.errors import InputError, NewerFormatError, SpecError
from chattn_nas.spec import load_spec
from chattn_nas.spec.spec import Spec, stored

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
            "  batch_size: 64",
            "  batchsize: 128",
            "unknown key 'proxy.batchsize'; did you mean 'batch_size'?",
            "batchsize",
        ),
        ("proxy:", "proxi:", "unknown key 'proxi'; did you mean 'proxy'?", "proxi"),
        ("  trials: 24", "  trials: many", "search.trials: should be a whole number, not 'many'", "many"),
        ("  batch_size: 64", "  lr: 0.1", "unknown key 'proxy.lr'; did you mean 'learning_rate'?", "lr"),
        ("  batch_size: 64", "  epochs: 4", "unknown key 'proxy.epochs'; did you mean 'rungs'?", "  epochs: 4"),
        ("  batch_size: 64", "  workers: 4", "did you mean search.workers or training.workers?", "  workers: 4"),
        ("proxy:", "epochs: 4\nproxy:", "did you mean proxy.rungs or training.epochs?", "epochs: 4"),
        ("rungs: [4, 16]", "rungs: 16", r"proxy.rungs: should be a list, such as \[16\], not 16", "rungs: 16"),
        ("proxy:", "judging: 4\nproxy:", "judging: should be a mapping of keys to values, not 4", "judging"),
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
        ("  image_size: 8", "  image_size: [8", "not YAML: ", None),
        ("  image_size: 8", "  image_size: 16\n  image_size: 8", "key 'image_size' appears twice", "image_size: 8"),
        ('"<= 1.05x"', '"< 1.05y"', "1.05y", "1.05y"),
        ("objectives: [accuracy]", "objectives: [acuracy]", "did you mean 'accuracy'", "acuracy"),
        ("  trials: 24", "  trials: true", "search.trials: a number is needed, not True", "trials: true"),
        ("rungs: [4, 16]", "rungs: [true, 16]", "proxy.rungs: a number is needed", "[true, 16]"),
        ("  learning_rate: 0.2", "  learning_rate: .inf", "proxy.learning_rate.* finite number", ".inf"),
        ("  learning_rate: 0.2", "  learning_rate: .nan", "proxy.learning_rate.* finite number", ".nan"),
        ("  batch_size: 64", "  batch_size: 99999999999999999999", "below 2,147,483,648", "9999"),
        ("  batch_size: 64", "  device: gpu", "proxy.device: possible devices are auto, cpu, cuda", "gpu"),
        ("  trials: 24", "  devices: [cuda:x]", "possible devices are", "cuda:x"),
        ("  all: ", "  1.0: [se]\n  all: ", "a key is a word or the number of a stage, not '1.0'", "1.0: [se]"),
        ("  all: ", "  true: [se]\n  all: ", "a key is a word or the number of a stage, not 'true'", "true: [se]"),
        ("  all: ", "  ? [a, b]\n  : [se]\n  all: ", "not a list or a mapping", "? [a, b]"),
        ("proxy:", "x: &x [*x]\nproxy:", "an alias refers to something that contains it", "x: &x"),
        ("  image_size: 8", "  image_size: 2024-13-45", "cannot be read: month must be", "2024-13-45"),
        ('"<= 1.05x"', '"<= 0.5x"', "'<= 0.5x' can never hold", "0.5x"),
        ('"<= 1.05x"', '"<= 1e999x"', "'<= 1e999x' is no constraint; possible: .*'<= 5ms'$", "1e999x"),
        ('"<= 1.05x"', '"<= 5ms"', "parameters '<= 5ms' has a unit of time", "5ms"),
        ("objectives: [accuracy]", "objectives: [macs, macs]", "'macs' is listed twice$", "macs"),
        ("  trials: 24", "  trials: 010", "YAML reads 010 as 8: write 8", "010"),
        ("  trials: 24", "  trials: 1:30", "YAML reads 1:30 as 90: write 90", "1:30"),
        ("  trials: 24", "  trials: 2026-11-27", "should be a whole number, not 2026-11-27$", "2026-11-27"),
        ("backbone:", "backbon:", "unknown key 'backbon'; did you mean 'backbone'?", "backbon:"),
        ("  trials: 24", "  storage: nonsense", "a storage is a URL", "nonsense"),
        (
            "  options: {width: 16}",
            "  options: {width: !!set {a}}",
            "the tag !!set has no meaning here",
            "set",
        ),
        ("  options: {width: 16}", "  options: {widht: 16}", "'widht'; did you mean 'width'", "widht"),
        ("  trials: 24", "  trials: 24\x07", "not YAML: the character '.x07' is not allowed", "trials: 24"),
        ("proxy:", "proxy: [fast]\nx:", "should be a mapping of keys to values|unknown key 'x'", "x:"),
        ("name: ", "name: my run #", "a name is made of letters", "my run"),
        ("name: ", "name: ../../x #", "a name is made of letters", "../../x"),
        ("name: ", "name: 2026 #", "name: should be text, and YAML reads 2026 there: put it in quotes", "2026"),
        ("    - eca:", "    - ECA:", "unknown attention type 'ECA'; did you mean 'eca'?", "ECA"),
        ("  image_size: 8", "  image_size: 8\n  metric: F1", "cannot be 'F1'; did you mean 'macro_f1'?", "F1"),
        ("  image_size: 8", "  image_size: 8\n  channels: 2", "channels cannot be 2; possible: 1, 3", "channels: 2"),
        (
            "  options: {width: 16}",
            "  options: {width: 16}\n  freeze: [layer1]",
            r"backbone\.freeze\.0: should be 'stem' or a whole number, not 'layer1'",
            "layer1",
        ),
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


def test_a_space_of_nothing_but_none_is_refused(tmp_path) -> None:
    text = QUICKSTART.read_text()
    path = tmp_path / "spec.yaml"
    path.write_text(text[: text.index("  all: ")] + "  all: [none]\n" + text[text.index("proxy:") :])
    with pytest.raises(SpecError, match="nothing but 'none'"):
        load_spec(path)


def test_aliases_of_aliases_do_not_fill_the_memory(tmp_path) -> None:
    path = tmp_path / "spec.yaml"
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12))]
    path.write_text("\n".join(lines))
    with pytest.raises(SpecError, match="more than 100,000 entries"):
        load_spec(path)
    path.write_text("a: " + "[" * 20_000)
    with pytest.raises(SpecError, match="nested too deeply"):
        load_spec(path)


NASTY = (
    "true", ".inf", "-1", "0", "1e400", "99999999999999999999999", "[]", "{}", "null", "''", "[a]", "{a: b}", "1.0",
    "2024-13-45", "!!binary abc", "'\\0'", "[[1]]", "{[a]: b}", "[true]", "!!set {a}", "../../x", "!!int abc", "*a",
    "&a [*a]", "{<<: 3}", "__main__:X", "[1, 2", "!!python/object:os.system x",
)  # fmt: skip


def places(node, place=()):
    yield place
    for key, value in node.items() if isinstance(node, dict) else enumerate(node if isinstance(node, list) else ()):
        yield from places(value, (*place, key))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_stands_in_a_spec_is_read_or_refused_in_one_sentence(tmp_path, seed) -> None:
    whole = yaml.safe_load(QUICKSTART.read_text())
    rng, path = random.Random(seed), tmp_path / "spec.yaml"
    for _ in range(60):
        spec = copy.deepcopy(whole)
        *above, last = rng.choice([place for place in places(spec) if place])
        node = spec
        for key in above:
            node = node[key]
        node[last] = "@@"
        path.write_text(yaml.safe_dump(spec, sort_keys=False).replace("'@@'", "@@").replace("@@", rng.choice(NASTY)))
        refused = None
        try:
            load_spec(path)
        except SpecError as error:
            refused = str(error)
        assert refused is None or (refused.startswith(f"{path}:") and "\n" not in refused)


#: For every key of a spec; each is a value of the wrong kind for most of them.
WRONG = (
    "[]", "['a']", "{a: 1}", "{1: [2]}", "null", "true", "-1", "1.5", ".nan", "1e300", "99999999999999999999999", "''",
    "'a b'", "':x'", '"a\\0b"', "[.inf, true, null]", "2020-01-01", "!!binary aGk=", "'../x'",
)  # fmt: skip
#: Keys that take any text: what it names is looked for when it is needed.
ANY_TEXT = {
    ("backbone", "weights"), ("data", "cache"), ("proxy", "optimizer"), ("proxy", "loss"), ("proxy", "scheduler"),
    ("training", "scheduler"), ("trainer",), ("name",),
}  # fmt: skip


def keys_of_the_schema():
    for section, field in Spec.model_fields.items():
        yield (section,)
        for key in getattr(field.annotation, "model_fields", ()):
            if section != "space":
                yield section, key
    yield from (("space", "all"), ("space", 1), ("space", "all", 0), ("space", "all", 1), ("space", "all", 1, "se"))


def test_every_key_of_the_schema_takes_what_it_says_or_refuses_it_with_its_line(tmp_path) -> None:
    """Whatever passes by chance is few: a key that takes anything would be seen here."""
    base = {
        "name": "x", "backbone": {"model": "cifar_resnet8", "options": {"width": 16}}, "proxy": {}, "search": {},
        "data": {"dataset": "digits", "image_size": 8}, "space": {"all": ["none", {"se": {}}]}, "training": {},
        "judging": {}, "task": {},
    }  # fmt: skip
    path, passed = tmp_path / "spec.yaml", {}
    for place in keys_of_the_schema():
        for value in WRONG:
            spec = copy.deepcopy(base)
            node = spec
            for key in place[:-1]:
                node = node[key]
            node[place[-1]] = "@@"
            path.write_text(yaml.safe_dump(spec, sort_keys=False).replace("'@@'", value).replace("@@", value))
            try:
                load_spec(path)
                passed.setdefault(place, []).append(value)
            except SpecError as error:
                said = str(error)
                assert said.startswith(f"{path}:"), (place, value, said)
                assert "\n" not in said, (place, value, said)
    for place, values in passed.items():
        numbers = {"null", "true", "1.5", "[]"} | ({"-1"} if place == ("backbone", "freeze") else set())
        most = set(WRONG) - {'"a\\0b"'} if place in ANY_TEXT or place[0] == "data" else numbers
        assert set(values) <= most | {"{a: 1}", "['a']", "{1: [2]}"}, (place, values)
    assert len(passed) < 90


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  image_size: 8", "  image_size: 8\n  channels: true", "data.channels: a number is needed, not True"),
        ("  image_size: 8", "  image_size: 8\n  classes: []", "data.classes: it names no class"),
        ("  image_size: 8", '  image_size: 8\n  cache: "a\\0b"', "data.cache: a text cannot hold a zero byte"),
        ("  image_size: 8", f"  image_size: 8\n  cache: {'x' * 5000}", "data.cache cannot be read: File name too long"),
        ("  learning_rate: 0.2", "  learning_rate: 1e300", "proxy.learning_rate: a number must be below"),
        ("  trials: 24", "  trials: 24\n  timeout: 1e300", "search.timeout: a number must be below"),
        ("  trials: 24", "  trials: 24\n  retries: '99999999999'", "search.retries: a number must be below 2,147,483"),
        (
            "    - eca:",
            "    - ':x'\n    - eca:",
            "':x' cannot be imported as an attention .ValueError: Empty module name",
        ),
        ("  all: ", "  1: [se]\n  '1': [se]\n  all: ", "a stage has two lists"),
    ],
)
def test_what_once_passed_or_crashed(tmp_path, old, new, message) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        load_spec(written(tmp_path, old, new))
    assert "\n" not in str(caught.value)


def test_the_number_of_a_stage_may_stand_in_quotes(tmp_path) -> None:
    spec = load_spec(written(tmp_path, "  all: ", "  '1': [se]\n  all: "))
    assert [one.type for one in spec.search_space().candidates[0]] == ["se"]


def test_settings_are_checked_whatever_way_they_are_changed() -> None:
    spec = load_spec(QUICKSTART)
    for name in ("../../x", "my run", "", ".hidden", "x" * 300):
        with pytest.raises(InputError, match="name"):
            spec.model_copy(update={"name": name})
    with pytest.raises(InputError, match="trials: a number is needed, not True"):
        spec.search.model_copy(update={"trials": True})
    with pytest.raises(InputError, match="did you mean 'trials'"):
        spec.search.model_copy(update={"trails": 3})
    assert spec.search.model_copy(update={"trials": 7}).trials == 7
    with pytest.raises(InputError, match="neither"):
        Spec.from_dict(spec.to_dict() | {"space": {1.0: ["se"]}})


def test_a_stored_spec_of_another_version_is_read() -> None:
    spec = load_spec(QUICKSTART)
    newer = stored(spec) | {"sections": {"of": "tomorrow"}}
    newer["proxy"] = newer["proxy"] | {"unheard": 1}
    older = {key: value for key, value in spec.to_dict().items() if key != "training"}
    assert Spec.from_stored(newer) == Spec.from_stored(older) == spec
    with pytest.raises(InputError, match="key 'backbone' is missing"):
        Spec.from_stored({"name": "x"})
    with pytest.raises(NewerFormatError, match="reads formats up to"):
        Spec.from_stored(newer | {"format": 99})


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
    with pytest.raises(InputError, match="it is a folder"):
        load_spec(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="not UTF-8"):
        load_spec(tmp_path / "binary.yaml")


def test_quickstart_is_what_the_issue_asks_for() -> None:
    spec = load_spec(QUICKSTART)
    space = spec.search_space()
    # none, 4 of se, 4 of eca, 10 of fca, 2 of gct; of fca two equal others, ECA's (gamma, b) give 3, 2 and 4 kernels
    # at 16, 32 and 64 channels.
    assert space.size == 21**3
    assert [len(set(forms.values())) for forms in space.canonical] == [18, 17, 19]
    assert space.canonical_size == 18 * 17 * 19
    assert spec.model_validate(spec.model_dump(mode="json")) == spec, "the resolved spec reads back"


def test_settings_never_change_and_say_how_to_get_others() -> None:
    spec = load_spec("quickstart")
    with pytest.raises(InputError, match=r"SearchSettings never changes: .changed\(trials=...\) gives a copy"):
        spec.search.trials = 3
    assert spec.changed(search=spec.search.changed(trials=3)).search.trials == 3
    assert spec.search.trials == 24
