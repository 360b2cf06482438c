"""Every key of a spec is told: what it is, its default, its unit, an example that is possible."""

import json
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, TypeAdapter

from chattn_nas.spec.page import page
from chattn_nas.spec.schema import fresh_schema
from chattn_nas.spec.spec import Spec

SECTIONS = [Spec, *(f.annotation for f in Spec.model_fields.values() if hasattr(f.annotation, "changed"))]
#: Numbers that only name something.
NAMES = {"seed", "nni_port"}


def property_of(model: type[BaseModel], key: str) -> dict:
    return model.model_json_schema()["properties"][key]


@pytest.mark.parametrize(
    ("model", "key"),
    [(model, key) for model in SECTIONS for key in model.model_fields],
    ids=lambda v: getattr(v, "__name__", v),
)
def test_every_key_has_a_description_a_default_a_unit_and_a_possible_example(model, key) -> None:
    told, field = property_of(model, key), model.model_fields[key]
    assert len(told["description"]) > 10, f"{model.__name__}: the docstring's section Attributes lacks {key}"
    assert field.is_required() or "default" in told or "$ref" in told, f"{key} has no default"
    assert told.get("examples"), f"{model.__name__}: the docstring's section 'In a spec' lacks {key}"
    TypeAdapter(Annotated[field.annotation, *field.metadata, None]).validate_python(told["examples"][0])
    types = json.dumps(TypeAdapter(field.annotation).json_schema())
    if ('"integer"' in types or '"number"' in types) and "$ref" not in told and key not in {*NAMES, "freeze"}:
        assert told.get("unit"), f"{model.__name__}.{key} is a number without a unit"


def test_every_setting_of_every_attention_is_told() -> None:
    entries = json.loads(fresh_schema())["$defs"]["SpaceSettings"]["patternProperties"].popitem()[1]["items"]["anyOf"]
    settings = [
        (name, key, setting)
        for entry in entries
        for name, told in entry.get("properties", {}).items()
        for key, setting in told["anyOf"][0]["properties"].items()
    ]
    assert len(settings) > 100
    for name, key, setting in settings:
        assert setting["examples"], (name, key)
        assert "default" in setting, (name, key)
        assert not setting["description"].startswith("A setting of"), f"{name}: its docstring's Args lack {key}"


def test_the_page_is_up_to_date() -> None:
    """After a change: python -m chattn_nas.spec.page > docs/spec.md"""
    assert Path("docs/spec.md").read_text(encoding="utf-8") == page()
