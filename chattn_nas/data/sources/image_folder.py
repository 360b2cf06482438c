"""A folder, tar or zip archive with one folder of images per class."""

from __future__ import annotations

from chattn_nas.data.classes import label, sorted_names
from chattn_nas.data.layout import find_layout
from chattn_nas.data.pictures import Files, Found, Listing, Part
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.place import opened, path_of
from chattn_nas.data.tree import Tree
from chattn_nas.errors import DataError


def find_image_folder(settings: DataSettings) -> Found:
    """Find the files; none is read.

    Raises:
        DataError: There is no such folder.
    """
    path = path_of(settings)
    if path.is_file() and path.suffix.lower() in (".csv", ".tsv", ".npz", ".npy"):
        kind = {".tsv": "csv"}.get(path.suffix.lower(), path.suffix.lower()[1:])
        raise DataError(f"{path} is no folder of images: say data.dataset: {kind}", where=("dataset",))
    tree, stamps = opened(path)
    return Found([*stamps, *sorted(tree.folders)], lambda: _listing(tree, str(path)))


def _listing(tree: Tree, root: str) -> Listing:
    layout = find_layout(tree, root)
    names = sorted_names(layout.folders["train"] | {name for folders in layout.folders.values() for name in folders})
    parts = {
        part: Part(Files(tree, [entry for entry, _ in files]), label([name for _, name in files], names))
        for part, files in layout.parts.items()
    }
    return Listing(parts=parts, class_names=tuple(names), said=tuple(layout.said))
