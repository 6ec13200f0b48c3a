#!/usr/bin/env python3
"""Check the installed dependencies without a network: licences, exact pins, known advisories from a downloaded archive.

    .venv/bin/python packaging/audit.py                  # licences and pins of everything in this environment
    .venv/bin/python packaging/audit.py --osv all.zip    # and advisories: the "PyPI/all.zip" that osv.dev publishes
    .venv/bin/python packaging/audit.py --online         # and pip-audit (asks the public advisory database; needs the network)

Exit code 0: nothing found. 1: something has to be looked at. Works as a Git hook: `ln -s ../../packaging/audit.py
.git/hooks/pre-push`. Whether a pinned version was yanked only the index knows: `pip install --dry-run -r
packaging/constraints.txt --no-deps` warns of it.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "packaging" / "constraints.txt"
OWN = "kinmark"

ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CNRI-Python",
    "ISC",
    "MIT",
    "MIT-CMU",
    "MPL-2.0",
    "PSF-2.0",
    "Unlicense",
    "Zlib",
}
BY_NAME = {
    # Qt's Python modules are loaded as shared libraries that a user can replace, which is what the LGPL asks for.
    "pyside6-essentials": "LGPL-3.0-only",
    "shiboken6": "LGPL-3.0-only",
    # The same: BSD itself, its wheels bring libheif and libde265 as shared libraries (and no x265, unlike pillow-heif's).
    "pi-heif": "LGPL-3.0-only",
}
OTHER_PINS = {
    "pip": "comes with the interpreter",
    "setuptools": "comes with the virtual environment, builds only",
    "torch": "packaging/bootstrap.py, because its builds differ",
}
OF_CUDA = ("nvidia-", "cuda-", "triton")
"""Come with torch's CUDA builds, which every user installs from their makers; nothing of them is shipped."""

_SPELLINGS = (
    (r"apache( software)?( license)?,?( version)? ?2(\.0)?( license)?|apache software license|apache-2", "Apache-2.0"),
    (r"(the )?mit( license)?( \(mit\))?", "MIT"),
    (r"bsd[ -]2[ -]clause( license)?|freebsd|simplified bsd", "BSD-2-Clause"),
    (
        r"bsd( license)?|bsd[ -]3[ -]clause( license)?|3[ -]clause bsd( license)?|(new|modified) bsd( license)?",
        "BSD-3-Clause",
    ),
    (r"mozilla public license 2\.0( \(mpl 2\.0\))?", "MPL-2.0"),
    (r"psfl|python software foundation license", "PSF-2.0"),
    (r"isc( license)?( \(iscl\))?", "ISC"),
)


def spdx(text: str) -> str:
    """The SPDX name of what people write into the licence field; unknown texts come back as they are."""
    cleaned = " ".join(text.split())
    for pattern, name in _SPELLINGS:
        if re.fullmatch(pattern, cleaned, re.IGNORECASE):
            return name
    return cleaned


def is_allowed(expression: str, name: str = "") -> bool:
    """Whether an SPDX-like expression lets us ship beside it: one alternative (OR) whose every part (AND) is allowed."""
    allowed = ALLOWED | {BY_NAME.get(canonicalize_name(name), "")}
    if spdx(expression) in allowed:
        return True
    if "(" in expression:
        # Nested expressions are not resolved: then every single licence in them must be allowed.
        parts = re.split(r"\s+(?:AND|OR)\s+", expression.replace("(", "").replace(")", ""))
        return all(spdx(part) in allowed for part in parts)
    alternatives = re.split(r"\s+OR\s+", expression)
    return any(all(spdx(part) in allowed for part in re.split(r"\s+AND\s+", one)) for one in alternatives)


def declared_licences(distribution: Distribution) -> list[str]:
    """What a distribution says, most binding statement first: SPDX expression, licence field, classifiers."""
    metadata = distribution.metadata
    found = []
    if metadata.get("License-Expression"):
        found.append(str(metadata["License-Expression"]))
    field = str(metadata.get("License") or "").strip()
    if field and field != "UNKNOWN" and "\n" not in field and len(field) < 100:
        found.append(spdx(field))
    found += [spdx(c.split(" :: ")[-1]) for c in metadata.get_all("Classifier") or [] if c.startswith("License :: OSI")]
    return found or licence_titles(distribution)


def licence_titles(distribution: Distribution) -> list[str]:
    """The first line of each licence file that came with a distribution whose metadata say nothing (some old ones)."""
    files = [
        f
        for f in distribution.files or []
        if f.parent.name.endswith(".dist-info") and f.name.upper().startswith("LICEN")
    ]
    titles = [next((line.strip() for line in f.read_text().splitlines() if line.strip()), "") for f in files]
    return [spdx(title) for title in titles if title]


def licence_findings(installed: Iterable[Distribution]) -> list[str]:
    """One sentence per distribution whose licence is unknown or not allowed."""
    findings = []
    for distribution in installed:
        name = str(distribution.metadata["Name"])
        if canonicalize_name(name) == OWN or canonicalize_name(name).startswith(OF_CUDA):
            continue
        licences = declared_licences(distribution)
        if not licences:
            findings.append(f"{name} {distribution.version} does not say under which licence it stands: look it up.")
        # The first statement decides: classifiers of old packages contradict their expression.
        elif not is_allowed(licences[0], name):
            findings.append(f"{name} {distribution.version} stands under {licences[0]}, which is not on the list.")
    return findings


