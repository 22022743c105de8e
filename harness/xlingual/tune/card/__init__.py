"""The model card of what a training exports: README.md, which the Hugging Face hub shows as it is.

    front_matter   the YAML block: languages, licence, base, data sets, tags, results
    sections       the page: how it was made, of what, what was checked, what it is not good for
    usage          the snippet that loads the model and asks it as it was trained
    scores         the part that `xlingual tune card` writes anew
    texts          texts of recipes and data, made safe for both

A card says what the record of the training says, and no more: what nobody knows is called unknown.
"""

from .page import CARD, CardFacts, model_card, replace_scores
from .scores import CardScore

__all__ = ["CARD", "CardFacts", "CardScore", "model_card", "replace_scores"]
