"""Exact match of answers by the English rules of SQuAD v1.1, whatever the language."""

from .answer_match import exact_match_metric
from .answer_rules import RuleFamily

METRIC = exact_match_metric("squad_em", RuleFamily.SQUAD)
