"""The JSON Schema of a spec, for editors; after a change: ``python -m chattn_nas.spec.schema > .../spec/schema.json``.

It names every attention with its settings, so making it imports torch. The package's own is stored beside this file; a
new one is made only if plug-ins add attentions.
"""

from __future__ import annotations

import json
from importlib import resources
from importlib.metadata import entry_points


def schema_text() -> str:
    """Return the schema as JSON."""
    if entry_points(group="chattn_nas.attention"):
        return fresh_schema()
    return resources.files(__package__).joinpath("schema.json").read_text(encoding="utf-8")


def fresh_schema() -> str:
    """Make the schema of the current settings classes and registered attentions."""
    from chattn_nas.spec.spec import Spec

    return json.dumps(Spec.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(fresh_schema(), end="")
