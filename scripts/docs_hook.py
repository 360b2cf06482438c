"""Called by mkdocs while it builds the documentation (``hooks`` in ``mkdocs.yml``)."""

import re

NO_BREAK = "\N{NO-BREAK SPACE}"


def on_page_content(html: str, **_: object) -> str:
    """Keep what is one figure on one line: narrow columns broke at each ± and within each interval."""
    html = re.sub(r"(<td[^>]*>)(.*?)(?=</td>)", _on_one_line, html, flags=re.DOTALL)
    return html.replace(" ± ", f"{NO_BREAK}±{NO_BREAK}")


def _on_one_line(cell: re.Match[str]) -> str:
    """A table's cell that holds no word, such as ``17 [14, > 40]``, without places to break."""
    words = re.sub(r"<[^>]*>|&\w+;", "", cell[2])
    return cell[1] + (cell[2] if re.search(r"[^\W\d]", words) else cell[2].replace(" ", NO_BREAK))
