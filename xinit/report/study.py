"""The page of a study's folder: its claims beside what was measured, its text, and its figures as pictures.

A study writes page.md, claims.json, the pictures that page.md names and, beside them, what was measured as JSON.
"""

import contextlib
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from xinit.core import files
from xinit.core.errors import InputError
from xinit.report import page as html
from xinit.report.differences import flat
from xinit.report.page import Markup

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

ANSWER = "<!-- answer -->"
STATES = ("FAIL", "NOT RUN", "DIRECTION", "PASS")
FACTS = {"tier": "tier", "figure": "figures", "machine": "machine", "date": "date", "wall_s": "seconds in all"}
LARGEST = {".svg": 1_000_000, ".png": 16_000_000}  # bytes of a picture; of a heavier drawing the PNG is shown
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
ELSEWHERE = re.compile(r"\[([^\[\]]*)\]\([\w./-]+\.md(?:#[\w-]*)?\)")  # links to pages that are not part of this one
ADDRESS = re.compile(r"https?://.+|[\w.-]+\.(?:png|svg)")  # of links and pictures; what has another is text
HOW = (
    "What is claimed, beside what was measured: a mean, its 95 % interval and the number n of runs or networks behind "
    "it. PASS says that the whole interval is on the right side of the bound, DIRECTION that it is, but that the size "
    "is not the published one. claims.json in the study's folder has "
    "the reason of every bound, and the other JSON files there the arrays behind the figures."
)


def page(path: pathlib.Path) -> str:
    """The page of the study whose folder this is.

    Raises:
      InputError: the folder cannot be read.
    """
    text, claims = _text(path, "page.md"), _claims(path)
    filters = html.Filters({name: list(dict.fromkeys(own)) for name, own in _sorts(claims).items()})
    kinds = [filters.kind({name: own[i] for name, own in _sorts(claims).items()}) for i in range(len(claims))]
    states = [claim["state"] for claim in claims]
    count = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    title, written = _written(text, path, filters)
    rows = html.table(list(map(_row, claims)), kinds)
    n = 2 if ANSWER in "".join(text.split("\n## ")[:2]) else 1  # what comes before the claims: the text's beginning
    content = [
        html.paragraph(f"Claims: {count}."),
        *written[:n],
        html.section("Claims", filters.controls(), html.paragraph(HOW, "quiet"), rows),
        *written[n:],
        html.details("Which run this is", *_about(path)),
    ]
    return html.whole(title, content, f"Made by xinit.report from {path.resolve().name}.")


def _text(path: pathlib.Path, name: str) -> str:
    content = files.read(path, name)
    if content is None:
        raise InputError(f"{path / name} cannot be read: it is absent.")
    return content.decode(errors="replace")


def _claims(path: pathlib.Path) -> list[dict[str, Any]]:
    """The claims, each with its state and statement as text, by what is wrong first."""
    try:
        raw = files.read_json(path, "claims.json", list)
        claims = [claim | {key: str(claim[key]) for key in ("id", "state", "statement", "metric")} for claim in raw]
    except (KeyError, TypeError) as error:
        words = " ".join(repr(error).split())
        raise InputError(f"{path / 'claims.json'} is no file of claims: {words}.") from None
    return sorted(claims, key=lambda claim: STATES.index(claim["state"]) if claim["state"] in STATES else 0)


