"""What is wrong with YAML that cannot be read, in words of somebody who knows no parser."""

from __future__ import annotations

import re

import yaml

#: What the parser says, and what to look for.
WORDS = (
    (r"character '\\t'", "a tab stands where only blanks can: indent with blanks"),
    (r"character '(.)' that cannot start", r"no text can start with {0} without quotes: write '{0}...'"),
    (r"mapping values are not allowed", "a colon stands where none can: a text that holds one needs quotes, and the "
     "line above may be indented otherwise or unfinished"),
    (r"expected <block end>", "the line does not fit those above it: is it indented as they are?"),
    (r"could not find expected ':'", "a key and a colon are missing here, or a line above is unfinished"),
    (r"expected ',' or '([\]}])'", "a list or mapping is not closed: {0} or a comma is missing"),
    (r"unexpected end of stream", "a quote that was opened is not closed"),
    (r"escape", "in double quotes a backslash means something else: put a path of Windows into single quotes"),
)  # fmt: skip


def in_words(error: yaml.MarkedYAMLError) -> str:
    """The error in words; the parser's own where it says something else."""
    said = str(error.problem)
    for pattern, words in WORDS:
        if match := re.search(pattern, said):
            return words.format(*match.groups())
    return said
