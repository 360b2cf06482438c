"""The command ``data``: what a spec's data set is, before anything is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chattn_nas.cli._app import AsJson, SpecPath, command, moving, print_json, print_table, read_spec, say

if TYPE_CHECKING:
    from chattn_nas.data.description import PartFacts


@command("Start", "chattn-nas data photos.yaml")
def data(
    path: SpecPath,
    out: Annotated[Path | None, typer.Option(help="Folder for the pictures; default: <name>-data.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a spec's data: classes, splits, sizes, unreadable files, duplicate images, pictures."""
    spec = read_spec(path)
    with moving("Loading torch", line=False):
        from chattn_nas.data import describe, summary
        from chattn_nas.data.cache import default_folder
        from chattn_nas.data.duplicates import duplicates
        from chattn_nas.data.inspection import contact_sheet, counts, mean_pictures
        from chattn_nas.image_size import pixels
        from chattn_nas.spec.load import lines_of

    with lines_of(path):
        copies = duplicates(spec.data)
        said = summary(spec.data, batch_size=spec.proxy.batch_size, epochs=spec.proxy.rungs[-1], copies=copies)
        facts = describe(spec.data)
        rows = counts(spec.data)
    folder = out or Path(f"{spec.name}-data")
    folder.mkdir(parents=True, exist_ok=True)
    mean_pictures(spec.data).save(folder / "classes.png")
    contact_sheet(spec.data, spec.search.seed).save(folder / "batch.png")
    images = sum(part.images for part in facts.parts.values())
    memory = images * facts.channels * pixels(facts.image_size)
    if as_json:
        print_json({
            "summary": said, "description": facts.to_dict(), "classes": rows,
            "duplicates": [vars(one) for one in copies], "bytes": memory, "pictures": str(folder),
        })  # fmt: skip
        return
    for line in said:
        say(line)
    if rows:
        what = "Images" if facts.parts["train"].boxes is None else "Boxes"
        print_table(rows[:50], f"{what} by class" + (f" (the first 50 of {len(rows)})" if len(rows) > 50 else ""))
    print_table(
        [_sizes(name, part) for name, part in facts.parts.items()],
        "As the source holds them (width x height in pixels)",
    )
    if not copies:
        say("No image comes twice.")
    say(
        f"Reading took {facts.seconds:.1f} s; it is kept in {spec.data.cache or default_folder()} and takes "
        f"{memory / 2**20:,.1f} MiB there, and as much where it is trained on.\n"
        f"Pictures: {folder / 'classes.png'} (the mean of every class), {folder / 'batch.png'} (a training batch)",
    )  # fmt: skip


def _sizes(name: str, part: PartFacts) -> dict[str, object]:
    """A row of the table of parts."""
    return {
        "part": name,
        "images": part.images,
        "smallest": "x".join(map(str, part.smallest)),
        "commonest": "x".join(map(str, part.sizes[0][:2])),
        "largest": "x".join(map(str, part.largest)),
        "kinds": ", ".join(f"{mode} {count:,}" for mode, count in list(part.modes.items())[:5]),
        "bad": len(part.bad),
    }
