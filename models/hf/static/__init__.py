"""The static engine: padded batches through transformers' own `generate` and forward pass; it runs every model.

generation    batches of prompts, halved where memory does not hold them
likelihood    batches of texts whose last tokens are scored
verification  a trial whether the rows of a batch are answered as each is by itself
determinism   `--deterministic`: one prompt a batch, kernels that always add up in the same order
"""
