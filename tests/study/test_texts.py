import time

from chattn_nas.proxy import Outcome
from chattn_nas.study.attributes import TrialAttributes
from chattn_nas.study.notes import note
from chattn_nas.study.texts import as_markdown, one_line, printable


def test_a_text_is_cut_by_bytes_and_holds_no_control_signs() -> None:
    assert printable("short") == "short"
    assert len(printable("\N{GREEK SMALL LETTER ALPHA}" * 5000).encode()) <= 1000
    assert (
        printable("a\x00b\x1b[31mc\ud800")
        == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}[31mc" + "\N{REPLACEMENT CHARACTER}"
    )
    assert one_line("two\n  lines\r\n") == "two lines"


def test_thirty_megabytes_are_cut_at_once() -> None:
    began = time.process_time()
    assert len(one_line("x" * 30_000_000)) <= 1000
    assert time.process_time() - began < 2


def test_markup_in_a_note_is_shown_not_meant() -> None:
    evil = "<img src=x onerror=alert(1)> [a](javascript:b) ![c](http://d) **e** | f"
    text = as_markdown(evil)
    assert "<" not in text
    assert "](" not in text
    whole = note(
        TrialAttributes(
            outcome=Outcome.CRASHED, reason=evil, label=evil, hash=evil, seed=0, value_source=evil,
            architecture={"stages": [{"type": evil, "reduction": evil}]}, costs_relative={evil: 1.0},
        ),
        [evil],
        output="```\n<script>alert(1)</script>",
    )  # fmt: skip
    before, output = whole.rsplit("\n\n", 1)
    assert "<" not in before
    assert all(line.startswith("    ") for line in output.splitlines()), "a block of code, whatever marks are in it"
    assert len(note(TrialAttributes(reason="x" * 10**7), [], output="y\n" * 10**6).encode()) <= 16_000
