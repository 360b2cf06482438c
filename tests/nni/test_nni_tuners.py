"""NNI's own tuners take the space as it is written, and what they propose reads back. Needs the nni extra."""

import json

import pytest

from chattn_nas.errors import InputError
from chattn_nas.search.nni.config import NAMES
from chattn_nas.search.nni.engine import require_nni
from chattn_nas.search.nni.space import nni_layers, nni_sample, nni_space, read_nni
from chattn_nas.spec import Spec

pytest.importorskip("nni", reason="NNI: the nni extra is not installed (scripts/install-nni)")
pytestmark = pytest.mark.filterwarnings("ignore")  # NNI's own
SPACE = ["none", {"se": {"reduction": [2, 4, 8]}}, {"eca": {"gamma": [1, 2], "b": [1, 2]}},
         {"gct": {"mode": ["l1", "l2"], "blocks": ["all", "last"]}}]  # fmt: skip


@pytest.mark.parametrize(
    ("service", "message"),
    [({"platform": "nowhere"}, "nowhere"), ({"platform": "local", "colour": 1}, "colour")],
)
def test_a_training_service_that_nni_does_not_know(plain_spec, service, message) -> None:
    spec = Spec.from_dict(plain_spec("service", training_service=service, storage="sqlite:///shared.db"))
    with pytest.raises(InputError, match=f"NNI refuses training_service.*{message}"):
        require_nni(spec)


@pytest.mark.parametrize("tuner", NAMES)
def test_proposals_read_back(plain_spec, tuner) -> None:
    from nni.common import load
    from nni.tools.package_utils import create_builtin_class_instance

    space = Spec.from_dict(plain_spec("tuners") | {"space": {"all": SPACE}}).search_space()
    write = nni_layers if tuner == "regularized_evolution" else nni_space
    arguments = {"grid": None, "random": {"seed": 0}}.get(tuner, {"optimize_mode": "maximize"})
    made = create_builtin_class_instance(NAMES[tuner], arguments, "tuners")
    made.update_search_space(json.loads(json.dumps(write(space))))
    if tuner in ("tpe", "grid"):
        known = next(space.enumerate())
        made.import_data([{"parameter": nni_sample(space, known), "value": 0.5}])
    seen = set()
    for number in range(40):
        (sample,) = made.generate_multiple_parameters([number], st_callback=None)
        architecture = read_nni(space, load(json.dumps(sample)))
        seen.add(architecture)
        made.receive_trial_result(number, sample, 0.1 + number / 100)
        made.trial_end(number, True)
    assert len(seen) > 10
    if tuner == "grid":
        assert known not in {architecture.canonical(space.stages) for architecture in seen}
