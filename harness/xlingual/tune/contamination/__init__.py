"""Decontamination: what leaderboards test on, found in the rows of a mixture by content.

words         a text -> folded words, the same for all disguises of the text
index         texts by shingles: which of them a row holds, whole, nearly, or in part
benchmarks    the test data of every leaderboard, and what rows repeat of them
"""
