"""HTML from small pieces. A plain string is always escaped; only what `tag` made is taken as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from panloom.run.page._tables import Row, Table

#: Elements of HTML that have no end; those of SVG all have one.
_VOID = frozenset({"img", "meta"})
_HERE = Path(__file__).parent

#: Characters above which a fact takes a whole line.
LONG = 80

#: A page may load nothing at all; a browser holds it to that.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, *content: str, attrs: Mapping[str, object] | None = None) -> Html:
    """An element.

    Args:
        name: such as "td".
        content: texts, which are escaped, and elements.
        attrs: its attributes; a value of None or False leaves one out, True gives one without a value.
    """
    words = "".join(_attribute(key, value) for key, value in (attrs or {}).items())
    inside = joined(content)
    if name in _VOID:
        return Html(f"<{name}{words}>")
    return Html(f"<{name}{words}>{inside}</{name}>")


def joined(content: Iterable[str]) -> Html:
    """Texts, escaped, and elements, one after the other."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in content))


def styled(kind: str, *content: str, name: str = "div") -> Html:
    """An element of a class."""
    return tag(name, *content, attrs={"class": kind})


def section(anchor: str, title: str, *content: str) -> Html:
    """A part of the page with a heading that can be linked to."""
    return tag("section", tag("h2", title), *content, attrs={"id": anchor})


def document(title: str, kicker: str, links: Sequence[tuple[str, str]], content: Iterable[str], foot: str) -> str:
    """A whole page.

    Args:
        title: its heading.
        kicker: a few words above it.
        links: anchors and names of its sections.
        content: what stands between heading and foot.
        foot: the last line.
    """
    head = tag(
        "head",
        tag("meta", attrs={"charset": "utf-8"}),
        tag("meta", attrs={"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        tag("meta", attrs={"name": "color-scheme", "content": "light dark"}),
        tag("meta", attrs={"http-equiv": "Content-Security-Policy", "content": _POLICY}),
        tag("title", f"{title} - {kicker}"),
        tag("style", Html((_HERE / "page.css").read_text(encoding="utf-8"))),
    )
    contents = tag("nav", *(tag("a", name, attrs={"href": f"#{anchor}"}) for anchor, name in links))
    top = tag("header", styled("kicker", kicker, name="p"), tag("h1", title), contents)
    script = tag("script", Html((_HERE / "page.js").read_text(encoding="utf-8")))
    body = tag("body", top, tag("main", *content), tag("footer", tag("p", foot)), script)
    return f"<!DOCTYPE html>\n{tag('html', head, body, attrs={'lang': 'en'})}\n"


def listing(kind: str, items: Iterable[str]) -> Html:
    """A bulleted list; nothing where there is no item."""
    points = [tag("li", item) for item in items]
    return tag("ul", *points, attrs={"class": kind}) if points else Html("")


def facts(pairs: Iterable[tuple[str, str]]) -> Html:
    """Names and values."""
    return tag("dl", *(_fact(name, value) for name, value in pairs))


def _fact(name: str, value: str) -> Html:
    kind = "wide" if len(value) > LONG else None
    return tag("div", tag("dt", name), tag("dd", value), attrs={"class": kind})


def grid(table: Table) -> Html:
    """A table with its best cells in bold; it scrolls sideways where the screen is narrow."""
    heads = [tag("th", table.corner, attrs={"scope": "col"})]
    for column in table.columns:
        name, bracket, variant = column.label.partition("[")
        small = styled("variant", _breakable(bracket + variant), name="span") if bracket else Html("")
        arrow = tag("abbr", column.arrow, attrs={"title": column.arrow_words}) if column.arrow else Html("")
        heads.append(tag("th", name, small, " " if column.arrow else "", arrow, attrs={"scope": "col"}))
    body = [_row(row, len(table.columns)) for row in table.rows]
    return styled("scroll", tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body)))


def _row(row: Row, columns: int) -> Html:
    head = tag("th", row.head, attrs={"scope": "row"})
    if row.error is not None:
        return tag("tr", head, tag("td", row.error, attrs={"colspan": columns, "class": "error"}))
    cells = [tag("td", tag("b", c.text) if c.best else c.text, attrs={"class": c.best and "best"}) for c in row.cells]
    return tag("tr", head, *cells)


def _breakable(label: str) -> Html:
    """A label that may go on in the next line after a comma."""
    return Html(escape(label).replace(",", ",<wbr>"))


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    return f" {key}" if value is True else f' {key}="{escape(str(value))}"'
