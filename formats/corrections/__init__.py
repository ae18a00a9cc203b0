"""Masks that people corrected in a tool, as its export has them."""
