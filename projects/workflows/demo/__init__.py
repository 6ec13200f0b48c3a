"""The demo: the main job on the sample collection or on labelled photos of one's own, measured against the true labels."""

from kinmark.projects.workflows.demo.photos import DemoPhotos, own_photos, sample_photos
from kinmark.projects.workflows.demo.render import render_demo
from kinmark.projects.workflows.demo.run import DemoResult, run_demo

__all__ = ["DemoPhotos", "DemoResult", "own_photos", "render_demo", "run_demo", "sample_photos"]
