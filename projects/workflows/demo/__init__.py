"""The demo: the main job on the sample collection, measured against its true labels."""

from projects.workflows.demo.render import render_demo
from projects.workflows.demo.run import DemoResult, run_demo

__all__ = ["DemoResult", "render_demo", "run_demo"]
