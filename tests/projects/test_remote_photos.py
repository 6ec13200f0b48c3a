"""Photos at addresses: memory, a web server of our own, file://; a bounded cache, hashes that decide, nothing unasked."""

from __future__ import annotations

import functools
import io
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kinmark.engine import remote
from kinmark.engine.api import ImageInput
from kinmark.engine.domain.errors import AppError, KnownError, UnreadableImageError, UserInputError
from kinmark.engine.features.views import ImageSource
from kinmark.engine.imaging import file_sha256, load_image
from kinmark.projects.cli.app import build_app
from kinmark.projects.images import check_files
from kinmark.projects.project import Project
from kinmark.projects.remote_photos import add_addresses, split_addresses


def picture(seed: int, side: int = 40) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side + 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def store() -> Iterator[str]:
    """memory://photos with two photos of one name, a text, a broken photo and an odd name."""
    files = fsspec.filesystem("memory")
    for name, data in {
        "photos/day 1/a.png": picture(1),
        "photos/day2/a.png": picture(2),
        "photos/notes.txt": b"no photo",
        "photos/cut.png": picture(3)[:100],
        "photos/100%: odd?.png": picture(1),
    }.items():
        files.pipe(f"/{name}", data)
    yield "memory://photos"
    files.rm("/photos", recursive=True)


def test_photos_at_an_address_are_photos_like_any_other(store: str, tmp_path: Path) -> None:
    with Project.create(tmp_path / "p.kinmark") as project:
        report = add_addresses(project, [store + "/"])
        assert len(report.image_ids) == 3
        assert len(report.duplicates) == 1, "the same bytes under two names"
        assert any("notes.txt: not an image" in s for s in report.skipped)
        assert any(("cut.png" in s and "damaged" in s) or "cut off" in s for s in report.skipped)
        again = add_addresses(project, [store])
        assert not again.image_ids
    with Project.open(tmp_path / "p.kinmark") as project:
        rows = {row.file_name: row for row in project.queries.images()}
        assert "day 1/a.png" in rows
        assert remote.url_of(rows["day 1/a.png"].path) == "memory://photos/day 1/a.png"
        odd = next(row for name, row in rows.items() if "odd" in name)
        assert remote.url_of(odd.path) == "memory://photos/100%: odd?.png"
        assert load_image(odd.path).rgb.shape == (40, 48, 3)
        assert project.queries.image_named("day2/a.png") is not None
        stored = project.queries._all("SELECT path, relative FROM image_root")
        assert [tuple(row) for row in stored] == [("memory://photos", 0)]
        project.undo()
        assert project.queries.count_images() == 0


def test_what_is_not_in_the_cache_is_fetched_again_and_must_be_the_same(store: str, tmp_path: Path) -> None:
    with Project.create(tmp_path / "p.kinmark") as project:
        add_addresses(project, [store])
        row = project.queries.image_named("day2/a.png")
        assert row is not None and row.sha256 == file_sha256(row.path)
        source = ImageSource()
        before = source.load(row.image_input, 64).rgb
        time = row.path.stat().st_mtime_ns
        row.path.unlink()
        assert (ImageSource().load(row.image_input, 64).rgb == before).all()
        assert row.path.stat().st_mtime_ns == time, "what was made from the file stays valid"
        fsspec.filesystem("memory").pipe("/photos/day2/a.png", picture(9, 44))
        assert check_files(project).changed == (row.id,)
        row.path.unlink()
        with pytest.raises(UnreadableImageError, match=r"memory://photos/day2/a\.png is not the one that was added"):
            ImageSource().load(row.image_input, 64)
        with pytest.raises(UnreadableImageError, match="is not the one"):  # nor from the cache, where it is now
            ImageSource().load(row.image_input, 64)
        fsspec.filesystem("memory").rm("/photos/day2/a.png")
        assert check_files(project).missing == (row.id,)
        row.path.unlink()
        with pytest.raises(UnreadableImageError, match=r"There is nothing at memory://photos/day2/a\.png"):
            load_image(row.path)


