"""The results of a study in words: what moved, by how much, and what the study cannot show.

Every sentence is generated from the tables, so that the words cannot say more than the numbers.
"""
