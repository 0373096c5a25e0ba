"""The dashboard's addresses: its page at `/` and at every page's own address, its files under `/dashboard`.

Who asks `/` for a page gets one, and everybody else the index of the API, as JSON.
"""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from coordinator.web.dashboard import Dashboard, File, headers, pages
from coordinator.web.problems import Refusal
from coordinator.web.reading import any_query

ask_again = "no-cache"  # a browser may keep it, and asks each time whether it is still so
keep = "public, max-age=31536000, immutable"


def wants_page(request: Request[Any, Any, Any]) -> bool:
    return "text/html" in request.headers.get("accept", "")


def page_of(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The dashboard's page. The same for all addresses: what it shows is decided in the browser."""
    dashboard: Dashboard = request.app.state.dashboard
    return _sent(request, dashboard.page(), ask_again)


@get(
    [f"/{name}" for name in pages] + [f"/{name}/{{rest:path}}" for name in pages],
    include_in_schema=False,
    opt={any_query: True},  # it is read by the page
)
async def page(request: Request[Any, Any, Any]) -> Response[bytes]:
    return page_of(request)


@get("/dashboard/{digest:str}/{file:path}", include_in_schema=False, opt={any_query: True})
async def file_of(request: Request[Any, Any, Any], digest: FromPath[str], file: FromPath[str]) -> Response[bytes]:
    """A file. Who asks for another release's (its page was loaded before this one began) gets the one of now."""
    dashboard: Dashboard = request.app.state.dashboard
    found = dashboard.find(str(file).removeprefix("/"))
    if found is None:
        raise Refusal("not-found", "the dashboard has no such file")
    return _sent(request, found, keep if digest == dashboard.digest else ask_again)


def _sent(request: Request[Any, Any, Any], file: File, cache: str) -> Response[bytes]:
    told = {**headers, "Cache-Control": cache, "ETag": file.tag, "Vary": "Accept"}
    known = request.headers.get("if-none-match", "").replace("W/", "")
    if file.tag in (tag.strip() for tag in known.split(",")):
        return Response(b"", status_code=304, headers=told, media_type=file.media_type)
    return Response(file.content, headers=told, media_type=file.media_type)


routes: tuple[ControllerRouterHandler, ...] = (page, file_of)
