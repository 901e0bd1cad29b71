"""HTML pages of the project: templates that escape what they are given, and one style."""

from pathlib import Path
from typing import TYPE_CHECKING

from tasks import picture_style

if TYPE_CHECKING:
    import jinja2

STYLE = {"ink": picture_style.INK, "first": picture_style.FIRST}
"""What `page.css` has in common with the pictures."""


def open_templates(folder: Path, autoescape: bool = True) -> "jinja2.Environment":
    """The templates of a folder, which may include `page.css`; a name that is not given is an error.

    Args:
        folder: of the templates.
        autoescape: as HTML needs it; a template of Markdown escapes by itself.
    """
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent / "templates"]),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
