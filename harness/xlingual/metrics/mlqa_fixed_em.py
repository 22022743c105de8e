"""Exact match of answers by the MLQA rules with the Arabic article kept inside words."""

from .answer_match import exact_match_metric
from .answer_rules import RuleFamily

METRIC = exact_match_metric("mlqa_fixed_em", RuleFamily.MLQA_FIXED)
