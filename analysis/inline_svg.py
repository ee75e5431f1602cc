"""A figure as SVG inside an HTML page: colours follow the page's theme, ids do not clash, nothing is loaded."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from markupsafe import Markup

from .figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"

# Colours of figures.mplstyle -> variables of templates/report.css, where both themes define them.
VARIABLES = {
    "1b1f24": "ink",
    "5a636d": "muted",
    "dcd8cf": "rule",
    "b00020": "mark",
    "0072b2": "series-1",
    "d55e00": "series-2",
    "00875f": "series-3",
    "b8588f": "series-4",
    "5c5c5c": "series-5",
    "b87700": "series-6",
    "2589bd": "series-7",
}


def inline_svg(figure: Figure, name: str, description: str) -> Markup:
    """SVG text of a figure for an HTML page.

    Parameters
    ----------
    name : unique on the page; goes before every id
    description : read out by screen readers
    """
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", facecolor="none", metadata={"Date": None})
    root = ET.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    title = ET.Element(f"{{{_SVG}}}title", {"id": "title"})
    title.text = description
    root.insert(0, title)
    root.attrib |= {"role": "img", "aria-labelledby": "title"}
    return Markup(_themed(_renamed(ET.tostring(root, encoding="unicode"), name)))


def _renamed(text, name):
    text = re.sub(r'\b(id|aria-labelledby)="([^"]+)"', rf'\1="{name}-\2"', text)
    return re.sub(r'(url\(#|href="#)', rf"\1{name}-", text)


def _themed(text):
    for color, variable in VARIABLES.items():
        text = re.sub(rf"#{color}\b", f"var(--{variable})", text, flags=re.IGNORECASE)
    return re.sub(r"font: ((?:\w+ )*[\d.]+px) [^;\"]+", r"font: \1 var(--sans)", text)
