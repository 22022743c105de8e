"""Decontamination: what leaderboards test on, found in the rows of a mixture by content.

markup        a text without escapes, tags, links and hyphens at line ends
han           traditional Han characters -> simplified ones
words         a text -> folded words, the same for all disguises of the text
shingles      hashes of short runs of words, and which of them rows have
runs          what a row repeats of a text, by its shingles; texts that are cut into rows
letters       texts as letters, for rows with other spaces
index         texts by shingles: which of them a row holds, whole, nearly, or in part
benchmarks    the test data of every leaderboard, and what rows repeat of them
"""
