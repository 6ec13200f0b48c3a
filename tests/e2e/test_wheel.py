"""The wheel holds everything that is read at run time and nothing else. Trying it in a bare environment takes minutes:
that is `packaging/check_wheel.py`, run before a release and by the workflow in `.github`."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def check_wheel(repository: Path) -> ModuleType:
    if not (repository / ".git").exists():
        pytest.skip("what belongs into the wheel is asked of git, and this is no checkout")
    spec = importlib.util.spec_from_file_location("check_wheel", repository / "packaging" / "check_wheel.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wheel(check_wheel: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return check_wheel.build(tmp_path_factory.mktemp("dist"), isolated=False)


def test_it_holds_every_tracked_file_of_the_packages_and_nothing_else(check_wheel: ModuleType, wheel: Path) -> None:
    assert check_wheel.problems_of(wheel) == []
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "kinmark/resources/models/embedded/unet/diffusion_pytorch_model.safetensors",
        "kinmark/resources/translations/kinmark_de.qm",
        "kinmark/resources/samples/annotations.json",
        "kinmark/resources/icons/kinmark.svg",
        "kinmark/projects/store/migrations/env.py",
    ):
        assert needed in names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"kinmark"}


def test_a_missing_and_a_stray_file_are_named(check_wheel: ModuleType, wheel: Path, tmp_path: Path) -> None:
    broken = tmp_path / wheel.name
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(broken, "w") as part:
        for name in whole.namelist():
            if name != "kinmark/resources/icons/kinmark.svg":
                part.writestr(name, whole.read(name))
        part.writestr("tests/conftest.py", "")
    assert check_wheel.problems_of(broken) == [
        "missing: kinmark/resources/icons/kinmark.svg",
        "does not belong there: tests/conftest.py",
    ]
