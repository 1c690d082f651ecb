"""Whether generated text is like the real text without being it: n-grams, chains, bits, copies, and one table of all.

Every number stands beside real text and Markov chains of the same sample size, since none means anything alone.
"""
