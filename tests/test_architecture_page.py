"""What docs/architecture.md names is there: a maintainer is not sent to files that have moved."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def named() -> list[tuple[str, str]]:
    """Files, and what is said to stand in them: `search/queue.py: take`, or `judging/test_set.py`."""
    return re.findall(r"`((?:[\w.-]+/)*_?\w+\.(?:py|md|yaml|json))(?:: (\w+))?`", PAGE)


def test_every_file_and_name_is_there() -> None:
    made = {"spec.yaml", "result.json", "calibration.json"}  # in a run
    found = [(file, name) for file, name in named() if file not in made]
    assert len(found) > 50
    for file, name in found:
        path = next((one for one in (ROOT / "chattn_nas" / file, ROOT / file) if one.is_file()), None)
        assert path is not None, file
        assert not name or re.search(rf"\b{name}\b", path.read_text(encoding="utf-8")), f"{name} in {file}"


def test_every_room_is_told() -> None:
    rooms = {path.parent.name for path in (ROOT / "chattn_nas").glob("*/__init__.py")}
    table = PAGE.partition("| room |")[2].partition("Three rules")[0]
    assert {room for room in rooms if f"`{room}/`" not in table} == set()


def test_every_stored_record_is_told() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "chattn_nas").rglob("*.py"))
    records = set(re.findall(r"class (\w+)\(Stored\)", sources))
    assert len(records) >= 8
    assert {record for record in records if f"`{record}`" not in PAGE} == set()
