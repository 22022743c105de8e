"""What lies behind the scores of a model: its representation space, the content of its answers."""
