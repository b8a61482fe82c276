"""Figures: points by parameters, contact sheets, images as training cuts them, images of every class."""
