"""What we depend on: licences we may ship beside, exact pins, and advisories found without a network."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from importlib.metadata import Distribution, PathDistribution, distributions
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def audit(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("dependency_audit", repository / "packaging" / "audit.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made_up(folder: Path, name: str, version: str, *lines: str) -> Distribution:
    place = folder / f"{name}-{version}.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(
        "\n".join(("Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *lines, "")), encoding="utf-8"
    )
    return PathDistribution(place)


def test_every_pinned_dependency_has_a_licence_that_lets_us_ship_beside_it(audit: ModuleType) -> None:
    pins, _ = audit.read_pins(audit.CONSTRAINTS.read_text(encoding="utf-8"))
    # What else a developer keeps in the environment is not ours to judge.
    ours = [d for d in distributions() if audit.canonicalize_name(d.metadata["Name"]) in {*pins, "torch"}]
    assert len(ours) > 40
    assert audit.licence_findings(ours) == []


@pytest.mark.parametrize(
    ("title", "fine"), [("Apache Software License 2.0", True), ("GNU GENERAL PUBLIC LICENSE", False)]
)
def test_the_licence_file_speaks_where_the_metadata_do_not(
    audit: ModuleType, tmp_path: Path, title: str, fine: bool
) -> None:
    silent = made_up(tmp_path, "silent", "1.0", "License: UNKNOWN")
    place = tmp_path / "silent-1.0.dist-info"
    (place / "LICENSE").write_text(f"\n{title}\n\nCopyright (c) somebody\n", encoding="utf-8")
    (place / "RECORD").write_text("silent-1.0.dist-info/LICENSE,,\nsilent-1.0.dist-info/METADATA,,\n", encoding="utf-8")
    assert (audit.licence_findings([silent]) == []) is fine


def test_every_pin_names_one_exact_version(audit: ModuleType, repository: Path) -> None:
    pins, findings = audit.read_pins((repository / "packaging" / "constraints.txt").read_text(encoding="utf-8"))
    assert findings == []
    assert {"numpy", "pillow", "sqlalchemy", "diffusers", "safetensors"} <= set(pins)


@pytest.mark.parametrize(
    ("lines", "fine"),
    [
        (["License-Expression: MIT"], True),
        (["License-Expression: GPL-3.0-or-later"], False),
        (["License-Expression: MIT AND GPL-2.0-only"], False),
        (["License-Expression: LGPL-3.0-only OR GPL-3.0-only"], False),
        (["License-Expression: AGPL-3.0-only OR MIT"], True),
        (["License-Expression: MIT AND (GPL-2.0-only OR BSD-3-Clause)"], False),
        (["License: GNU General Public License v3"], False),
        (["Classifier: License :: OSI Approved :: GNU Affero General Public License v3"], False),
        (["Classifier: License :: OSI Approved :: BSD License"], True),
        ([], False),
    ],
)
def test_a_licence_that_forbids_it_is_noticed(audit: ModuleType, tmp_path: Path, lines: list[str], fine: bool) -> None:
    found = audit.licence_findings([made_up(tmp_path, "stranger", "1.0", *lines)])
    assert (found == []) is fine
    assert fine or "stranger 1.0" in found[0]


def test_loose_missing_and_other_versions_are_noticed(audit: ModuleType, tmp_path: Path) -> None:
    pins, findings = audit.read_pins("numpy>=2\nb==1.*\nc @ https://example.org/c.whl\nstranger==1.0  # note\n")
    assert len(findings) == 3 and pins == {"stranger": "1.0"}
    assert audit.pin_findings([made_up(tmp_path, "stranger", "1.0")], pins) == []
    assert "pinned" in audit.pin_findings([made_up(tmp_path, "stranger", "1.1")], pins)[0]
    assert "not pinned" in audit.pin_findings([made_up(tmp_path, "other", "1.1")], pins)[0]


def test_declared_dependencies_are_followed(audit: ModuleType, tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\ndependencies = ["a>=1", "b[x]>=3"]\n', encoding="utf-8")
    a = made_up(tmp_path, "a", "1.0", "Requires-Dist: c>=2", "Requires-Dist: d; extra == 'x'")
    b = made_up(tmp_path, "b", "2.0", "Requires-Dist: e; extra == 'x'")
    findings = audit.needed(project, {"a": a, "b": b})
    assert len(findings) == 3, findings
    assert any("c>=2 is needed but not installed" in f for f in findings)
    assert not any(f.startswith("d") for f in findings)


def test_advisories_of_a_downloaded_archive(audit: ModuleType, tmp_path: Path) -> None:
    def record(name: str, **affected: object) -> dict[str, object]:
        package = {"ecosystem": "PyPI", "name": "Stranger"}
        return {"id": name, "summary": "bad", "affected": [{"package": package, **affected}]}

    def span(*events: dict[str, str]) -> dict[str, object]:
        return {"ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}

    records = [
        record("LISTED", versions=["1.0"]),
        record("FIXED", **span({"introduced": "0"}, {"fixed": "1.0"})),
        record("OPEN", **span({"introduced": "0.5"})),
        record("AGAIN", **span({"introduced": "0"}, {"fixed": "0.5"}, {"introduced": "0.9"}, {"fixed": "1.1"})),
        record("EARLIER", **span({"introduced": "0"}, {"last_affected": "0.9"})),
        {**record("WITHDRAWN", versions=["1.0"]), "withdrawn": "2026-01-01T00:00:00Z"},
    ]
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for content in records:
            file.writestr(f"{content['id']}.json", json.dumps(content))
    installed = {"stranger": made_up(tmp_path, "stranger", "1.0")}
    found = audit.advisory_findings(audit.advisories(archive), installed)
    assert [f.split(": ")[1] for f in found] == ["LISTED", "OPEN", "AGAIN"]
