"""Any name of a file or a class can be shown."""

from __future__ import annotations

from timesformer.writers.names import for_matplotlib, for_plotly, printable, shortened


def test_bytes_that_are_no_utf8_are_spelt_out() -> None:
    assert printable("caf\udce9.mp4") == r"caf\udce9.mp4"
    assert printable("café 日本 $<b>.mp4") == "café 日本 $<b>.mp4"


def test_a_long_name_ends_with_an_ellipsis() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 6) == "abcde…"


def test_what_matplotlib_takes_for_its_own() -> None:
    assert for_matplotlib("$_$ \udce9") == r"\$_\$ \udce9"
    assert for_matplotlib("_idle") == "\u200b_idle"


def test_what_plotly_takes_for_its_own() -> None:
    assert for_plotly('a "b" & <i>\udce9') == r'a "b" &amp; &lt;i&gt;\udce9'
