"""Token F1 of answers by the official MLQA rules."""

from .answer_match import token_f1_metric
from .answer_rules import RuleFamily

METRIC = token_f1_metric("mlqa_f1", RuleFamily.MLQA)
