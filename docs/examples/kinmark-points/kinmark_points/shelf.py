"""A photo source: any file system of fsspec, here `shelf://` for what lies below the folder that SHELF_FOLDER names.

Kinmark lists it once, copies a photo when it is first read, and tells by its hash whether it is still the same.
"""

from __future__ import annotations

import os

from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem


class Shelf(DirFileSystem):
    """`shelf://day1/a.jpg` is the file `day1/a.jpg` in the folder SHELF_FOLDER. An archive would ask its server here."""

    protocol = "shelf"

    def __init__(self, **options):
        folder = os.environ.get("SHELF_FOLDER", "")
        if not folder:
            raise OSError("SHELF_FOLDER does not say where the shelf is")
        super().__init__(path=folder, fs=LocalFileSystem(), **options)
