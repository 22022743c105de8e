"""The paged engine: the continuous batching of transformers, in `continuous_batching`."""
