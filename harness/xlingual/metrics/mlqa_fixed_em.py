"""Exact match of answers by the MLQA rules with the Arabic article kept inside words."""

from .answer_match import exact_match_metric
from .answer_rules import Family

METRIC = exact_match_metric("mlqa_fixed_em", Family.MLQA_FIXED)
