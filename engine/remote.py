"""Photos that lie at an address (s3, gs, sftp, http ... by fsspec): listed, fetched when they are read, kept in a bounded cache.

Everywhere else such a photo is an ordinary path: that of its place in the cache, which tells its address. Whoever opens a photo
asks `local_file` first; what is not there is fetched. Hashes decide what a photo is: a file that changed at its address is not
taken for the one that was labelled. Nothing is read from an address that nobody on this machine has allowed (`allow`): a
project from a stranger must not make the program call anywhere. Loads fsspec, and its drivers, on first use only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from kinmark.engine.domain.errors import AppError, KnownError, UnreadableImageError, UserInputError
from kinmark.engine.domain.texts import said
from kinmark.engine.paths import cache_dir, settings_dir

FOLDER = "kinmark-remote"
"""Name of the cache's folder: a path below a folder of this name stands for an address, on every machine."""
CACHE_BYTES = 8 << 30
CACHE_VARIABLE = "KINMARK_PHOTO_CACHE_GB"
CHUNK = 1 << 20
HASH_SUFFIX = ".sha256"
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")
_PLAIN = " !#$&'()+,;=@[]{}~^-_."
"""Signs of names that stay as they are in the cache, besides letters and digits."""
_LOCAL = ("file", "local")
_DRIVERS = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "sftp": "paramiko",
    "ssh": "paramiko",
    "http": "aiohttp",
    "https": "aiohttp",
    "az": "adlfs",
    "abfs": "adlfs",
    "smb": "smbprotocol",
    "hdfs": "pyarrow",
    "webdav": "webdav4",
    "dropbox": "dropboxdrivefs",
}
_allowed_here: set[str] = set()
_written = 0
_trim_lock = threading.Lock()


@dataclass(frozen=True)
class RemotePhoto:
    """A file at an address: its place in the cache and its size (0 = the server does not say)."""

    path: Path
    size: int


def is_url(text: str) -> bool:
    """Whether this is an address and no path (a drive letter is none)."""
    return bool(_URL.match(text))


def checked_url(url: str) -> str:
    """The address without a trailing slash; UserInputError when it holds a password or names no place."""
    parts = urlsplit(url)
    if parts.password:
        raise UserInputError(
            said("The address of {0} holds a password, which would be written into the project.", parts.hostname),
            "Leave it out, and give it to the driver by its own means (environment or fsspec's configuration files).",
        )
    place = url.split("://", 1)[1].strip("/")
    if not place or any(part in ("", ".", "..") for part in place.split("/")):
        raise UserInputError(
            said("'{0}' names no place that photos can be read from.", url), "Write for example s3://bucket/photos."
        )
    return f"{parts.scheme.lower()}://{place}"


def local_path(url: str) -> Path | None:
    """The path of a `file://` address, which needs no cache; None for any other."""
    scheme, place = url.split("://", 1)
    return Path(unquote(place)) if scheme.lower() in _LOCAL else None


def path_of(url: str) -> Path:
    """Where the file of an address lies in the cache, or would."""
    scheme, place = checked_url(url).split("://", 1)
    return cache_root().joinpath(scheme, *(quote(part, safe=_PLAIN) for part in place.split("/")))


def url_of(path: Path) -> str | None:
    """The address that a path stands for; None for an ordinary path."""
    parts = path.parts
    if FOLDER not in parts:
        return None
    place = parts[len(parts) - parts[::-1].index(FOLDER) :]
    return f"{place[0]}://{'/'.join(unquote(part) for part in place[1:])}" if len(place) > 1 else None


def cache_root() -> Path:
    """The cache's folder; may be deleted at any time."""
    return cache_dir() / FOLDER


def is_there(path: Path) -> bool:
    """Whether a photo's file is there; one at an address counts as there until reading it says otherwise."""
    return url_of(path) is not None or path.is_file()


def local_file(path: Path, sha256: str = "") -> Path:
    """The file to open for a photo's path: itself, or its copy in this machine's cache, fetched when it is missing.

    Args:
        sha256: what the file must be ("" = whatever is there).

    Raises:
        UnreadableImageError: nothing at the address, not reachable, not allowed, or another file than the one that is meant.
    """
    url = url_of(path)
    if url is None:
        return path
    place = path_of(url)
    known = _known_hash(place)
    if not known:
        known = _fetch(url, place)
    if sha256 and known != sha256:
        raise UnreadableImageError(
            said("The photo {0} is not the one that was added: its content has changed.", url),
            "Put the old file back, or add the new one as another photo.",
        )
    with contextlib.suppress(OSError):  # its age for the trimming is the time of access
        os.utime(place, (time.time(), place.stat().st_mtime))
    return place


def _known_hash(place: Path) -> str:
    try:
        if place.is_file():
            return _hash_file(place).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        pass
    return ""


def _hash_file(place: Path) -> Path:
    return place.with_name(place.name + HASH_SUFFIX)


