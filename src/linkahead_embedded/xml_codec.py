"""XML: requests into drafts, safely; and the pieces that answers are made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import cast

from lxml import etree

from .errors import Code, RequestError
from .model import ROLE_BY_TAG, EntityDraft, Message, ParentDraft, PropertyDraft

_Get = Callable[[str], str | None]
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_TEXT = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord("\r"): "&#13;"}
_ATTRIBUTE = {**_TEXT, ord('"'): "&quot;", ord("\n"): "&#10;", ord("\t"): "&#9;"}
_NEEDS_TEXT = re.compile(r"[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NEEDS_ATTRIBUTE = re.compile(r'[&<>"\r\n\t\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]')


def escape(text: str) -> str:
    """Escape text content; characters that XML can't carry become U+FFFD."""
    return _FORBIDDEN.sub("\ufffd", text.translate(_TEXT)) if _NEEDS_TEXT.search(text) else text


def attribute(name: str, value: object) -> str:
    """Write ` name="value"`, or nothing for None."""
    if value is None:
        return ""
    text = str(value)
    if _NEEDS_ATTRIBUTE.search(text):
        text = _FORBIDDEN.sub("\ufffd", text.translate(_ATTRIBUTE))
    return f' {name}="{text}"'


def message_xml(message: Message) -> str:
    """Write an Error, Warning or Info element."""
    return f"<{message.kind}{attribute('code', message.code)}{attribute('description', message.description)}/>"


def value_xml(text: str | None) -> str:
    """Write the content of a scalar; an empty string is not null."""
    if text is None:
        return ""
    return escape(text) if text else "<EmptyString/>"


def values_xml(texts: Iterable[str | None]) -> str:
    """Write the content of a list."""
    return "".join(f"<Value>{content}</Value>" if (content := value_xml(text)) else "<Value/>" for text in texts)


def parse_document(body: bytes) -> etree._Element:
    """Parse XML without entities, document types or network.

    Raises
    ------
    RequestError
        If it is not well-formed or brings a document type declaration.
    """
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as problem:
        raise RequestError(400, f"The request is not well-formed XML: {problem}") from None
    if root.getroottree().docinfo.internalDTD is not None or any(True for _ in root.iter(etree.Entity)):
        raise RequestError(400, "The request brings a document type declaration or an entity; neither is accepted.")
    return root


def parse_entities(body: bytes, root_tag: str) -> list[EntityDraft]:
    """Read the entities of an `<Insert>` or `<Update>`.

    Raises
    ------
    RequestError
        If the document is not of this kind.
    """
    root = parse_document(body)
    if root.tag not in (root_tag, "Request"):
        raise RequestError(400, f"<{root_tag}> was expected, not <{root.tag}>.")
    return [_entity(element) for element in root]


def _entity(element: etree._Element) -> EntityDraft:
    tag = element.tag.casefold() if isinstance(element.tag, str) else ""
    role = ROLE_BY_TAG.get(tag)
    get = cast("_Get", element.get)
    draft = EntityDraft(
        role=role,
        request_id=get("id"),
        cuid=get("cuid"),
        name=get("name") or None,
        description=get("description") or None,
        datatype=get("datatype") or None,
        unit=get("unit") or None,
        path=get("path"),
        checksum=get("checksum"),
        upload=get("upload"),
        flags=_flags(get("flag")),
    )
    if role is None and tag != "entity":
        draft.error(Code.ROLE_MISMATCH, f"<{element.tag}> is not an entity.")
    content: list[str | None] = []
    for child in element:
        match child.tag:
            case "Property":
                draft.properties.append(_property(child))
            case "Parent":
                draft.parents.append(_parent(child))
            case "Value":
                content.append(_value(child))
            case "EmptyString":
                content.append("")
            case "Query":
                draft.query = child.text
            case "Version":
                draft.is_resent = True
            case "EntityACL":
                draft.acl = etree.tostring(child, encoding="unicode", with_tail=False)
            case "State":
                draft.error(Code.NOT_IMPLEMENTED, "States of entities are not implemented by the embedded LinkAhead.")
            case _:
                pass
    draft.values = content or _own_text(element)
    return draft


def _property(element: etree._Element) -> PropertyDraft:
    get = cast("_Get", element.get)
    draft = PropertyDraft(
        get("id"),
        get("name") or None,
        get("description") or None,
        get("datatype") or None,
        get("unit") or None,
        get("importance"),
    )
    if not len(element):
        text = element.text
        draft.values = [text] if text else None
        return draft
    content: list[str | None] = []
    for child in element:
        if child.tag == "Value":
            content.append(_value(child))
        elif child.tag == "EmptyString":
            content.append("")
    draft.values = content or _own_text(element)
    return draft


def _parent(element: etree._Element) -> ParentDraft:
    get = cast("_Get", element.get)
    inheritance = _flags(get("flag")).get("inheritance")
    return ParentDraft(get("id"), get("name") or None, inheritance.upper() if inheritance else None)


def _value(element: etree._Element) -> str | None:
    if len(element):
        return "" if element[0].tag == "EmptyString" else None
    return element.text or None


def _own_text(element: etree._Element) -> list[str | None] | None:
    """Give the text before the first child, which in a pretty printed request is white space and no value."""
    text = element.text
    if not text or (len(element) and not text.strip()) or (text.isspace() and "\n" in text):
        return None
    return [text.strip() if len(element) else text]


def _flags(text: str | None) -> dict[str, str]:
    """Read the per-entity flags, `key:value,key2,`."""
    if not text:
        return {}
    pairs = (item.partition(":") for item in text.split(",") if item.strip())
    return {key.strip(): value.strip() for key, _, value in pairs}
