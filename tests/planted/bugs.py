"""The bugs, as replacements of text in the product. Where the text is no longer there, planting fails loudly."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """`edits` are (file, text, what it becomes); `tests` the part of the suite that is to notice."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    tests: tuple[str, ...]


bugs = (
    Bug(
        "a command is marked as sent before the broker confirmed it",
        (("coordinator/relay.py", "if confirm is Confirm.CONFIRMED:", "if confirm:"),),
        ("tests/engine/test_relay.py",),
    ),
    Bug(
        "no inbox: every delivery runs the handler",
        (
            (
                "participants/sdk/amends/inbox.py",
                "        if verdict.reply is not None:\n            return verdict.reply, verdict.commit\n"
                "        reply = await self._run_in_savepoint",
                "        reply = await self._run_in_savepoint",
            ),
        ),
        ("tests/sdk/test_inbox.py",),
    ),
    Bug(
        "compensations run in forward order",
        (
            (
                "coordinator/saga/backward.py",
                "for name in reversed(draft.definition.order):",
                "for name in draft.definition.order:",
            ),
            (
                "coordinator/saga/backward.py",
                "draft.definition.descendants[name] <= settled",
                "draft.definition.ancestors[name] <= settled",
            ),
        ),
        ("tests/engine/test_running.py", "tests/lives", "tests/saga"),
    ),
    Bug(
        "a step whose outcome is unknown is not compensated",
        (("coordinator/saga/draft.py", "(run.happened or run.unclean)", "run.happened"),),
        ("tests/lives", "tests/saga"),
    ),
    Bug(
        "a late reply moves a final saga",
        (
            ("coordinator/saga/transition.py", "if draft.saga.final or draft.saga.paused:", "if draft.saga.paused:"),
            (
                "coordinator/saga/state.py",
                "SagaStatus.COMPENSATED: frozenset(),",
                "SagaStatus.COMPENSATED: frozenset({SagaStatus.COMPENSATING}),",
            ),
        ),
        ("tests/lives", "tests/saga"),
    ),
    Bug(
        "outbox rows are written outside the transaction of the state",
        (
            (
                "coordinator/store/sagas.py",
                "        await self._sql.insert_outbox.run(connection, commands)",
                "        if commands:\n            async with self._database._writer.connect() as other:\n"
                "                await self._sql.insert_outbox.run(other, commands)\n                await other.commit()",
            ),
        ),
        ("tests/store", "-m", "postgres"),
    ),
    Bug(
        "the attempt is part of the idempotency key",
        (
            (
                "participants/sdk/amends/message.py",
                '{self.iteration}/{self.kind}/{self.epoch}"',
                '{self.iteration}/{self.kind}/{self.epoch}/{self.attempt}"',
            ),
        ),
        ("tests/sdk", "tests/engine/test_running.py", "-m", "not rabbitmq and not postgres"),
    ),
    Bug(
        "a join fires twice: no compare-and-set on the revision",
        (
            (
                "coordinator/store/sagas.py",
                "sa.and_(sagas.c.id == moves.c.id, sagas.c.revision == moves.c.revision)",
                "sagas.c.id == moves.c.id",
            ),
        ),
        ("tests/store", "tests/engine/test_running.py"),
    ),
    Bug(
        "a clean failure is not kept in the inbox",
        (
            (
                "participants/sdk/amends/inbox.py",
                '        await self._keep(connection, command, reply, verdict, token="")\n        return reply, True',
                "        if reply.answer is not Answer.SUCCEEDED:\n            return reply, False\n"
                '        await self._keep(connection, command, reply, verdict, token="")\n        return reply, True',
            ),
        ),
        ("tests/sdk/test_inbox.py",),
    ),
    Bug(
        "a compensation in a new epoch is answered from the old epoch's stored reply",
        (
            (
                "participants/sdk/amends/record.py",
                "epoch = 0 if command.kind is Kind.ACTION else command.epoch",
                "epoch = 0",
            ),
        ),
        ("tests/sdk",),
    ),
    Bug(
        "a saga turns while its pivot is in flight",
        (
            (
                "coordinator/saga/draft.py",
                "return not run.happened and (run.status is StepStatus.DISPATCHED or run.unclean)",
                "return False",
            ),
        ),
        ("tests/lives", "tests/saga", "tests/simulation"),
    ),
    Bug(
        "a compensation runs while an external handler's lease lives",
        (
            (
                "participants/sdk/amends/verdict.py",
                "if own.held_by_other(token) or action.held_by_other(token):",
                "if own.held_by_other(token):",
            ),
        ),
        ("tests/sdk",),
    ),
    Bug(
        "a reply is acknowledged before what it says is committed",
        (
            (
                "coordinator/replies.py",
                "        while True:\n            try:\n                await self._settle(",
                "        await consumer.acknowledge(deliveries)\n"
                "        while True:\n            try:\n                await self._settle(",
            ),
        ),
        ("tests/crash", "-k", "reply"),
    ),
    Bug(
        "a command is acknowledged before its reply is confirmed",
        (
            (
                "participants/sdk/amends/answers.py",
                "        body = frame(",
                "        for waiting in batch:\n            waiting.held.settle()\n"
                "        await self._hand.give_back([waiting.held for waiting in batch])\n        body = frame(",
            ),
            (
                "participants/sdk/amends/answers.py",
                "        if await publish_for_certain(self._broker, self._address, body):\n"
                "            for waiting in batch:\n                waiting.held.settle()\n",
                "        if await publish_for_certain(self._broker, self._address, body):\n            return\n",
            ),
        ),
        ("tests/crash", "-k", "participant"),
    ),
    Bug(
        "what a dead coordinator had leased is never taken over",
        (
            (
                "coordinator/store/outbox.py",
                'outbox.c.available_at <= sa.bindparam("now", type_=Moment),',
                'outbox.c.available_at <= sa.bindparam("now", type_=Moment),\n                '
                "outbox.c.lease_token.is_(None),",
            ),
        ),
        ("tests/crash", "-k", "coordinator"),
    ),
    Bug(
        "an outbox row is written after the transaction of its saga, by the relay alone",
        (
            (
                "coordinator/store/sagas.py",
                "commands = [outbox_record(row, lease_token, lease_until) for item in kept for row in item.outbox]",
                "commands: list[tuple[object, ...]] = []",
            ),
        ),
        ("tests/crash", "-k", "coordinator"),
    ),
    Bug(
        "a remedy begins while the verdict is contested",
        (("coordinator/diagnosis/healing/policy.py", "    if report.contested:\n", "    if False:\n"),),
        ("tests/diagnosis/test_healing_policy.py",),
    ),
    Bug(
        "what the model doubts is mended all the same",
        (
            (
                "coordinator/diagnosis/reporter.py",
                'doubted = {"contested": report.contested, "flags": explained.report.flags | report.flags}',
                "doubted: dict[str, object] = {}",
            ),
        ),
        ("tests/diagnosis/test_reporter.py",),
    ),
    Bug(
        "a remedy that does not help is never undone",
        (
            (
                "coordinator/diagnosis/healing/healer.py",
                "        await self._means[RemedyKind(row.kind)].take_back(remedy, at, by=by or remedy.by)\n",
                "",
            ),
        ),
        ("tests/diagnosis/test_healer.py",),
    ),
    Bug(
        "a throttle is not measured",
        (("coordinator/diagnosis/healing/holding.py", "if better is False:", "if False:"),),
        ("tests/diagnosis/test_healer.py",),
    ),
    Bug(
        "the model may say any number",
        (
            (
                "coordinator/diagnosis/llm/checking.py",
                " or _numbers(said.text, cited)",
                "",
            ),
        ),
        ("tests/diagnosis/test_narrator.py",),
    ),
    Bug(
        "what is kept of an error is not redacted",
        (("coordinator/diagnosis/masking.py", "Redactor().redact(text)[:text_chars_max]", "text[:text_chars_max]"),),
        ("tests/diagnosis/test_template.py", "tests/diagnosis/test_failures.py"),
    ),
    Bug(
        "redaction is off",
        (("coordinator/diagnosis/redaction.py", "before, text = text, self._pass(text)", "before = text"),),
        ("tests/diagnosis/test_redaction.py",),
    ),
    Bug(
        "an incident is opened twice for one family",
        (
            (
                "coordinator/store/incidents.py",
                "ids = {family: row.id for family, row in found.items() if row.id not in over}",
                "ids: dict[str, str] = {}",
            ),
        ),
        ("tests/store/test_incidents.py", "-k", "sqlite"),
    ),
    Bug(
        "one failure is counted twice",
        (
            (
                "coordinator/store/incidents.py",
                "[reported[key] for key in sorted(reported.keys() - known)]",
                "[reported[key] for key in sorted(reported)]",
            ),
        ),
        ("tests/store/test_incidents.py", "-k", "sqlite"),
    ),
    Bug(
        "a class is named that no evidence admits",
        (
            (
                "coordinator/diagnosis/analyser/score.py",
                " or not admissible.get(cls, False)",
                "",
            ),
        ),
        ("tests/diagnosis/test_score.py",),
    ),
    Bug(
        "every class is admissible",
        (
            (
                "coordinator/diagnosis/analyser/analysis.py",
                "admissible_classes(facts)",
                "dict.fromkeys(admissible_classes(facts), True)",
            ),
        ),
        ("tests/diagnosis/test_score.py",),
    ),
    Bug(
        "a share of points is taken for a probability",
        (
            (
                "coordinator/diagnosis/analyser/score.py",
                "confidence = calibrated(candidate.confidence)",
                "confidence = candidate.confidence",
            ),
        ),
        ("tests/diagnosis/test_score.py",),
    ),
    Bug(
        "the past counts though nobody confirmed it",
        (("coordinator/diagnosis/analyser/history.py", "if not one.verified or one.cls", "if one.cls"),),
        ("tests/diagnosis/test_score.py",),
    ),
    Bug(
        "a start trusts the version it remembers",
        (("coordinator/web/api/sagas.py", "newest=guessed,", "newest=False,"),),
        ("tests/web/test_newest.py",),
    ),
    Bug(
        "a saga is kept whose definition has a newer version",
        (("coordinator/store/newest.py", ".where(~newer)", ""),),
        ("tests/store/test_newest.py",),
    ),
    Bug(
        "of a batch that is not kept at once, nobody looks which are outdated",
        (("coordinator/store/newest.py", ".where(newer, ~kept)", ".where(sa.false())"),),
        ("tests/store/test_newest.py",),
    ),
    Bug(
        "an input is refused by a version that is not the newest any more",
        (("coordinator/web/api/sagas.py", "if guessed and isinstance(error, Refusal)", "if False"),),
        ("tests/web/test_newest.py",),
    ),
)
