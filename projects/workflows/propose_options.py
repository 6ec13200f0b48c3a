"""What a person may ask of a sweep."""

from __future__ import annotations

from dataclasses import dataclass

from kinmark.engine.api import DEFAULT_BACKBONE, MatchSettings


@dataclass(frozen=True)
class ProposeOptions:
    """What a person may ask for; the defaults need nothing.

    Attributes:
        category: by name; "" = every category with an exemplar.
        targets_glob: only file names that fit; image_ids: only these (None = all), in this order.
        settings: fields that are set override the automatic choice.
        only_keypoints: names; () = all of the schema.
        include_labelled: complete instances that lack keypoints, too.
        apart: leave photos out that clearly look like another category (None: on a sweep, not on photos asked for by id).
        instances: how many a photo may hold, in place of the category's own setting: auto, one, or a number ("" = its own).
        other_kinds: also on photos that hold other categories only. Without it those are left out, as long as no photo of
            the project holds this category together with another: then each photo shows one kind of thing.
        by_itself: nobody asked for it (a background improvement); undo takes it back with the step of the person before it.
        job: calls with the same name are one undo step ("" = this call alone); step_name: what the undo list calls it.
    """

    category: str = ""
    backbone: str = DEFAULT_BACKBONE
    prompt: str = "auto"
    targets_glob: str = ""
    image_ids: tuple[int, ...] | None = None
    settings: MatchSettings = MatchSettings()
    only_keypoints: tuple[str, ...] = ()
    include_labelled: bool = True
    other_kinds: bool = True
    apart: bool | None = None
    instances: str = ""
    job: str = ""
    step_name: str = ""
    by_itself: bool = False
