"""Where the layers of a model put the same sentence in several languages."""
