"""Statistics of scores: intervals of rates and corpus scores, exact paired tests, many tests at once, averages, gains.

Nothing here knows a model or a file. Examples that hang together (an article with its questions, a document) are one
cluster; everything is counted in clusters, never in examples. docs/statistics.md has the methods with their coverage.
"""
