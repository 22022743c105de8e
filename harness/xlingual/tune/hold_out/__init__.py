"""Rows that a recipe holds out of its sources: never trained on, so that the loss on them says what was learnt.

records     how much is held out, what a plan says of it, which checkpoint is exported
groups      rows that belong together: those that say the same
choice      from amounts to rows: whole groups, by a hash of what they say, and the near-identical rows of others
reading     the keys of a recipe
"""
