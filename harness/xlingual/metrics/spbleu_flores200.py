"""spBLEU with the SentencePiece model of Flores-200 (NLLB team 2022): not comparable with `spbleu`."""

from .sentencepiece_bleu import sentencepiece_bleu

METRIC = sentencepiece_bleu("spbleu_flores200", "flores200")
