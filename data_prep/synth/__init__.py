"""The synthetic benchmark: ten small domains, drawn from a seed, in the layout of the official ten.

It needs no download and trains in minutes, so that every part of the toolkit can be tried and tested. Its domains
are as different as the official ones (strokes, digits, signs, textures, people, trails of motion, ...) but share
edges and strokes, so that a trunk trained on all of them has something to share. Its errors and scores compare only
with each other.
"""
