"""Anchors of headings as GitHub makes them, so that a link works there and on the site."""

import re


def slug(text: str, separator: str = "-") -> str:
    """Return the anchor of a heading: lower case, without punctuation, spaces as hyphens."""
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"<[^>]*>", "", text).strip().lower())
    return kept.replace(" ", separator)
