"""The hard sample collection (`benchmarks.training.make_samples --hard`), rendered when a benchmark asks for it.

No two bodies alike and surroundings as busy as in training: what accuracy is measured on, beside real photos. The collection
that is shipped is calmer (resources/samples).
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from benchmarks.training.make_samples import HARD, make_samples


@cache
def hard_samples() -> Path:
    """Its folder, with `images` and `annotations.json`; gone when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="kinmark-hard-samples-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    make_samples(folder, HARD)
    return folder
