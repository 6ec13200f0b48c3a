"""points-csv: one table with a row per keypoint. A format plug-in is a `FormatSpec` and a module with read, write, losses."""

from __future__ import annotations

from kinmark.plugins import FormatSpec

FORMAT = FormatSpec(
    name="points-csv",
    title="Keypoint table (CSV)",
    module="kinmark_points.table",
    reads="file",
    writes=True,
    carries=frozenset({"keypoints"}),
    exact=True,
)
