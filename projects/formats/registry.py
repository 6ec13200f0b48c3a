"""The formats by name; a format's module is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

from kinmark.engine import plugins
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said
from kinmark.projects.formats import exhaustive
from kinmark.projects.formats.base import Reader, WriteOptions, Writer
from kinmark.projects.formats.dataset import Dataset, ReportItem
from kinmark.projects.formats.losses import WORDS, common_losses


@dataclass(frozen=True)
class FormatSpec:
    """One format.

    Attributes:
        name: as given to `--format`.
        title: for menus.
        module: in `kinmark.projects.formats`, or the full name of a plug-in's module; it has `read`, `write` and `losses`, and
            `rehearse` where writing decides more than the losses say.
        reads: what `read` takes: "file", "folder", or "" (cannot read).
        writes: whether it can write.
        carries: what survives: any of "keypoints", "masks", "boxes".
        exact: whether import(export(x)) gives back exactly what the format carries.
        pictures: "jpeg" or "png" when its export writes all photos in that type, "" when it refers to them.
        flat_names: its export gives the photos new names in one folder (`stems.flat_stems`).
        raster: its masks are pixels.
        exhaustive: it says of a photo whether all instances are labelled.
        words: of `losses.WORDS`, what it carries or says in its own `losses`; the others are said for it.
        optional: it needs a library that is not installed with the program (kinmark[sleap]).
    """

    name: str
    title: str
    module: str
    reads: str
    writes: bool
    carries: frozenset[str]
    exact: bool = False
    pictures: str = ""
    flat_names: bool = False
    raster: bool = False
    exhaustive: bool = False
    optional: bool = False
    words: frozenset[str] = WORDS

    def load(self) -> ModuleType:
        """The format's module: one of ours, or a plug-in's by its full name (`package.module`)."""
        return importlib.import_module(self.module if "." in self.module else f"kinmark.projects.formats.{self.module}")

    @property
    def reader(self) -> Reader:
        """The module's `read`; UserInputError when the format cannot be read."""
        if not self.reads:
            raise UserInputError(
                said("The format {0} can be exported only.", self.name), "Choose another format to import."
            )
        reader: Reader = self.load().read
        return reader

    @property
    def writer(self) -> Writer:
        """The module's `write`; UserInputError when the format cannot be written."""
        if not self.writes:
            raise UserInputError(
                said("The format {0} can be imported only.", self.name), "Choose another format to export to."
            )
        writer: Writer = self.load().write
        return writer

    def losses(self, dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
        """What an export of `dataset` would lose; asked before anything is written."""
        found: list[ReportItem] = self.load().losses(dataset, options)
        return found

    def rehearse(self, dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
        """What an export will decide (names, splits, what is left out); UserInputError when it could write nothing."""
        module = self.load()
        found: list[ReportItem] = module.rehearse(dataset, options) if hasattr(module, "rehearse") else []
        return found

    def common_losses(self, dataset: Dataset) -> list[ReportItem]:
        """What an export changes beyond `losses`, which no format module says itself."""
        own = [] if self.exhaustive else exhaustive.losses(dataset)
        return own + common_losses(
            dataset,
            pictures=self.pictures,
            flat_names=self.flat_names,
            raster=self.raster,
            keeps_fields=self.name.removesuffix("-wholebody"),
            keypoints="keypoints" in self.carries,
            words=self.words,
        )


_K, _M, _B = "keypoints", "masks", "boxes"
_TABLE = frozenset({"boxes", "cut boxes", "identities", "splits"})
"""Of formats that hold labelled keypoints and little else, and say so themselves."""
_SPECS = (
    FormatSpec(
        "coco", "COCO keypoints + instances", "coco", "file", True, frozenset({_K, _M, _B}), True, exhaustive=True
    ),
    FormatSpec("coco-wholebody", "COCO-WholeBody", "wholebody", "file", True, frozenset({_K, _M, _B}), exhaustive=True),
    FormatSpec(
        "labelme",
        "labelme JSON",
        "labelme",
        "folder",
        True,
        frozenset({_K, _M, _B}),
        True,
        exhaustive=True,
        words=WORDS - {"sigmas"},
    ),
    FormatSpec(
        "cvat",
        "CVAT for images 1.1",
        "cvat",
        "file",
        True,
        frozenset({_K, _M, _B}),
        True,
        words=WORDS - {"nothing here", "supercategories", "sigmas"},
    ),
    FormatSpec(
        "label-studio",
        "Label Studio JSON",
        "label_studio",
        "file",
        True,
        frozenset({_K, _M, _B}),
        exhaustive=True,
        words=WORDS - {"sigmas"},
    ),
    FormatSpec(
        "yolo-pose",
        "YOLO pose (Ultralytics)",
        "yolo_pose",
        "folder",
        True,
        frozenset({_K, _B}),
        pictures="jpeg",
        flat_names=True,
        words=frozenset({"boxes", "identities", "splits", "crowds", "photos", "categories"}),
    ),
    FormatSpec(
        "yolo-seg",
        "YOLO segmentation (Ultralytics)",
        "yolo_seg",
        "folder",
        True,
        frozenset({_M}),
        pictures="jpeg",
        flat_names=True,
        words=frozenset({"cut boxes", "identities", "splits", "crowds", "photos", "categories"}),
    ),
    FormatSpec(
        "spair",
        "SPair-71k",
        "spair",
        "folder",
        True,
        frozenset({_K, _M, _B}),
        pictures="jpeg",
        raster=True,
        words=frozenset({"boxes", "splits", "crowds"}),
    ),
    FormatSpec(
        "deeplabcut",
        "DeepLabCut CSV / H5",
        "deeplabcut",
        "folder",
        True,
        frozenset({_K}),
        pictures="png",
        flat_names=True,
        words=_TABLE,
    ),
    FormatSpec(
        "sleap",
        "SLEAP labels (.slp)",
        "sleap_slp",
        "file",
        True,
        frozenset({_K}),
        optional=True,
        words=_TABLE | {"tags"},
    ),
    FormatSpec(
        "nwb", "NWB poses (.nwb)", "sleap_nwb", "file", True, frozenset({_K}), optional=True, words=_TABLE | {"tags"}
    ),
    FormatSpec("jabs", "JABS poses (.h5)", "sleap_jabs", "file", False, frozenset({_K}), optional=True),
    FormatSpec(
        "pf-pascal",
        "PF-Pascal",
        "pf_pascal",
        "folder",
        True,
        frozenset({_K, _B}),
        pictures="jpeg",
        flat_names=True,
        words=frozenset({"boxes", "cut boxes", "splits"}),
    ),
    FormatSpec(
        "pf-willow",
        "PF-Willow",
        "pf_willow",
        "folder",
        True,
        frozenset({_K}),
        pictures="png",
        flat_names=True,
        words=frozenset({"boxes", "cut boxes"}),
    ),
    FormatSpec(
        "voc",
        "Pascal VOC",
        "voc",
        "folder",
        True,
        frozenset({_M, _B}),
        pictures="jpeg",
        flat_names=True,
        raster=True,
        words=frozenset({"boxes", "identities", "splits", "crowds", "photos"}),
    ),
    FormatSpec(
        "perseg",
        "PerSeg",
        "perseg",
        "folder",
        True,
        frozenset({_M}),
        pictures="jpeg",
        raster=True,
        words=frozenset({"cut boxes", "identities", "tags", "splits"}),
    ),
    FormatSpec(
        "masks",
        "Mask pictures (PNG)",
        "masks",
        "folder",
        True,
        frozenset({_M}),
        raster=True,
        words=frozenset({"cut boxes", "identities", "tags", "splits"}),
    ),
    FormatSpec("tps", "TPS landmarks (tpsDig)", "tps", "file", True, frozenset({_K}), words=_TABLE | {"tags"}),
    FormatSpec("morphoj", "MorphoJ table", "morphoj", "", True, frozenset({_K}), words=_TABLE | {"tags"}),
    FormatSpec(
        "cub",
        "CUB-200-2011",
        "cub",
        "folder",
        True,
        frozenset({_K, _M, _B}),
        pictures="jpeg",
        raster=True,
        words=frozenset({"boxes", "cut boxes", "splits", "photos"}),
    ),
)


def all_formats() -> Mapping[str, FormatSpec]:
    """Ours and those of plug-ins, which are looked for when they are first asked for."""
    return plugins.Table(plugins.FORMATS, FormatSpec, _SPECS, lambda spec: spec.name)


FORMATS: Mapping[str, FormatSpec] = all_formats()


def get_format(name: str) -> FormatSpec:
    """By name; UserInputError lists the known ones."""
    spec = FORMATS.get(name.strip().lower())
    if spec is None:
        raise UserInputError(said('There is no format "{0}".', name), said("Use one of: {0}.", ", ".join(FORMATS)))
    return spec
