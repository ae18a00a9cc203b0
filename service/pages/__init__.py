"""The web pages: rendered here on the server, with all that they load beside them.

One module per page. Scripts and styles stand in `assets/`, templates in `templates/`; nothing comes
from another host, and nothing has to be built. A page shows what the API tells, from the same rows.
"""
