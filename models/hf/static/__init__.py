"""The static engine: padded batches through transformers' own `generate` and forward pass; it takes every model.

generation    batches of prompts, halved where the memory does not hold them
likelihood    batches of texts whose choices are scored
determinism   `--deterministic`: one prompt a batch, kernels that always add up in the same order
"""
