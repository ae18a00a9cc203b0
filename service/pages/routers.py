"""All pages, for the application."""

from typing import Final

from service.pages import (
    assets,
    campaigns,
    home,
    jobs,
    label_pictures,
    labels,
    models,
    review,
    sign_in,
)

PAGES: Final = (
    home,
    jobs,
    labels,
    label_pictures,
    review,
    campaigns,
    models,
    sign_in,
    assets,
)
