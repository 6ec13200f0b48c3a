"""Helpers that can be asked for by name beside the backbones: descriptors (parts), segmenters, adapters. Loads no torch.

A part stands in a descriptor (`dinov2-base@2*0.7+dense_sift*0.3`), beside a backbone (`sd21+dinov2-base`) or in place of the
diffusion pass (`--backbone dinov2-base`). Quality figures are the publishers' own, as they printed them; none was measured here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from kinmark.engine.backbones.folder import check_safetensors, file_digest
from kinmark.engine.domain.errors import AppError, KnownError, ModelCorruptError, ModelMissingError, UserInputError
from kinmark.engine.domain.model_info import ModelRow
from kinmark.engine.domain.texts import said
from kinmark.engine.paths import data_dir

PART, SEGMENTER, ADAPTER = "part", "segmenter", "adapter"
ADAPTER_FILE = "kinmark-adapter.json"
_WEIGHTS = re.compile(r"[^/]*\.safetensors(\.index\.json)?")
_WANTED = re.compile(r"(config|preprocessor_config|processor_config)\.json|LICEN[SC]E[^/]*", re.IGNORECASE)


@dataclass(frozen=True)
class HelperSpec:
    """One helper.

    Attributes:
        id, title, kind: name, what a person reads, PART, SEGMENTER or ADAPTER.
        repo_id, revision: on the hub; the commit that is taken ("" = the newest at the time of the download, which is recorded).
        licence, licence_url, notice: shown before a download. gated: its publisher must grant access first.
        size_bytes: of the download. good_for: one sentence. published: the publisher's figures, said to be theirs.
        input_wh, cells_wh: size at which a part looks at a photo, and the grid of its map.
        base: id of the part that an adapter changes. address: where a file lies that is brought by hand ("" = on the hub).
    """

    id: str
    title: str
    kind: str
    repo_id: str = ""
    revision: str = ""
    licence: str = ""
    licence_url: str = ""
    notice: str = ""
    gated: bool = False
    size_bytes: int = 0
    good_for: str = ""
    published: str = ""
    input_wh: tuple[int, int] = (0, 0)
    cells_wh: tuple[int, int] = (0, 0)
    base: str = ""
    address: str = ""
    variant: str = ""


_APACHE = "Apache-2.0"
_DINOV3 = "DINOv3 License"
_DINOV3_URL = "https://ai.meta.com/resources/models-and-libraries/dinov3-license/"
_GATED = "Its publisher asks for your name and grants access on the model's page; log in there first (HF_TOKEN)."
_P14, _P16, _G40 = (560, 560), (640, 640), (40, 40)

HELPERS: tuple[HelperSpec, ...] = (
    HelperSpec(
        "dinov2-base",
        "DINOv2 base",
        PART,
        "facebook/dinov2-base",
        "f9e44c814b77203eaa57a6bdbbd535f21ede1415",
        licence=_APACHE,
        licence_url="https://github.com/facebookresearch/dinov2/blob/main/LICENSE",
        size_bytes=346_000_000,
        input_wh=_P14,
        cells_wh=_G40,
        good_for="Keypoints on photos of the same kind of thing, also without a graphics card.",
        published="SPair-71k PCK@0.1 55.6, nearest neighbours (the table of A Tale of Two Features)",
    ),
    HelperSpec(
        "dinov2-large",
        "DINOv2 large",
        PART,
        "facebook/dinov2-large",
        "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c",
        licence=_APACHE,
        licence_url="https://github.com/facebookresearch/dinov2/blob/main/LICENSE",
        size_bytes=1_217_000_000,
        input_wh=_P14,
        cells_wh=_G40,
        good_for="What MARCO's adapters change; three times the size of base.",
    ),
    HelperSpec(
        "dinov2-registers-large",
        "DINOv2 large with registers",
        PART,
        "facebook/dinov2-with-registers-large",
        "e4c89a4e05589de9b3e188688a303d0f3c04d0f3",
        licence=_APACHE,
        licence_url="https://github.com/facebookresearch/dinov2/blob/main/LICENSE",
        size_bytes=1_217_000_000,
        input_wh=_P14,
        cells_wh=_G40,
        good_for="DINOv2 large without the outlier cells that its publisher found in it: masks and search.",
    ),
    HelperSpec(
        "dinov3-base",
        "DINOv3 base (ViT-B/16)",
        PART,
        "facebook/dinov3-vitb16-pretrain-lvd1689m",
        "5931719e67bbdb9737e363e781fb0c67687896bc",
        licence=_DINOV3,
        licence_url=_DINOV3_URL,
        notice=_GATED,
        gated=True,
        size_bytes=343_000_000,
        input_wh=_P16,
        cells_wh=_G40,
        good_for="Sharp dense maps; its features of the place in the photo are projected out here.",
        published="SPair-71k PCK@0.1 46.8, 52.6 with the positional part removed (INSID3, its own table)",
    ),
    HelperSpec(
        "dinov3-large",
        "DINOv3 large (ViT-L/16)",
        PART,
        "facebook/dinov3-vitl16-pretrain-lvd1689m",
        "ea8dc2863c51be0a264bab82070e3e8836b02d51",
        licence=_DINOV3,
        licence_url=_DINOV3_URL,
        notice=_GATED,
        gated=True,
        size_bytes=1_213_000_000,
        input_wh=_P16,
        cells_wh=_G40,
        good_for="As DINOv3 base, larger.",
    ),
    HelperSpec(
        "tipsv2-base",
        "TIPSv2 base (B/14)",
        PART,
        "google/tipsv2-b14",
        "245de45054528d86029a06375bd7ba12a93f5b20",
        licence=_APACHE,
        licence_url="https://github.com/google-deepmind/tips/blob/main/LICENSE",
        size_bytes=785_000_000,
        input_wh=_P14,
        cells_wh=_G40,
        good_for="Dense maps that were trained with words; only its picture half is used here.",
    ),
    HelperSpec(
        "c-radiov4-h",
        "C-RADIOv4 (H/16)",
        PART,
        "nvidia/C-RADIOv4-H",
        "0057b339059c0b9e1b4ba996f975410ebbfdfcc8",
        licence="NVIDIA Open Model License",
        licence_url="https://www.nvidia.com/en-us/agreements/enterprise-software/nvidia-open-model-license/",
        size_bytes=2_600_000_000,
        input_wh=_P16,
        cells_wh=_G40,
        good_for="One network that was taught by DINOv3, SigLIP and SAM 3 together; for graphics cards.",
    ),
    HelperSpec(
        "diy-sc",
        "DIY-SC adapter on DINOv2 base",
        ADAPTER,
        licence="MIT",
        licence_url="https://github.com/odunkel/DIY-SC/blob/main/LICENSE",
        size_bytes=3_000_000,
        base="dinov2-base",
        address="https://github.com/odunkel/DIY-SC (ckpts/0300_dino_spair/best.pth)",
        input_wh=(840, 840),
        cells_wh=(60, 60),
        good_for="Keeps left and right, and repeated parts, apart; trained without keypoint labels.",
        published="see the table of arXiv:2506.05312, its own",
    ),
    HelperSpec(
        "marco",
        "MARCO (DINOv2 large with adapters)",
        ADAPTER,
        licence=_APACHE,
        licence_url="https://github.com/visinf/MARCO",
        size_bytes=80_000_000,
        base="dinov2-large",
        address="https://github.com/visinf/MARCO/releases/download/v1.0/marco_release.pth",
        input_wh=(840, 840),
        cells_wh=(120, 120),
        good_for="Keypoints of animals and things like those of SPair-71k and AP-10K, which it learned from.",
        published="SPair-71k PCK@0.1 87.2, SPair-U 67.5 (the publisher's table; trained on SPair-71k)",
    ),
    HelperSpec(
        "sam2.1-small",
        "SAM 2.1 small",
        SEGMENTER,
        "facebook/sam2.1-hiera-small",
        "ee5bba1d82bb8749febdf90f45e84b687142ba03",
        licence=_APACHE,
        licence_url="https://github.com/facebookresearch/sam2/blob/main/LICENSE",
        size_bytes=184_000_000,
        good_for="Masks with exact edges from a click, a box or a search, without a graphics card.",
    ),
    HelperSpec(
        "sam2.1-large",
        "SAM 2.1 large",
        SEGMENTER,
        "facebook/sam2.1-hiera-large",
        "665f8e2ad61cf5f53d65644ff27c8ee525124610",
        licence=_APACHE,
        licence_url="https://github.com/facebookresearch/sam2/blob/main/LICENSE",
        size_bytes=898_000_000,
        good_for="The same with finer edges, for graphics cards.",
    ),
    HelperSpec(
        "sam3",
        "SAM 3",
        SEGMENTER,
        "facebook/sam3",
        "3c879f39826c281e95690f02c7821c4de09afae7",
        licence="SAM License",
        licence_url="https://github.com/facebookresearch/sam3/blob/main/LICENSE",
        notice=_GATED,
        gated=True,
        size_bytes=3_440_000_000,
        good_for="Masks from clicks and boxes by its tracker half; for graphics cards.",
    ),
)


def helper(helper_id: str) -> HelperSpec | None:
    """The helper of that id."""
    return next((spec for spec in HELPERS if spec.id == helper_id), None)


def helpers_folder(models_dir: Path | None = None) -> Path:
    """Where helpers lie: beside the backbones, in a folder of their own."""
    return (models_dir if models_dir is not None else data_dir() / "models") / "helpers"


def folder_of(spec: HelperSpec, models_dir: Path | None = None) -> Path:
    """Where this helper lies, or would: a folder that was added by hand (`kinmark models add`), else the download."""
    added = _added(models_dir).get(spec.id)
    return Path(added) if added else helpers_folder(models_dir) / spec.id


def _added(models_dir: Path | None) -> dict[str, str]:
    try:
        data = json.loads((helpers_folder(models_dir) / "added.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in data.items()} if isinstance(data, dict) else {}


def use_folder(spec: HelperSpec, folder: Path | None, models_dir: Path | None = None) -> None:
    """Know a local folder as this helper (None: forget it).

    Raises:
        ModelCorruptError, ModelMissingError: not usable. KnownError: the list cannot be written.
    """
    added = _added(models_dir)
    added.pop(spec.id, None)
    if folder is not None:
        check_folder(folder)
        added[spec.id] = str(folder.resolve())
    write_list(helpers_folder(models_dir) / "added.json", added)


def write_list(file: Path, added: dict[str, str]) -> None:
    """A list of added folders, whole or not at all; KnownError: the disk refuses."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".tmp")
        temporary.write_text(json.dumps(added, indent=1, sort_keys=True), encoding="utf-8")
        temporary.replace(file)
    except OSError as error:
        raise KnownError(
            said("The list of models {0} cannot be written.", file), "Check free space and permissions.", repr(error)
        ) from None


