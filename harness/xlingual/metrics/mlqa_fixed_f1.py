"""Token F1 of answers by the MLQA rules with the Arabic article kept inside words."""

from .answer_match import token_f1_metric
from .answer_rules import RuleFamily

METRIC = token_f1_metric("mlqa_fixed_f1", RuleFamily.MLQA_FIXED)