def _sorts(claims: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What a claim can be filtered by: its state, and the figure or part of the study that it is about."""
    about = [claim["metric"].partition(".")[0] for claim in claims]
    return {"state": [claim["state"] for claim in claims], "about": about}


def _row(claim: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "state": html.level(claim["state"]),
        "claim": claim["statement"],
        "published": claim.get("published") or "",
        "measured": _measured(claim),
        "bound": _bound(claim),
        "name": claim["id"],
    }


def _measured(claim: Mapping[str, Any]) -> str:
    if "value" not in claim:
        return str(claim.get("why", ""))
    if claim.get("n") is None:
        return _number(claim["value"])
    if claim["n"] == 1:
        return f"{_number(claim['value'])}, n = 1"
    ends = f"[{_number(claim.get('low'))}, {_number(claim.get('high'))}]"
    return f"{_number(claim['value'])} {ends}, n = {claim['n']}"


def _bound(claim: Mapping[str, Any]) -> str:
    bound = claim.get("bound")
    numbers = " and ".join(map(_number, bound)) if isinstance(bound, list) else _number(bound)
    return f"{claim.get('direction', '')} {numbers}"


def _number(value: Any) -> str:
    """Three digits, as a study's own tables have them."""
    return f"{float(f'{value:.3g}'):g}" if isinstance(value, int | float) else str(value)


def _about(path: pathlib.Path) -> Iterator[Markup]:
    """What the run of the study said of itself; a study of one file of results has that in them."""
    about = files.read_json(path, "about.json") or files.read_json(path, "results.json")
    facts = {words: about[name] for name, words in FACTS.items() if name in about}
    facts |= {"versions": ", ".join(f"{name} {version}" for name, version in flat(about.get("versions", {})).items())}
    if about:
        yield html.card(facts)
        rows = [{"setting": name, "value": value} for name, value in flat(about.get("settings", {})).items()]
        yield html.details("Settings", html.table(rows))


def _written(text: str, path: pathlib.Path, filters: html.Filters) -> tuple[str, list[Markup]]:
    """The title, and the text with its pictures; what is about a figure hides with its claims."""
    markdown = _markdown(path)
    tokens = _unwrapped(markdown.parse(ELSEWHERE.sub(r"\1", COMMENT.sub("", text))))
    title, parts = path.name, []
    if tokens and tokens[0].tag == "h1":
        title, tokens = tokens[1].content, tokens[3:]
    for part in _by_heading(tokens):
        stems = {pathlib.Path(str(image.attrs["src"])).stem for image in _images(part)}
        about = [filters.kind({"about": stem}) for stem in stems if stem in filters.values["about"]]
        rendered = Markup(markdown.renderer.render(part, markdown.options, {}))
        parts.append(Markup('<section class="{}">{}</section>').format(" ".join(about), rendered))
    return title, parts


def _unwrapped(tokens: Sequence["Token"]) -> Sequence["Token"]:
    """The tokens with no paragraph around a picture that stands by itself."""
    for i, token in enumerate(tokens):
        if [child.type for child in token.children or ()] == ["image"]:
            tokens[i - 1].hidden = tokens[i + 1].hidden = True
    return tokens


def _by_heading(tokens: Sequence["Token"]) -> list[list["Token"]]:
    """What is before the first second-level heading, and each of these with what follows it."""
    starts = [i for i, token in enumerate(tokens) if token.type == "heading_open" and token.tag == "h2"]
    ends = [*starts, len(tokens)]
    return [list(tokens[start:end]) for start, end in zip([0, *starts], ends, strict=True)]


def _images(tokens: Sequence["Token"]) -> list["Token"]:
    return [child for token in tokens for child in token.children or () if child.type == "image"]


def _markdown(path: pathlib.Path) -> "MarkdownIt":
    """Markdown to escaped HTML: HTML in it is text, pictures come from the folder, and states have their colours."""
    from markdown_it import MarkdownIt  # which rich needs as well

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.validateLink = _is_address  # type: ignore[method-assign]  # as its documentation has it
    rules: dict[str, Callable[..., str]] = {
        "image": lambda tokens, i, *_: _picture(tokens[i], path),
        "text": lambda tokens, i, *_: _state_or_text(tokens[i].content),
        "table_open": lambda *_: '<div class="scroll"><table>',
        "table_close": lambda *_: "</table></div>",
    }
    cast(Any, markdown.renderer).rules |= rules  # of its HTML renderer
    return markdown


def _is_address(url: str) -> bool:
    return bool(ADDRESS.fullmatch(url))


def _state_or_text(text: str) -> Markup:
    return html.level(text) if text in STATES else Markup.escape(text)


def _picture(token: "Token", path: pathlib.Path) -> Markup:
    """A picture of the folder, as a drawing where there is one that is not heavy; else its description."""
    source = pathlib.PurePath(str(token.attrs["src"]))
    for ending, largest in LARGEST.items():
        with contextlib.suppress(InputError):  # one that is a link or too large is not shown
            if content := files.read(path, source.stem + ending, largest):
                return html.picture(token.content, content)
    return Markup("[{}]").format(f"picture {source.name}: {token.content}")
