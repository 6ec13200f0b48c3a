"""Claims of docs/reference/security.md about the code itself, checked on its syntax trees."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("engine", "projects", "desktop", "kinmark")
RUNS_CODE = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
PROCESSES = {"subprocess", "pty", "pexpect"}
MAY_START_ITSELF = {"projects/qt_platform.py"}
"""Starts our own interpreter with fixed words (Qt ends the process when its plug-in does not load), nothing from a file."""
NETWORK = {"socket", "http", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "telnetlib", "xmlrpc"}
RAW_XML = {"parse", "fromstring", "iterparse", "XML", "XMLParser", "XMLPullParser"}
UNPACKING = {"extractall", "extract", "unpack_archive"}
MAY_CATCH_PICKLE_ERRORS = {"engine/prompts/published.py"}  # names pickle.UnpicklingError, which torch raises
DOWNLOADS = {"engine/models/download.py"}


def _trees(repository: Path) -> Iterator[tuple[str, ast.AST]]:
    for package in PACKAGES:
        for path in sorted((repository / package).rglob("*.py")):
            yield path.relative_to(repository).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0], node.module


@functools.cache  # unparsing every call of the program takes seconds; the trees live as long as the module
def _calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def _keyword(call: ast.Call, name: str) -> object:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value.value if isinstance(keyword.value, ast.Constant) else ast.unparse(keyword.value)
    return None


@pytest.fixture(scope="module")
def trees(repository: Path) -> list[tuple[str, ast.AST]]:
    found = list(_trees(repository))
    assert len(found) > 100
    return found


def test_nothing_unpickles(trees: list[tuple[str, ast.AST]]) -> None:
    for path, tree in trees:
        for top, name in _imports(tree):
            assert top not in RUNS_CODE or path in MAY_CATCH_PICKLE_ERRORS, f"{path} imports {name}"
        for name, call in _calls(tree):
            assert not name.startswith("pickle."), f"{path} calls {name}"
            if name == "torch.load":
                assert _keyword(call, "weights_only") is True, f"{path}: torch.load without weights_only=True"
            if name.endswith(("np.load", "numpy.load")):
                assert _keyword(call, "allow_pickle") in (None, False), f"{path}: np.load with pickles"
            assert name.rsplit(".", 1)[-1] not in ("read_pickle", "read_hdf", "HDFStore"), f"{path} calls {name}"


def test_nothing_runs_text_as_code(trees: list[tuple[str, ast.AST]]) -> None:
    for path, tree in trees:
        for name, call in _calls(tree):
            assert name not in ("eval", "exec", "compile", "__import__"), f"{path} calls {name}"
            if name in ("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"):
                raise AssertionError(f"{path} calls {name}")
            del call


def test_no_other_program_is_started(trees: list[tuple[str, ast.AST]]) -> None:
    for path, tree in trees:
        for top, name in _imports(tree):
            assert top not in PROCESSES or path in MAY_START_ITSELF, f"{path} imports {name}"
        for name, call in _calls(tree):
            if name.startswith("subprocess."):
                assert name == "subprocess.run" and _keyword(call, "shell") is None, f"{path}: {name}"
            assert not name.startswith(("os.system", "os.popen", "os.exec", "os.spawn", "os.startfile")), (
                f"{path}: {name}"
            )
            assert name.rsplit(".", 1)[-1] != "QProcess", f"{path}: {name}"


def test_xml_is_parsed_by_defusedxml_only(trees: list[tuple[str, ast.AST]]) -> None:
    for path, tree in trees:
        imported = {name for _, name in _imports(tree)}
        assert not imported & {"xml.sax", "xml.dom", "xml.dom.minidom", "xml.parsers.expat", "lxml", "lxml.etree"}, path
        for name, _ in _calls(tree):
            module, _, function = name.rpartition(".")
            assert not (function in RAW_XML and module in ("ElementTree", "ET", "etree", "xml.etree.ElementTree")), (
                f"{path}: {name}"
            )
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "xml.etree.ElementTree":
                assert {alias.name for alias in node.names} <= {"Element", "ParseError", "SubElement"}, path


def test_archives_are_written_and_never_unpacked(trees: list[tuple[str, ast.AST]]) -> None:
    for path, tree in trees:
        archives = {top for top, _ in _imports(tree)} & {"zipfile", "tarfile", "shutil"}
        for name, _ in _calls(tree):
            if archives and name.rsplit(".", 1)[-1] in UNPACKING:
                raise AssertionError(f"{path} calls {name}")


SOCKETS = {("desktop/signals.py", "socket"), ("engine/parallel/ray_bridge.py", "socket")}
"""`socketpair` inside the process wakes the event loop when a signal comes, nothing leaves it; a Ray cluster is knocked at
where the person's own command says that it is, before Ray itself calls there."""


def test_the_network_lives_in_one_module(trees: list[tuple[str, ast.AST]]) -> None:
    for path, tree in trees:
        for top, name in _imports(tree):
            if path in DOWNLOADS or (path, name) in SOCKETS:
                continue
            assert top != "fsspec" or path == "engine/remote.py", f"{path} imports {name}"
            assert top not in NETWORK and name not in ("urllib.request", "huggingface_hub"), f"{path} imports {name}"


def test_models_load_from_local_files_and_without_their_publishers_code(trees: list[tuple[str, ast.AST]]) -> None:
    loads = 0
    for path, tree in trees:
        for name, call in _calls(tree):
            where = f"{path}: {ast.unparse(call)}"
            if name.endswith(".from_pretrained"):
                loads += 1
                assert _keyword(call, "local_files_only") is True, where
            if name in ("AutoModel.from_pretrained", "AutoConfig.from_pretrained", "AutoModel.from_config"):
                assert _keyword(call, "trust_remote_code") is False, where  # left out, the library asks on the terminal
            assert _keyword(call, "trust_remote_code") in (None, False), where
    assert loads > 5


def test_sql_values_are_bound(trees: list[tuple[str, ast.AST]]) -> None:
    """Text put into SQL by f-strings may only be names that the code itself made, never a value of a variable of a caller."""
    suspicious = []
    for path, tree in trees:
        if not path.startswith("projects/store"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant):
                text = str(node.left.value).upper()
                if text.startswith(("SELECT ", "INSERT ", "UPDATE ", "DELETE ")):
                    suspicious.append(f"{path}:{node.lineno}")
            if isinstance(node, ast.JoinedStr):
                literal = "".join(v.value for v in node.values if isinstance(v, ast.Constant))
                if literal.upper().startswith(("SELECT ", "INSERT ", "UPDATE ", "DELETE ")) and "'{" in ast.unparse(
                    node
                ):
                    suspicious.append(f"{path}:{node.lineno}")
    assert not suspicious
