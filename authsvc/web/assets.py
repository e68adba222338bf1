"""/static: what pages load besides themselves. From memory."""

from authsvc.web.pages.renderer import Asset
from authsvc.web.request import Call, find_header, pages_of
from authsvc.web.responses import Answer, file


async def style(request: Call) -> Answer:
    """How pages look."""
    return _file(request, pages_of(request).style)


async def script(request: Call) -> Answer:
    """What pages can do without."""
    return _file(request, pages_of(request).script)


async def icon(request: Call) -> Answer:
    """Whose pages they are."""
    return _file(request, pages_of(request).icon)


def _file(request: Call, asset: Asset) -> Answer:
    """The address in a page names the version. While a new one is being rolled out, a page may come from one worker and
    its style from another: then it is given what there is, and not kept."""
    return file(
        asset.content,
        etag=asset.etag,
        media_type=asset.media_type.encode("ascii"),
        is_final=request.scope["query_string"] == b"v=" + asset.version.encode("ascii"),
        if_none_match=find_header(request.scope, b"if-none-match"),
    )
