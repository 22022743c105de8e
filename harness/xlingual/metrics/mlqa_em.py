"""Exact match of answers by the official MLQA rules."""

from .answer_match import exact_match_metric
from .answer_rules import RuleFamily

METRIC = exact_match_metric("mlqa_em", RuleFamily.MLQA)
