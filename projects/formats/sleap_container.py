"""What comes before a SLEAP file is read: the optional library, and HDF5 that leads to other files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kinmark.engine.domain.errors import AppError, KnownError
from kinmark.engine.domain.texts import said
from kinmark.projects.formats import checks
from kinmark.projects.formats.base import bad

MAX_BYTES = 2_000_000_000


def library() -> Any:
    """The module `sleap_io`; KnownError that says how to get it."""
    try:
        import sleap_io
    except ImportError:
        raise KnownError(
            "This format needs the library sleap-io, which is not installed.", "Install kinmark[sleap]."
        ) from None
    return sleap_io


def check_container(path: Path) -> None:
    """Refuse HDF5 files with links, external or virtual storage that would read other files."""
    import h5py

    checks.read_bytes(path, MAX_BYTES)[:1]  # names the file when it is missing or too large
    try:
        with h5py.File(path, "r") as content:
            pending = [content]
            seen: set[int] = set()
            while pending:
                group = pending.pop()
                address = h5py.h5o.get_info(group.id).addr
                if address in seen:
                    continue  # a group may hold itself
                seen.add(address)
                for name in group:
                    if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                        raise bad(path, str(name)[:100], "it points outside the file")
                    if isinstance(group.get(name, getlink=True), h5py.SoftLink):
                        continue  # NWB links its own tables; they are looked at where they stand
                    item = group[name]
                    if isinstance(item, h5py.Group):
                        pending.append(item)
                    elif getattr(item, "external", None) or getattr(item, "is_virtual", False):
                        raise bad(path, str(name)[:100], "its data lie in another file")
    except AppError:
        raise
    except Exception as error:  # noqa: BLE001 - h5py raises KeyError, OSError, RuntimeError, TypeError on damaged files
        raise bad(path, "", said("it is no HDF5 file that can be read ({0})", type(error).__name__)) from None