def needed_files(names: set[str], variant: str = "") -> set[str]:
    """Of a transformers repository: config, preprocessing, licence and safetensors at its top; never pickled weights."""
    return {n for n in names if _WANTED.fullmatch(n) or _WEIGHTS.fullmatch(n)}


def check_plan(repo_id: str, names: set[str]) -> None:
    """KnownError when the files are not enough."""
    if "config.json" not in names or not any(n.endswith(".safetensors") for n in names):
        raise ModelCorruptError(
            said(
                "The repository {0} has no safetensors weights that Kinmark can use (config.json, *.safetensors).",
                repo_id,
            ),
            "Choose another model or another mirror.",
        )


def check_folder(folder: Path) -> None:
    """Raise unless the folder holds a config and whole safetensors weights.

    Raises:
        ModelMissingError: not there. ModelCorruptError: no config, no safetensors, cut off files.
    """
    if not folder.is_dir():
        raise ModelMissingError(
            said("The model folder {0} is not there.", folder), "Check the path or download the model."
        )
    weights = sorted(folder.glob("*.safetensors"))
    if not ((folder / "config.json").is_file() or (folder / ADAPTER_FILE).is_file()) or not weights:
        raise ModelCorruptError(
            said("{0} must hold config.json and safetensors weights.", folder), "Download or copy the model again."
        )
    for path in weights:
        check_safetensors(path)


