"""The paged engine: transformers' continuous batching behind our protocol, in `continuous_batching`."""