def read_pins(text: str) -> tuple[dict[str, str], list[str]]:
    """Name -> exact version of a constraints file, and one sentence per line that is no exact pin."""
    pins: dict[str, str] = {}
    findings = []
    for line in text.splitlines():
        content = line.split("#")[0].strip()
        if not content:
            continue
        try:
            requirement = Requirement(content)
        except InvalidRequirement:
            findings.append(f"constraints.txt: '{content}' is no requirement.")
            continue
        exact = [s for s in requirement.specifier if s.operator == "==" and not s.version.endswith(".*")]
        if len(requirement.specifier) != 1 or not exact or requirement.url:
            findings.append(f"constraints.txt: '{content}' does not name one exact version.")
            continue
        pins[canonicalize_name(requirement.name)] = exact[0].version
    return pins, findings


def pin_findings(installed: Iterable[Distribution], pins: dict[str, str]) -> list[str]:
    """One sentence per installed distribution that no pin names, or that differs from its pin."""
    findings = []
    for distribution in installed:
        name = canonicalize_name(str(distribution.metadata["Name"]))
        if name == OWN or name in OTHER_PINS or name.startswith(OF_CUDA):
            continue
        if name not in pins:
            findings.append(f"{name} {distribution.version} is installed but not pinned.")
        elif Version(pins[name]) != Version(distribution.version):
            findings.append(f"{name} {distribution.version} is installed but {pins[name]} is pinned.")
    return findings


def needed(project: Path, installed: dict[str, Distribution]) -> list[str]:
    """One sentence per declared dependency (also of dependencies) that is missing here or has an unfitting version."""
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    waiting = [Requirement(r) for r in table["dependencies"]]
    findings, seen = [], set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        key = (name, str(requirement.specifier), tuple(sorted(requirement.extras)))
        extras = {"", *requirement.extras}
        if key in seen:
            continue
        seen.add(key)
        if name not in installed:
            findings.append(f"{requirement} is needed but not installed.")
            continue
        if not requirement.specifier.contains(installed[name].version, prereleases=True):
            findings.append(f"{name} {installed[name].version} is installed but {requirement.specifier} is needed.")
        for text in installed[name].requires or []:
            further = Requirement(text)
            if further.marker is None or any(further.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(further)
    return findings


def advisories(archive: Path) -> Iterator[dict[str, Any]]:
    """The records of an OSV archive, read without unpacking it."""
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            if name.endswith(".json"):
                yield json.loads(file.read(name))


def _is_affected(version: Version, affected: dict[str, Any]) -> bool:
    if str(version) in affected.get("versions", ()):
        return True
    for span in affected.get("ranges", ()):
        if span.get("type") != "ECOSYSTEM":
            continue
        inside = False
        for event in span.get("events", ()):
            try:
                if "introduced" in event and version >= Version(event["introduced"]):
                    inside = True
                if "fixed" in event and version >= Version(event["fixed"]):
                    inside = False
                if "last_affected" in event and version > Version(event["last_affected"]):
                    inside = False
            except InvalidVersion:
                continue
        if inside:
            return True
    return False


def advisory_findings(records: Iterable[dict[str, Any]], installed: dict[str, Distribution]) -> list[str]:
    """One sentence per advisory that names an installed version; withdrawn ones are passed over."""
    findings = []
    for record in records:
        if record.get("withdrawn"):
            continue
        for affected in record.get("affected", ()):
            package = affected.get("package", {})
            distribution = installed.get(canonicalize_name(str(package.get("name", ""))))
            if package.get("ecosystem") != "PyPI" or distribution is None:
                continue
            if _is_affected(Version(distribution.version), affected):
                name = distribution.metadata["Name"]
                findings.append(
                    f"{name} {distribution.version}: {record.get('id')}: {record.get('summary', '')}".strip()
                )
    return findings


def run_pip_audit() -> list[str]:
    """Ask pip-audit about the pins; a sentence when it is not installed."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(CONSTRAINTS), "--no-deps", "--disable-pip"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return []
    if "No module named" in done.stderr:
        return ["pip-audit is not installed here: pip install pip-audit (it is no dependency of Kinmark)."]
    return [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]


def main(arguments: list[str] | None = None) -> int:
    """Print what was found."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--osv", type=Path, metavar="ZIP", help="advisory archive of osv.dev for PyPI")
    options.add_argument("--online", action="store_true", help="also run pip-audit")
    chosen, _ = options.parse_known_args(arguments)  # a Git hook is called with arguments of its own
    installed = {canonicalize_name(str(d.metadata["Name"])): d for d in distributions()}
    pins, findings = read_pins(CONSTRAINTS.read_text(encoding="utf-8"))
    findings += pin_findings(installed.values(), pins)
    findings += needed(ROOT / "pyproject.toml", installed)
    findings += licence_findings(installed.values())
    if chosen.osv is not None:
        findings += advisory_findings(advisories(chosen.osv), installed)
    if chosen.online:
        findings += run_pip_audit()
    for finding in findings:
        print(finding)
    print(f"{len(installed)} distributions looked at, {len(findings)} findings.")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
