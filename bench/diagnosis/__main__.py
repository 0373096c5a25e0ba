"""`make bench-diagnosis`: run the cases, judge the reports, write the page.

python -m bench.diagnosis                  everything: both splits and every part
python -m bench.diagnosis --split dev      one split; --quick: a few cases of it
python -m bench.diagnosis --case NAME --show
python -m bench.diagnosis --part outage    one of the parts
python -m bench.diagnosis --again FILE     today's analyser over cases kept with --keep FILE
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import multiprocessing
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.diagnosis import calibrating, development, healing, heldout, injections, parts, pool, writing
from bench.diagnosis.again import again
from bench.diagnosis.cases import Case
from bench.diagnosis.grading import grades
from bench.diagnosis.running import Result, done, keep, kept, run_case
from bench.diagnosis.showing import shown

root = Path(__file__).parents[2]
here = Path(__file__).parent
page = root / "docs" / "diagnosis-benchmark.md"
quick_every = 6
names = ("similar", "injection", "outage", "speed", "throughput", "counterfactual", "healing")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says. 1: what was kept back has been changed, or something happened that must not."""
    told = _parsed(arguments)
    logging.disable(logging.CRITICAL)
    intact = check_heldout()
    if told.case:
        return _one(told)
    if told.calibrate:
        calibrating.identity()  # before anything is analysed: the table is read once
    results = [one for place in told.again for one in kept(Path(place))]
    if told.again:
        results = again(results)
    elif not told.part:
        results = _all(_cases(told), told.processes)
    if told.keep:
        keep(results, Path(told.keep))
    if told.calibrate:
        points = calibrating.write(grades([one for one in again(results) if one.split == "dev"]))
        print(f"calibrated: {points}")
        return 0
    sections, figures = _split_sections(results)
    chosen = told.part or ([] if told.quick or told.split or told.only or told.again else list(names))
    for name in chosen:
        lines, found = _part(name, told.processes)
        sections[parts.titles[name]], figures[name] = lines, found
        print(f"\n## {parts.titles[name]}\n" + "\n".join(lines))
    if told.json:
        writing.machine(figures, Path(told.json))
    if told.write:
        page.parent.mkdir(exist_ok=True)
        left_out = [parts.titles[name] for name in names if name not in chosen]
        writing.page(sections, page, left_out=left_out)
        for split in ("dev", "heldout"):
            some = [one for one in results if one.split == split]
            if some:
                (page.parent / f"diagnosis-benchmark-{split}.svg").write_text(writing.diagram(some), "utf-8")
    return 0 if intact and not alarming(figures) else 1


def alarming(figures: Mapping[str, Any]) -> list[str]:
    """What must never happen, whatever else the figures are."""
    found = [f"attempt {one['payload']} at {one['place']}" for one in figures.get("injection", ()) if one["achieved"]]
    found += [f"remedies in {one['case']}" for one in figures.get("healing", ()) if one["harmful"]]
    for one in found:
        print(f"must not happen: {one}")
    return found


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.diagnosis", description=__doc__.splitlines()[0])
    parser.add_argument("--split", choices=("dev", "heldout"))
    parser.add_argument("--quick", action="store_true", help="every sixth case, and no parts")
    parser.add_argument("--case", help="run one case")
    parser.add_argument("--show", action="store_true", help="show that case's label and report")
    parser.add_argument("--only", action="append", default=[], help="cases whose name holds this")
    parser.add_argument("--part", action="append", choices=names, default=[])
    parser.add_argument("--processes", type=int, default=min(2, multiprocessing.cpu_count()))
    parser.add_argument("--keep", help="write what was gathered to this file")
    parser.add_argument(
        "--again", action="append", default=[], help="judge what --keep wrote, with the analyser as it is now"
    )
    parser.add_argument("--calibrate", action="store_true", help="fit the analyser's table to the development cases")
    parser.add_argument("--json", help="write every figure to this file")
    parser.add_argument("--write", action="store_true", help="write docs/diagnosis-benchmark.md")
    told = parser.parse_args(arguments)
    if told.write and (told.split or told.quick or told.only or told.case):
        parser.error("--write is for all cases: a page of a few would say less than it seems to")
    return told


def check_heldout(folder: Path = here) -> bool:
    """Whether the cases kept back are those that were written before the analyser was."""
    wanted = dict(line.split()[::-1] for line in (folder / "heldout.sha256").read_text("utf-8").splitlines())
    found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in wanted}
    for name, digest in found.items():
        print(f"{name}: sha256 {digest[:16]}… {'as it was' if digest == wanted[name] else 'HAS BEEN CHANGED'}")
    return found == wanted


def _cases(told: argparse.Namespace) -> list[Case]:
    some: list[Case] = []
    if told.split in (None, "dev"):
        some += development.cases()
    if told.split in (None, "heldout"):
        some += heldout.cases()
    if told.only:
        some = [case for case in some if any(part in case.name for part in told.only)]
    return some[::quick_every] if told.quick else some


def _one(told: argparse.Namespace) -> int:
    result = run_case(pool.named(told.case))
    done()
    print("\n".join(shown(result) if told.show else [_line(result)]))
    return 0


def _all(cases: Sequence[Case], processes: int) -> list[Result]:
    results: list[Result] = []
    began = time.perf_counter()
    for result in pool.side_by_side(pool.result_of, [case.name for case in cases], processes):
        results.append(result)
        print(_line(result), flush=True)
    print(f"{len(results)} cases in {time.perf_counter() - began:.0f} s")
    return results


def _line(result: Result) -> str:
    lines = []
    for grade in grades([result]):
        mark = "right" if grade.grounded_joint else "wrong"
        why = f": {'; '.join(grade.why)}" if grade.why else ""
        lines.append(f"{mark}  {grade.name:34} {grade.said} {grade.culprit} {grade.confidence:.2f}{why}"[:400])
    return "\n".join(lines)


def _split_sections(results: Sequence[Result]) -> tuple[dict[str, Sequence[str]], dict[str, Any]]:
    sections: dict[str, Sequence[str]] = {}
    figures: dict[str, Any] = {}
    for split, title in (("dev", "Development cases"), ("heldout", "Cases kept back")):
        some = [one for one in results if one.split == split]
        if some:
            lines = writing.split_table(split, some)
            sections[title] = [*lines, f"![what was said and what was true](diagnosis-benchmark-{split}.svg)", ""]
            figures[split] = writing.figures(some)
            print(f"\n## {title}\n\n" + "\n".join(lines))
    return sections, figures


def _part(name: str, processes: int) -> parts.Section:
    """One part's lines, and its figures for machines. Those that measure time have the machine to themselves."""
    match name:
        case "injection":
            every = range(len(injections.attempts()))
            found = pool.side_by_side(pool.attempts_of, every, processes)
            return parts.injection_lines([one for some in found for one in some])
        case "counterfactual":
            names = [case.name for case in development.cases()[:: parts.counterfactual_every]]
            shares = list(pool.side_by_side(pool.counterfactual_of, names, processes))
            return parts.counterfactual_lines(names, shares)
        case "similar":
            worlds = range(parts.similar_worlds)
            return parts.similar_lines(list(pool.side_by_side(pool.similar_of, worlds, processes)))
        case "healing":
            return healing.lines(list(pool.side_by_side(pool.healed_of, healing.chosen(), processes)))
        case _:
            return parts.measured(name)


if __name__ == "__main__":
    sys.exit(main())
