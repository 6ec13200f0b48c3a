"""Keeps the garbage collector's full passes short.

A full pass walks every tracked object while all threads stand still: with the libraries of the model loaded half a million
objects, a third of a second. Nearly all of them were made by imports and live as long as the process, so they are set aside
for good once; what is walked afterwards is what the program itself made since.
"""

from __future__ import annotations

import gc
import sys

GROWTH = 100
"""Imported modules from which setting aside is worth it again."""

_modules = 0


def settle() -> bool:
    """Set aside all present objects when many modules were imported since the last call. Any thread.

    Called where little else than imports has happened: cycles that are garbage by then would never be freed.
    """
    global _modules
    if len(sys.modules) - _modules < GROWTH:
        return False
    _modules = len(sys.modules)
    gc.freeze()
    return True
