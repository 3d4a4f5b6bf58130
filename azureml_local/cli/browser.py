"""Opening Studio in a browser without telling the link to the other users of the machine.

A browser is a process, and anybody may read the arguments of a process. What it gets is therefore the name of a page
that only this user can read, and that page leads to the link. (Jupyter's servers do the same.)
"""

from __future__ import annotations

import html
import webbrowser

from azureml_local.storage.folder import StateFolder, write_private

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={link}"><title>Studio</title></head>
<body><p><a href="{link}">Studio of the local workspace</a></p></body>
</html>
"""


def open_in_browser(folder: StateFolder, link: str) -> None:
    """Start a browser at a link to Studio; nothing happens where there is none."""
    write_private(folder.sign_in_page, PAGE.format(link=html.escape(link)))
    webbrowser.open(folder.sign_in_page.as_uri())


__all__ = ["open_in_browser"]
