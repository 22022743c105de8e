"""Producing cross-lingual models: recipe -> mix plan -> rows in packs; the training loop is `xlingual.training`."""
