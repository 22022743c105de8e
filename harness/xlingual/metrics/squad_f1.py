"""Token F1 of answers by the English rules of SQuAD v1.1, whatever the language."""

from .answer_match import token_f1_metric
from .answer_rules import RuleFamily

METRIC = token_f1_metric("squad_f1", RuleFamily.SQUAD)
