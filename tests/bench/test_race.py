"""The sums of `make bench`, and that its page and its plot say what was found."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bench.race import installing
from bench.race.__main__ import ask, parsed, report
from bench.race.driven import Threads, answer
from bench.race.driving import Driven
from bench.race.lab import Lab
from bench.race.ours import diamond, in_a_row_of_four, long, wide
from bench.race.parts import parts
from bench.race.plot import plot
from bench.race.results import Fact, Kind, Part, Row, as_data
from bench.race.rounds import Entry, Pace, scaled, started
from bench.race.writing import Circumstances, number, page, table
from bench.speed import shop
from bench.speed.arithmetic import percentile, ratio
from bench.speed.costs import Spent
from bench.speed.load import Demand, Tally, order_request
from bench.speed.measuring import Figures, figures
from coordinator.saga.registration import read_definition
from tests.servers.process import free_port
from tests.waiting import eventually

where = Circumstances("abc123", {"PostgreSQL": "15.18"}, 3, 200, 0.1, datetime(2026, 3, 1, tzinfo=UTC))


def measured(sagas_per_second: float, p50_ms: float = 5.0, cpu: float = 0.5) -> Figures:
    return Figures(
        in_flight=200,
        sagas=100,
        sagas_per_second=sagas_per_second,
        p50_ms=p50_ms,
        p99_ms=2 * p50_ms,
        cpu_seconds_per_1000={"coordinator": cpu, "client": 99.0},
        transactions={"amends": 0.25, "stock": 0.05},
        log_bytes=4_000.0,
        whole_pages=0.1,
        resident_mebibytes={"coordinator": 100.0, "participants": 50.0},
    )


def two(kind: Kind = "busy") -> Part:
    """We were twice as fast in the first round, three times in the second and once in the third."""
    part = Part("success", "Three steps that succeed.")
    for turn, (ours, theirs) in enumerate(((200, 100), (90, 30), (50, 50)), 1):
        part.rows += [Row(turn, "Amends", kind, measured(ours)), Row(turn, "a peer", kind, measured(theirs, cpu=1.0))]
    part.compare("Amends", ["a peer"])
    return part


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, 0.0),
        ([7.0], 0.99, 7.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        (list(range(1, 101)), 0.99, 99),
        (list(range(1, 101)), 0.95, 95),
        (list(range(1, 102)), 0.99, 100),
    ],
)
def test_a_percentile_is_the_smallest_that_so_many_do_not_exceed(
    values: list[float], share: float, expected: float
) -> None:
    assert percentile(values, share) == expected


def test_a_ratio_is_the_median_of_the_rounds_not_the_ratio_of_the_medians() -> None:
    found = ratio("sagas/s", "ours", "theirs", [(100, 10), (10, 10), (20, 10)])
    assert found is not None
    assert (found.median, found.rounds) == (2.0, (10.0, 1.0, 2.0))
    assert str(found) == "2.00 (10.00, 1.00, 2.00)"


def test_a_round_without_a_divisor_is_no_ratio() -> None:
    assert ratio("sagas/s", "ours", "theirs", [(1, 0)]) is None


def test_only_rounds_in_which_both_were_measured_are_compared() -> None:
    part = Part("success", "")
    part.rows = [
        Row(1, "a", "busy", measured(10)),
        Row(2, "a", "busy", measured(40)),
        Row(2, "b", "busy", measured(20)),
    ]
    part.compare("a", ["b", "one who was left out"])
    assert [(one.figure, one.to, one.rounds) for one in part.ratios] == [("sagas/s", "b", (2.0,)), ("CPU", "b", (1.0,))]


def test_figures_are_of_one_saga_or_of_a_thousand() -> None:
    used = Spent({"coordinator": 2.0, "client": 1.0}, {"amends": 10}, 8_000, 4)
    found = figures(200, [0.001, 0.003, 0.002, 0.004], 2.0, used, {"coordinator": 10.0, "participants": 5.0})
    assert (found.sagas_per_second, found.p50_ms, found.p99_ms) == (2.0, 2.0, 4.0)
    assert (found.cpu_seconds, found.cpu_seconds_per_1000["client"]) == (500.0, 250.0)
    assert (found.transactions_in_all, found.log_bytes, found.whole_pages, found.mebibytes) == (2.5, 2_000.0, 1.0, 15.0)


def test_a_tally_counts_what_ended_in_the_time_asked_for() -> None:
    assert Tally([1.0, 2.0, 3.0], [10.0, 20.0, 30.0]).between(10.0, 30.0) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("value", "expected"), [(None, "–"), (0.0, "0.00"), (0.256, "0.26"), (12.34, "12.3"), (3199.4, "3,199")]
)
def test_a_figure_is_written_with_the_digits_that_are_known(value: float | None, expected: str) -> None:
    assert number(value) == expected


def test_a_table_has_as_many_cells_in_each_row() -> None:
    lines = table(["a", "b"], [["one", "1"], ["two", "2"]])
    assert lines == ["| a | b |", "|---|---:|", "| one | 1 |", "| two | 2 |", ""]


def test_the_page_holds_medians_ratios_facts_and_who_was_left_out() -> None:
    part = two()
    part.facts.append(Fact("drained", 20_000.0, "rows/s"))
    part.notes.append("Restate was left out: there is no npm")
    text = page([part], where, "performance.svg")
    assert "| Amends | 90.0 | 5.00 | 10.0 | 0.50 | coordinator 0.50, client 99.0 | 0.30 | 4,000 | 0.10 | 150 |" in text
    assert "| Amends ÷ a peer | sagas/s | **2.00** | 2.00 3.00 1.00 |" in text
    assert "| drained | 20,000 | rows/s |" in text
    assert "- Restate was left out: there is no npm" in text
    assert "](performance.svg)" in text
    assert "revision abc123" in text
    assert all(line.count("|") == 11 for line in text.splitlines() if line.startswith("| a peer |"))


def test_facts_about_the_same_stand_in_one_line() -> None:
    part = Part(
        "listing", "How soon?", facts=[Fact("words: a key: p50", 1.0, "ms"), Fact("words: a key: p95", 2.0, "ms")]
    )
    part.facts.append(Fact("tag: p95", 3.0, "ms"))
    text = page([part], where, None)
    assert "|  | p50, ms | p95, ms |" in text
    assert "| words: a key | 1.00 | 2.00 |" in text
    assert "| tag | – | 3.00 |" in text


def test_the_page_says_which_part_has_failed() -> None:
    assert "RuntimeError: nobody listens" in page(
        [Part("grown", "?", failed="RuntimeError: nobody listens")], where, None
    )


def test_the_data_can_be_read_again() -> None:
    (found,) = json.loads(json.dumps(as_data([two()])))
    assert [one["median"] for one in found["ratios"]] == [2.0, 0.5]
    assert found["rows"][0]["figures"]["sagas_per_second"] == 200


def test_the_plot_is_well_formed_and_longer_is_faster() -> None:
    drawn = plot([two()])
    assert drawn is not None
    tree = ElementTree.fromstring(drawn)
    bars = [float(one.attrib["width"]) for one in tree.iter() if one.tag.endswith("rect")][1:]
    assert len([one for one in tree.iter() if one.tag.endswith("circle")]) == 6
    assert bars[0] > bars[1] > 0
    assert plot([Part("success", "")]) is None


@pytest.mark.parametrize("document", [diamond, in_a_row_of_four, wide(100), long(100)], ids=lambda one: one["name"])
def test_the_sagas_of_other_forms_are_definitions(document: dict[str, Any]) -> None:
    steps = read_definition(document).steps
    assert steps[-1].action == "ship"
    assert {step.participant for step in steps} <= set(shop.steps.values())


def test_a_request_says_how_long_it_is_whatever_its_number() -> None:
    request = order_request(80, fails=True)
    head, _, body = (b"%s%010d%s" % (request.head, 1_000_000_007, request.tail)).partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}" in head.decode().lower()
    assert json.loads(body)["input"]["order"] == 1_000_000_007
    assert request.ends == b'"status":"compensated"'


def test_each_turn_can_be_shorter_or_longer() -> None:
    pace = Pace(busy_seconds=4.0, rounds=5)
    assert [scaled(pace, share).seconds("busy") for share in (0.5, 3)] == [2.0, 12.0]
    assert scaled(pace, 0.5).rounds == 5


async def test_a_run_that_is_cut_short_says_so_and_keeps_what_it_has_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = asyncio.Event()

    async def never_ends(lab: Lab) -> None:
        lab.part("success", "How fast?").rows.append(Row(1, "Amends", "busy", measured(200)))
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setitem(parts, "success", never_ends)
    no_servers: Any = None
    lab = Lab(no_servers, Pace(), lambda _: None)
    asked = asyncio.create_task(ask(lab, "success"))
    await begun.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    found = tmp_path / "found.json"
    report(lab, where, parsed(["--json", str(found)]))
    (part,) = json.loads(found.read_text("utf-8"))["parts"]
    assert part["failed"] == "the run was cut short"
    assert part["rows"][0]["figures"]["sagas_per_second"] == 200
    assert part["failed"] in capsys.readouterr().out


def test_each_part_has_a_question_of_its_own() -> None:
    assert len(set(parts.values())) == len(parts) >= 10


async def test_who_is_driven_over_a_socket_answers_when_each_ended() -> None:
    carried: list[tuple[int, bool]] = []

    def carry_out(sagas: int, fails: bool) -> None:
        carried.append((sagas, fails))
        if len(carried) >= 20:
            enough.set()
        threading.Event().wait(0.001)

    enough = threading.Event()
    port = free_port()
    threading.Thread(target=answer, args=(port, Threads(carry_out, 4).load), daemon=True).start()
    driven = Driven()
    driven.ports = [port]
    await _listens(port)
    async with driven.load(Demand(2, fails=True)) as tally:
        await asyncio.to_thread(enough.wait, 10.0)
    assert len(tally.seconds) == len(tally.ended_at) == len(carried) >= 20
    assert all(fails for _, fails in carried)
    assert len({one for one, _ in carried}) == len(carried)
    async with driven.load(Demand(per_second=200)) as tally:
        await asyncio.sleep(0.2)
    assert 1 <= len(tally.seconds) <= 60


async def _listens(port: int) -> None:
    async def connected() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    await eventually(connected, "somebody who listens")


class Absent:
    """A peer that isn't installed."""

    in_flight = 1

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.stopped = False

    async def start(self) -> None:
        raise self.error

    async def stop(self) -> None:
        self.stopped = True


async def test_a_guest_who_cannot_be_had_is_left_out_and_the_others_go_on() -> None:
    part, absent = Part("success", ""), Absent(installing.NotInstalled("there is no npm"))
    entry: Any = Entry("Restate", absent, guest=True)  # type: ignore[arg-type]
    async with started([entry], part, lambda _: None) as there:
        assert there == []
    assert part.notes == ["Restate was left out: there is no npm"]
    assert absent.stopped


async def test_nothing_is_measured_without_the_product() -> None:
    entry: Any = Entry("Amends", Absent(RuntimeError("it has ended")))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="it has ended"):
        async with started([entry], Part("success", ""), lambda _: None):
            pass


def test_a_peer_that_cannot_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENDS_BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(installing.NotInstalled, match="npm"):
        installing.restate_binary()


def test_what_the_peers_are_made_of_is_pinned() -> None:
    for file in installing.peers.glob("*.txt"):
        lines = file.read_text("utf-8").split()
        assert [line for line in lines if line.count("==") != 1] == []
