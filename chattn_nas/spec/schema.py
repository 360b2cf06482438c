"""The JSON Schema of a spec, for editors; after a change: ``python -m chattn_nas.spec.schema > .../spec/schema.json``.

It names every attention with its settings, so making it imports torch; ours is kept beside this file, and only where
plug-ins add attentions is another one made.
"""

from __future__ import annotations

import json
from importlib import resources
from importlib.metadata import entry_points


def schema_text() -> str:
    """The schema as JSON."""
    if entry_points(group="chattn_nas.attention"):
        return fresh_schema()
    return resources.files(__package__).joinpath("schema.json").read_text(encoding="utf-8")


def fresh_schema() -> str:
    """The schema as the settings classes and the registered attentions are now."""
    from chattn_nas.spec.spec import Spec

    return json.dumps(Spec.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(fresh_schema(), end="")