def is_installed(spec: HelperSpec, models_dir: Path | None = None) -> bool:
    """Whether its files are there."""
    try:
        check_folder(folder_of(spec, models_dir))
    except AppError:
        return False
    return True


def installed_folder(helper_id: str, models_dir: Path | None = None) -> Path:
    """Its folder; ModelMissingError says how to get it, UserInputError when there is no such helper."""
    spec = helper(helper_id)
    if spec is None:
        raise UserInputError(said("There is no helper model '{0}'.", helper_id), "See: kinmark models list")
    folder = folder_of(spec, models_dir)
    if not folder.is_dir():
        hint = said("kinmark models download {0}", spec.id)
        if spec.address:
            hint = said("Get {0}, then: kinmark models convert FILE --as {1}", spec.address, spec.id)
        raise ModelMissingError(said("The model '{0}' is not installed.", spec.id), hint)
    return folder


def row_of(spec: HelperSpec, models_dir: Path | None = None) -> ModelRow:
    """As a person sees it."""
    folder = folder_of(spec, models_dir)
    problem, size, revision = "", 0, ""
    if folder.is_dir():
        try:
            check_folder(folder)
            size = sum(p.stat().st_size for p in folder.iterdir() if p.is_file())
            revision = _revision(folder)
        except AppError as error:
            problem = error.user_message
    return ModelRow(
        spec.id,
        spec.title,
        "download" if spec.repo_id else "convert",
        bool(size),
        str(folder) if folder.is_dir() else "",
        revision,
        spec.licence,
        spec.licence_url,
        spec.notice,
        spec.size_bytes,
        size,
        spec.input_wh,
        spec.gated,
        problem,
        kind=spec.kind,
        good_for=spec.good_for,
        published=spec.published,
        gated=spec.gated,
    )


def _revision(folder: Path) -> str:
    try:
        record = json.loads((folder / "kinmark-download.json").read_text(encoding="utf-8"))
        return str(record.get("commit", ""))
    except (OSError, ValueError, AttributeError):
        return file_digest(sorted(folder.glob("*.safetensors"))[0])[:12]
