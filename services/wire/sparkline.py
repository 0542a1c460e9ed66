"""A sparkline: a row of figures as a small picture, the latest on the right.

As with `svg`, there are no styles in it: colours come from the page's own stylesheet.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence

WIDTH, HEIGHT = 120, 24  # pixels
MARGIN = 2


def sparkline(figures: Sequence[float | None], most: int, label: str) -> str:
    """Return the picture of the latest `most` figures; None is one that is missing, and marked.

    `label` is what a screen reader says. The scale begins at 0.
    """
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": "sparkline",
            "role": "img",
            "aria-label": label,
            "viewBox": f"0 0 {WIDTH} {HEIGHT}",
            "preserveAspectRatio": "xMaxYMid",
            "width": f"{WIDTH}",
            "height": f"{HEIGHT}",
        },
    )
    shown = list(figures)[-most:]
    top = max((figure for figure in shown if figure is not None), default=0.0) or 1.0
    step = (WIDTH - 2 * MARGIN) / max(1, most - 1)
    start = WIDTH - MARGIN - step * (len(shown) - 1)

    def x(number: int) -> float:
        return start + step * number

    def y(figure: float) -> float:
        return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * figure / top

    for run in runs(shown):
        points = " ".join(f"{x(number):.1f},{y(figure):.1f}" for number, figure in run)
        ET.SubElement(root, "polyline", {"class": "line", "points": points, "fill": "none"})
    for number, figure in enumerate(shown):
        if figure is None:
            mark = {"x1": f"{x(number):.1f}", "x2": f"{x(number):.1f}", "class": "missing"}
            ET.SubElement(root, "line", {**mark, "y1": f"{MARGIN}", "y2": f"{HEIGHT - MARGIN}"})
    if shown and shown[-1] is not None:
        where = {"cx": f"{x(len(shown) - 1):.1f}", "cy": f"{y(shown[-1]):.1f}", "r": "2"}
        ET.SubElement(root, "circle", {"class": "latest", **where})
    return ET.tostring(root, encoding="unicode")


def runs(figures: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    """Yield what is between the missing figures, each with its number."""
    run: list[tuple[int, float]] = []
    for number, figure in enumerate(figures):
        if figure is not None:
            run.append((number, figure))
        elif run:
            yield run
            run = []
    if run:
        yield run
