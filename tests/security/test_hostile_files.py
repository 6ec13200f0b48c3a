"""Claims of docs/reference/security.md about files from strangers, checked by opening such files."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import sqlite3
import struct
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from kinmark.engine.domain.errors import (
    AppError,
    KnownError,
    ModelCorruptError,
    ProjectError,
    UnreadableImageError,
    UserInputError,
)
from kinmark.engine.imaging import load_image, read_header
from kinmark.projects.formats import coco
from kinmark.projects.formats.base import WriteOptions
from kinmark.projects.formats.dataset import DatasetImage
from kinmark.projects.formats.files import inside
from kinmark.projects.formats.registry import FORMATS, get_format
from kinmark.projects.formats.sinks import open_sink
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.database import _READ_PRAGMAS
from kinmark.projects.workflows.exporting import ExportOptions, export_project
from kinmark.projects.workflows.importing import ImportOptions, import_file
from tests.support.datasets import sample_dataset, write_picture

OPTIONAL = {name for name, spec in FORMATS.items() if spec.optional}
"""Formats whose library is not installed with the program."""


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    file = tmp_path / "bomb.png"
    file.write_bytes(_png(60_000, 60_000, zlib.compress(bytes(1000))))
    for open_ in (read_header, load_image):
        with pytest.raises(UnreadableImageError, match="megapixels"):
            open_(file)


def test_a_bomb_in_a_mask_folder_is_refused(tmp_path: Path) -> None:
    get_format("voc").writer(sample_dataset(tmp_path / "photos", count=1), tmp_path / "out")
    [mask] = (tmp_path / "out" / "SegmentationObject").iterdir()
    mask.write_bytes(_png(60_000, 60_000, zlib.compress(bytes(1000))))
    with pytest.raises(AppError, match="megapixels"):
        get_format("voc").reader(tmp_path / "out")


def test_a_safetensors_header_may_not_claim_more_than_the_file_holds(tmp_path: Path) -> None:
    from kinmark.engine.backbones.folder import check_safetensors

    for content in (b"", b"\xff" * 8, (2**40).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"[]"):
        file = tmp_path / "w.safetensors"
        file.write_bytes(content)
        with pytest.raises(ModelCorruptError):
            check_safetensors(file)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    from kinmark.engine.backbones.folder import refuse_pickles

    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelCorruptError, match="pickled"):
        refuse_pickles(tmp_path)


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../b"])
def test_an_export_cannot_write_outside_its_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(KnownError, match="outside"):
        inside(tmp_path, PurePosixPath(name))
    with pytest.raises(UserInputError, match="outside"), open_sink(tmp_path / "x", "test") as sink:
        sink.add(name, b"data")
    assert not (tmp_path / "x").exists() and not list(tmp_path.glob(".x*"))


@pytest.mark.parametrize("kind", sorted(set(FORMATS) - {"pf-willow", "coco-wholebody", *OPTIONAL}))
def test_no_format_follows_a_tampered_photo_path(kind: str, tmp_path: Path) -> None:
    """Names in the data set that leave the folder end in an error or in a harmless name, never in a file outside."""
    dataset = sample_dataset(tmp_path / "photos", count=8)
    first = dataset.images[0]
    evil = DatasetImage(PurePosixPath("../../evil.png"), *first_size(first), first.instances, first.source_path)
    images = (evil, *dataset.images[1:])
    out = tmp_path / "deep" / "er" / "out"
    with contextlib.suppress(AppError):
        evil_set = type(dataset)(dataset.categories, images, "../../evil")
        get_format(kind).writer(evil_set, out, WriteOptions(copy_images=True))
    assert not [p for p in tmp_path.rglob("evil*") if not p.is_relative_to(out)]


def first_size(image: DatasetImage) -> tuple[int, int]:
    return image.width, image.height


def test_a_project_from_a_stranger_cannot_write_outside_the_export(tmp_path: Path) -> None:
    write_picture(tmp_path / "secret" / "evil.png", 20, 20, 0)
    write_picture(tmp_path / "photos" / "a.png", 20, 20, 0)
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [tmp_path / "photos"])
    with sqlite3.connect(tmp_path / "p.kinmark" / "project.sqlite") as connection:
        names = [r[0] for r in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        for name in names:
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("UPDATE image SET rel_path = '../secret/evil.png', lookup = '../secret/evil.png'")
    connection.close()
    out = tmp_path / "deep" / "out"
    with Project.open(tmp_path / "p.kinmark", read_only=True) as project:
        for kind in ("coco", "labelme"):
            with contextlib.suppress(AppError):
                export_project(project, out, ExportOptions(kind, write=WriteOptions(copy_images=True)))
    assert not [p for p in tmp_path.rglob("evil*") if not p.is_relative_to(tmp_path / "secret")]


def test_a_project_with_a_crafted_schema_runs_nothing(tmp_path: Path) -> None:
    """A trigger that is not ours makes the project refused as damaged; SQLite itself distrusts schemas as well."""
    write_picture(tmp_path / "photos" / "a.png", 20, 20, 0)
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [tmp_path / "photos"])
    database = tmp_path / "p.kinmark" / "project.sqlite"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TRIGGER evil AFTER INSERT ON tag BEGIN SELECT load_extension('/tmp/evil.so'); END")
    connection.close()
    with pytest.raises(ProjectError, match="damaged"):
        Project.open(tmp_path / "p.kinmark")
    assert "trusted_schema=OFF" in _READ_PRAGMAS


HOSTILE_NAMES = (
    "'; DROP TABLE image; --",
    '" OR 1=1 --',
    "<b onclick='x'>bold</b>",
    "a\u202egnp.exe",
    "%s%n",
    "{0}",
    "${HOME}",
)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_are_data_everywhere(name: str, tmp_path: Path) -> None:
    dataset = sample_dataset(tmp_path / "photos", count=2)
    coco.write(dataset, tmp_path / "file")
    text = (tmp_path / "file" / coco.FILE_NAME).read_text()
    data = json.loads(text)
    data["categories"][0]["name"] = name
    data["categories"][0]["keypoints"][0] = name
    data["categories"][0]["keypoint_pairs"] = []
    data["annotations"][0]["identity"] = name
    data["images"][0]["tags"] = [name]
    (tmp_path / "hostile.json").write_text(json.dumps(data))
    with Project.create(tmp_path / "p.kinmark") as project:
        import_file(project, tmp_path / "hostile.json", ImportOptions(images_root=tmp_path / "photos"))
        assert project.queries.counts().instances == 2
        assert project.queries.require_category(name).definitions[0].name == name
        assert name in project.queries.tags() and project.queries.identity(name) is not None
        export_project(project, tmp_path / "out")
        for kind in ("labelme", "cvat", "voc"):
            export_project(project, tmp_path / kind, ExportOptions(kind))
    back = json.loads((tmp_path / "out" / coco.FILE_NAME).read_text())
    assert back["categories"][0]["name"] == name
    read, _ = get_format("cvat").reader(tmp_path / "cvat" / "annotations.xml")
    assert read.categories[0].name == name


def test_nothing_is_fetched_behind_the_users_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole import and export of every format without one socket."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    coco.write(sample_dataset(tmp_path / "photos", count=6), tmp_path / "file")
    with Project.create(tmp_path / "p.kinmark") as project:
        import_file(project, tmp_path / "file" / coco.FILE_NAME, ImportOptions(images_root=tmp_path / "photos"))
        for kind in sorted(set(FORMATS) - {"pf-willow", "deeplabcut", "coco-wholebody", *OPTIONAL}):
            export_project(project, tmp_path / kind, ExportOptions(kind, write=WriteOptions(aliases={"horse": "cat"})))


def test_an_image_named_like_another_type_is_read_by_content_or_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(buffer, "BMP")
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    assert load_image(tmp_path / "a.jpg").rgb.shape == (4, 4, 3)
    for content in (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ):
        (tmp_path / "b.png").write_bytes(content)
        with pytest.raises(UnreadableImageError):
            load_image(tmp_path / "b.png")
