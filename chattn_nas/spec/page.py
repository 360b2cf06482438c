"""``docs/spec.md``: every key of a spec, from its JSON Schema; made by ``python -m chattn_nas.spec.page``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from chattn_nas.spec.schema import fresh_schema

_HEAD = """# The spec, key by key

Written by `python -m chattn_nas.spec.page` from the settings classes; `chattn-nas schema` prints the same as JSON
Schema, so that editors complete and explain a spec whose first line is
`# yaml-language-server: $schema=schema.json`. `chattn-nas init` writes that line and a first spec;
`chattn-nas init --list` names the shipped ones.

A mistake is told before anything is spent: one sentence with file, line, the value met, and the values possible. Only
`name`, `backbone.model`, `data` and `space` must be given. Paths start at the spec's folder.

- **Local weights**: `backbone.weights: FILE` loads `.safetensors`, `.pth` or `.ckpt`; `pretrained: true` the hub's.
- **Own parts**: an attention as `module:Class` in `space`, a backbone as `module:function` in `backbone.model`, data as
  `module:function` in `data.dataset`; modules beside the spec are found. Those that register names are listed in
  `imports`. See [extending](extending.md).
- **Times**: `search.constraints: {latency: "<= 1.1x"}` measures latency in the search; `chattn-nas bench DIR` times an
  exported network against the same backbone without attention.
- **Passwords** are no part of a spec: give them in `CHATTN_NAS_STORAGE_PASSWORD` or `PGPASSFILE`.

"""
_SPACE = """{description}

| key | what it is | example |
|---|---|---|
| `all` | {all} | `{example}` |
| `1`, `2`, ... | The same for the stage of that number, in place of `all`. | `[none, se]` |

Names, settings, defaults and costs of every attention: [the attentions](attentions.md), `chattn-nas attentions TYPE`.

"""


def page() -> str:
    """Write the page as Markdown."""
    schema = json.loads(fresh_schema())
    parts = [_HEAD, "## The whole\n\n", *_table(schema)]
    for key, property in schema["properties"].items():
        section = _resolved(schema, property)
        if section.get("type") != "object":
            continue
        parts.append(f"## `{key}`\n\n")
        if "patternProperties" in section:
            of_all = section["properties"]["all"]
            example = _written(of_all["examples"][0])
            parts.append(_SPACE.format(description=section["description"], all=of_all["description"], example=example))
        else:
            parts += _table(section)
    return "".join(parts).rstrip() + "\n"


def _resolved(schema: Mapping[str, Any], property: Mapping[str, Any]) -> Mapping[str, Any]:
    """Look up a section, which pydantic stores under ``$defs``."""
    ref = property.get("$ref")
    section: Mapping[str, Any] = schema["$defs"][ref.rsplit("/", 1)[1]] if ref else property
    return section


def _table(section: Mapping[str, Any]) -> Iterator[str]:
    yield "| key | what it is | default | unit | example |\n|---|---|---|---|---|\n"
    required = section.get("required", ())
    for key, property in section["properties"].items():
        text, unit = property.get("description", ""), property.get("unit", "")
        text = text.removesuffix(f" Unit: {unit}.")
        default = "must be given" if key in required else "all defaults" if "$ref" in property else None
        default = default or f"`{_written(property.get('default'))}`"
        example = f"`{_written(property['examples'][0])}`" if property.get("examples") else ""
        yield (
            "| " + " | ".join(cell.replace("|", "\\|") for cell in (f"`{key}`", text, default, unit, example)) + " |\n"
        )
    yield "\n"


def _written(value: Any) -> str:
    """Write a value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return text.splitlines()[0]


if __name__ == "__main__":
    print(page(), end="")
