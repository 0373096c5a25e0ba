"""Why a saga failed, and how a report is written: JSON for machines, Markdown and plain text for people."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, assert_never

from litestar import Controller, Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter

from coordinator.diagnosis.markdown import as_lines, as_markdown
from coordinator.diagnosis.report import Report
from coordinator.web.desk import Desk
from coordinator.web.problems import Refusal, documented
from coordinator.web.reading import bad_parameter

width_default, width_min, width_max = 100, 40, 400


class Format(StrEnum):
    JSON = "json"
    MARKDOWN = "markdown"
    TEXT = "text"


_media_types = {
    Format.JSON: "application/json",
    Format.MARKDOWN: "text/markdown; charset=utf-8",
    Format.TEXT: "text/plain; charset=utf-8",
}
Accept = Annotated[
    str | None, HeaderParameter(name="Accept", description="text/markdown or text/plain, if `format` is not stated")
]


class Diagnosis(Controller):
    path = "/v1/sagas/{saga_id:str}/diagnosis"
    tags = ("diagnosis",)

    @get(
        "/",
        summary="Why a saga failed: the cause, the evidence, what happened to the world, what to do",
        responses=documented("unknown-saga", "nothing-to-explain", "diagnosis-off"),
    )
    async def of_saga(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        saga_id: FromPath[str],
        format: FromQuery[Format | None] = None,  # noqa: A002
        width: FromQuery[int] = width_default,
        accept: Accept = None,
    ) -> Response[Report]:
        diagnosis = desk.diagnosis
        form = form_of(request, format, width)
        detail = await desk.detail(saga_id)
        report = await diagnosis.reporter.explain(saga_id)
        if report is None:
            raise Refusal("nothing-to-explain", f"saga {saga_id} is {detail.saga.status}, and nothing of it failed")
        return written(report, form, width)


def form_of(request: Request[Any, Any, Any], stated: Format | None, width: int) -> Format:
    """How to write a report: as the query says, else as the Accept header prefers, else as JSON. Answers 400."""
    if not width_min <= width <= width_max:
        raise bad_parameter("width", f"{width_min} to {width_max}")
    if stated is not None:
        return stated
    wanted = request.headers.get("accept", "").lower()
    places = {wanted.find(name): form for form, name in _names.items() if name in wanted}
    return places[min(places)] if places else Format.JSON


_names = {Format.JSON: "application/json", Format.MARKDOWN: "text/markdown", Format.TEXT: "text/plain"}


def written(report: Report, form: Format, width: int = width_default) -> Response[Any]:
    """A report in one of its forms."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    match form:
        case Format.JSON:
            return Response(as_json(report), headers=headers)
        case Format.MARKDOWN:
            body = as_markdown(report)
        case Format.TEXT:
            body = "\n".join(as_lines(report, width)) + "\n"
        case _:
            assert_never(form)
    return Response(body, media_type=_media_types[form], headers=headers)


def as_json(report: Report) -> dict[str, Any]:
    """The report as JSON has it, in an order that is the same each time."""
    value: dict[str, Any] = report.model_dump(mode="json")
    value["flags"] = sorted(value["flags"])
    return value