def test_the_cache_stays_within_its_bound_and_drops_what_was_used_longest_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = fsspec.filesystem("memory")
    data = np.random.default_rng(0).bytes(100_000)
    for index in range(12):
        files.pipe(f"/many/{index}.png", data + bytes([index]))
    monkeypatch.setenv(remote.CACHE_VARIABLE, str(500_000 / (1 << 30)))
    remote.allow("memory://many")
    paths = [file.path for file in sorted(remote.list_files("memory://many"), key=lambda f: int(f.path.stem))]
    for number, path in enumerate(paths):
        place = remote.local_file(path)
        import os

        os.utime(place, (1_000_000 + number, place.stat().st_mtime))
    remote.trim()
    kept = [path for path in paths if path.is_file()]
    assert kept == paths[-4:], "the last four, about 90 % of the cap"
    assert {p.suffix for p in remote.cache_root().rglob("*") if p.is_file()} == {".png", remote.HASH_SUFFIX}
    files.rm("/many", recursive=True)


def test_a_project_from_elsewhere_calls_nowhere(store: str, tmp_path: Path) -> None:
    with Project.create(tmp_path / "p.kinmark") as project:
        add_addresses(project, [store])
        row = project.queries.images()[0]
        row.path.unlink()
        (tmp_path / "kinmark-home" / "settings" / "photo-addresses.json").unlink()
        with pytest.raises(
            UnreadableImageError, match=r"was not allowed on this machine.*kinmark add PROJECT memory://photos"
        ):
            load_image(row.path)
        add_addresses(project, [store])
        assert load_image(row.path).rgb.size


def test_a_web_server_is_read_and_its_absence_is_said(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="fsspec's driver for http (pip install 'fsspec[http]') is not installed")
    folder = tmp_path / "site" / "set"
    folder.mkdir(parents=True)
    for index in range(3):
        (folder / f"{index}.png").write_bytes(picture(index))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "site")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/set/"
    try:
        with Project.create(tmp_path / "p.kinmark") as project:
            assert len(add_addresses(project, [url]).image_ids) == 3
            path = project.queries.images()[0].path
            path.unlink()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    with pytest.raises(UnreadableImageError, match="cannot be fetched"):
        load_image(path)
    with (
        Project.create(tmp_path / "q.kinmark") as project,
        pytest.raises(AppError, match=r"cannot be listed|no photo at"),
    ):
        add_addresses(project, [url])


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("sftp://me:secret@host/photos", UserInputError, "holds a password"),
        ("s3://", UserInputError, "names no place"),
        ("memory://a/../b", UserInputError, "names no place"),
        ("nowhere://a/b", UserInputError, "no way to read photos from nowhere://"),
        ("s3://bucket/photos", KnownError, r"pip install s3fs"),
        ("memory://empty", UserInputError, "no photo at"),
    ],
)
def test_bad_addresses_are_refused_with_what_to_do(url: str, kind: type, words: str, tmp_path: Path) -> None:
    if url.startswith("s3://b"):
        import importlib.util

        if importlib.util.find_spec("s3fs") is not None:
            pytest.skip("s3fs is installed here")
    with Project.create(tmp_path / "p.kinmark") as project, pytest.raises(kind, match=words):
        add_addresses(project, [url])
    assert not remote.allowed()


def test_the_command_takes_paths_and_addresses(store: str, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "x.png").write_bytes(picture(20))
    Project.create(tmp_path / "p.kinmark").close()
    given = [f"file://{tmp_path}/own", store]
    assert split_addresses(given) == ([store], [tmp_path / "own"])
    done = CliRunner().invoke(build_app("add"), ["add", str(tmp_path / "p.kinmark"), *given, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["added"] == 4


def test_ordinary_paths_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert remote.url_of(path) is None
    assert remote.local_file(path) == path
    assert not remote.is_there(path)
    assert not remote.is_url("C:/photos") and not remote.is_url("photos/a.png")
    assert ImageInput("1", path).path == path


@pytest.mark.parametrize(
    ("text", "expected"), [("0.5", 1 << 29), ("-3", 0), ("x", 8 << 30), ("nan", 8 << 30), ("inf", 8 << 30)]
)
def test_the_caches_cap_is_a_number_or_the_usual_one(monkeypatch: pytest.MonkeyPatch, text: str, expected: int) -> None:
    monkeypatch.setenv(remote.CACHE_VARIABLE, text)
    assert remote.cache_bytes() == expected


def test_an_address_that_cannot_be_remembered_is_told(
    store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "settings").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("KINMARK_HOME", str(tmp_path / "home"))
    with pytest.raises(KnownError, match=r"photo-addresses\.json cannot be written"):
        remote.allow("memory://elsewhere")