def _fetch(url: str, place: Path) -> str:
    """Copy the file into the cache; a reader sees a whole file or none. Returns its SHA-256."""
    global _written
    if not is_allowed(url):
        raise UnreadableImageError(
            said("The photo lies at {0}, and reading from there was not allowed on this machine.", url),
            said("If you trust the address, allow it: kinmark add PROJECT {0}", url.rsplit("/", 1)[0]),
        )
    digest = hashlib.sha256()
    temporary = place.with_name(f"{place.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        files, key = _file_system(url)
        place.parent.mkdir(parents=True, exist_ok=True)
        with files.open(key, "rb") as source, temporary.open("wb") as target:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                target.write(chunk)
        # A fixed time: what is derived from the file (thumbnails, sizes) stays valid when it is fetched again.
        os.utime(temporary, (time.time(), 1_000_000_000))
        temporary.replace(place)
        _hash_file(place).write_text(digest.hexdigest(), encoding="ascii")
    except KnownError:
        raise
    except Exception as error:  # noqa: BLE001 - every driver has errors of its own
        # fsspec says "not found" of a server that does not answer, too: then the cause is another one.
        silent = isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, FileNotFoundError)
        if isinstance(error, FileNotFoundError) and not silent:
            raise UnreadableImageError(
                said("There is nothing at {0}.", url), "Put the photo back, or remove it from the project.", repr(error)
            ) from None
        reason: BaseException = error.__cause__ if silent and error.__cause__ is not None else error
        raise UnreadableImageError(
            said("The photo {0} cannot be fetched: {1}.", url, _words(reason)),
            "Check the network and your access to it.",
            repr(error),
        ) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    with contextlib.suppress(OSError):  # another process may have trimmed it away already
        _written += place.stat().st_size
    if _written > cache_bytes() // 16:
        _written = 0
        trim()
    return digest.hexdigest()


def _words(error: BaseException) -> str:
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__)[:300].rstrip(".")


def _file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system and the address in its own spelling; KnownError names a driver that is missing."""
    import fsspec

    scheme = url.split("://", 1)[0]
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = _DRIVERS.get(scheme, scheme)
        raise KnownError(
            said("Photos at {0}:// need the driver {1}, which is not installed.", scheme, package),
            said("Install it into the environment of Kinmark: pip install {0}", package),
            repr(error),
        ) from None
    except ValueError as error:
        raise UserInputError(
            said("There is no way to read photos from {0}://.", scheme),
            "Use s3, gs, sftp, http(s), or a folder.",
            repr(error),
        ) from None


def list_files(url: str) -> list[RemotePhoto]:
    """Every file below an address (or the one there), in a stable order.

    Raises:
        UserInputError: nothing is there. KnownError: it cannot be reached, or its driver is not installed.
    """
    url = checked_url(url)
    try:
        files, key = _file_system(url)
        found = files.find(key, detail=True)
    except AppError:
        raise
    except Exception as error:  # noqa: BLE001 - every driver has errors of its own
        raise KnownError(
            said("The photos at {0} cannot be listed: {1}.", url, _words(error)),
            "Check the address, the network and your access.",
            repr(error),
        ) from None
    if not found:
        raise UserInputError(
            said("There is no photo at {0}, or nobody answers there.", url), "Check the address and the network."
        )
    photos = []
    for name in sorted(found):
        # A driver's names have no scheme and often no host: what lies below the address is said by what comes after it.
        below = name.strip("/").removeprefix(key.strip("/")).strip("/")
        if any(part in ("", ".", "..") for part in below.split("/")) and below:
            continue  # no name of a photo, and no place in a cache
        photos.append(RemotePhoto(path_of(f"{url}/{below}" if below else url), int(found[name].get("size") or 0)))
    return photos


def remote_size(url: str) -> int | None:
    """Bytes of the file at an address (-1: the server does not say); None when nothing is there or it cannot be reached."""
    try:
        files, key = _file_system(url)
        size = files.info(key).get("size")
    except Exception:  # noqa: BLE001 - every driver has errors of its own
        return None
    return -1 if size is None else int(size)


# ---- what may be read ----------------------------------------------------------------------------------------


def _allowed_file() -> Path:
    return settings_dir() / "photo-addresses.json"


def allowed() -> tuple[str, ...]:
    """Addresses whose photos may be read, by this person on this machine or in this process."""
    try:
        stored = json.loads(_allowed_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        stored = []
    return tuple(sorted({str(url) for url in stored if isinstance(url, str)} | _allowed_here))


def is_allowed(url: str) -> bool:
    """Whether the address is one of them or lies below."""
    return any(url == base or url.startswith(base + "/") for base in allowed())


def allow(url: str) -> None:
    """Remember that photos at this address, and below, may be read; KnownError: the settings folder cannot be written."""
    url = checked_url(url)
    if is_allowed(url):
        return
    file = _allowed_file()
    temporary = file.with_suffix(".tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps([*(set(allowed()) - _allowed_here), url], indent=1), encoding="utf-8")
        temporary.replace(file)
    except OSError as error:
        raise KnownError(
            said("The file {0} cannot be written.", file), "Check free space and permissions.", repr(error)
        ) from None


def allow_here(urls: tuple[str, ...]) -> None:
    """In this process only: what a worker was told by the machine that asks."""
    _allowed_here.update(urls)


# ---- the cache's bound ---------------------------------------------------------------------------------------


def cache_bytes() -> int:
    """The cache's cap: 8 GB, or as KINMARK_PHOTO_CACHE_GB says."""
    try:
        return max(0, int(float(os.environ[CACHE_VARIABLE]) * (1 << 30)))
    except (KeyError, ValueError, OverflowError):
        return CACHE_BYTES


def trim() -> int:
    """Delete the copies that were used longest ago until 90 % of the cap is left; bytes kept."""
    with _trim_lock:
        entries = []
        for path in cache_root().rglob("*"):
            try:
                if path.is_file() and not path.name.endswith((HASH_SUFFIX, ".tmp")):
                    stat = path.stat()
                    entries.append((stat.st_atime, stat.st_size, path))
            except OSError:
                continue
        total = sum(size for _, size, _ in entries)
        if total > cache_bytes():
            for _, size, path in sorted(entries, key=lambda entry: entry[0]):
                for file in (_hash_file(path), path):
                    with contextlib.suppress(OSError):  # in use (Windows), or another process was faster
                        file.unlink()
                total -= size
                if total <= cache_bytes() * 0.9:
                    break
    return total
