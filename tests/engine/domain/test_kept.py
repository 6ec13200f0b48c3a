"""What is kept in memory up to a number of bytes."""

from __future__ import annotations

from kinmark.engine.domain.kept import Kept


def test_what_nobody_asked_for_longest_goes_first() -> None:
    kept: Kept[str, bytes] = Kept(10, len)
    assert kept.put("a", b"1234") == b"1234" and kept.put("b", b"5678") == b"5678"
    assert kept.get("a") == b"1234"
    kept.put("c", b"90")
    assert list(kept.values()) == [b"5678", b"1234", b"90"]
    kept.put("d", b"!")
    assert kept.get("b") is None and list(kept.values()) == [b"1234", b"90", b"!"]


def test_the_newest_stays_however_large_and_an_old_value_counts_no_more() -> None:
    kept: Kept[str, bytes] = Kept(10, len)
    kept.put("small", b"1")
    kept.put("large", bytes(50))
    assert kept.get("small") is None and kept.get("large") == bytes(50)
    kept.put("large", bytes(4))
    kept.put("other", bytes(6))
    assert len(kept.values()) == 2, "the fifty bytes before count no more"
    kept.clear()
    assert kept.get("other") is None and not kept.values()
    kept.put("one", bytes(5))
    kept.put("two", bytes(5))
    assert len(kept.values()) == 2
