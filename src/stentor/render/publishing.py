"""What is done to a template once, when it is published: MJML becomes HTML, styles go inline, the text part is made."""

import re
from collections.abc import Mapping

import css_inline
import mrml
from inscriptis import get_text
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.model.config import ParserConfig

from stentor.domain.vocabulary import ChannelKind
from stentor.render.errors import TemplateInvalid
from stentor.render.markup import Protected, check_depth
from stentor.render.messages import check_parts

_STYLE = re.compile(r"<style\b", re.IGNORECASE)
_INLINER = css_inline.CSSInliner(keep_style_tags=True, keep_link_tags=True, load_remote_stylesheets=False)

# A mail's tables are its layout: as blocks they read from top to bottom, and Liquid between rows stays where it is.
_TABLE_TAG = re.compile(r"<(/?)(?:table|caption|thead|tbody|tfoot|tr|td|th)\b[^<>]*>", re.IGNORECASE)
_IMAGE = re.compile(r"<img\b[^<>]*?\balt\s*=\s*(?:\"([^\"<>]*)\"|'([^'<>]*)')[^<>]*>", re.IGNORECASE)
_BODY = re.compile(r"<body\b", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n{3,}")
_LIQUID_LOOK = re.compile(r"\{\{|\{%")
_MJML_PLACE = re.compile(r"\bat position (\d+):(\d+)")
_LINK = re.compile(r"\[([^\[\]]*)\]\(([^()\s]+)\)")
_AS_TEXT = ParserConfig(css=CSS_PROFILES["strict"], display_links=True)


def final_parts(kind: ChannelKind, parts: Mapping[str, str]) -> dict[str, str]:
    """The parts as messages are made of them; for e-mail `mjml` may stand instead of `html`, and `text` may be left out.

    Nothing is fetched from anywhere. Raises TemplateInvalid, naming the part, for what is missing, surplus or broken.
    """
    final = {name: source for name, source in parts.items() if source}
    if kind is ChannelKind.EMAIL:
        if "mjml" in final:
            if "html" in final:
                raise TemplateInvalid("mjml", "A template has html or mjml; remove one of them.")
            final["html"] = html_of_mjml(final.pop("mjml"))
        if "html" in final:
            final["html"] = with_inline_styles(final["html"])
            final.setdefault("text", text_of_html(final["html"]))
    check_parts(kind, final)
    return final


def html_of_mjml(source: str) -> str:
    """The HTML that an MJML template stands for, its Liquid untouched."""
    check_depth("mjml", source, is_mjml=True)
    # mrml 0.2.4 panics where it stops inside a character.
    protected = Protected("mjml", source, ascii_only=True)
    try:
        html = mrml.to_html(protected.text).content
    except OSError as error:
        raise TemplateInvalid("mjml", _mjml_complaint(str(error), protected)) from error
    return protected.restore(html)


def with_inline_styles(source: str) -> str:
    """The HTML with the rules of its style elements also written into the elements they apply to."""
    check_depth("html", source)
    if not _STYLE.search(source):
        return source
    protected = Protected("html", source)
    try:
        return protected.restore(_INLINER.inline(protected.text))
    except css_inline.InlineError as error:
        raise TemplateInvalid("html", f"Its styles cannot be read: {error}.") from error


def text_of_html(source: str) -> str:
    """A text part that says what the HTML says; its tags and values stay Liquid.

    Liquid in attributes other than `href`, in comments and in styles says nothing in a text and is left out.
    """
    check_depth("html", source)
    protected = Protected("html", source, words_only=True)
    head, body = _head_and_body(protected.text)
    html = _IMAGE.sub(lambda image: image[1] or image[2] or "", body)
    text = get_text(_TABLE_TAG.sub(r"<\1div>", html), _AS_TEXT)
    text = _LIQUID_LOOK.sub(r"{% raw %}\g<0>{% endraw %}", _LINK.sub(_link_text, text))
    lines = [line.strip() for line in text.splitlines()]
    tidy = _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()
    return f"{protected.tags_in(head)}{protected.restore(tidy, all_of_them=False)}\n"


def _head_and_body(html: str) -> tuple[str, str]:
    body = _BODY.search(html)
    return (html[: body.start()], html[body.start() :]) if body else ("", html)


def _link_text(link: re.Match[str]) -> str:
    text, address = " ".join(link[1].split()), link[2]
    return f"{text}: {address}" if text and text != address else address


def _mjml_complaint(error: str, protected: Protected) -> str:
    place = _MJML_PLACE.search(error)
    if place is None:
        return f"This is no MJML: {error}."
    excerpt = " ".join(protected.excerpt(int(place[1]), int(place[2])).split())
    return f"This is no MJML: {error[: place.start()].strip()}, near `{excerpt}`."
