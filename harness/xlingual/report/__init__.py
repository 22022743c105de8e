"""One page about an experiment: what was trained, how good it is, what the law says. Records -> HTML."""

from .page import Html, Page, Section, render_page
from .sections import Experiment, experiment_page

__all__ = ["Experiment", "Html", "Page", "Section", "experiment_page", "render_page"]
