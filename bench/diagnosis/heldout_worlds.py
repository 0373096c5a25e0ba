"""Two other companies, and libraries that the development cases don't know."""

from __future__ import annotations

import errno
import socket
import ssl
from types import SimpleNamespace

from bench.diagnosis.topology import Definition, Plan, Service, Theme, Work, call
from bench.diagnosis.wording import made

clinic = Theme(
    "clinic",
    (
        Service(
            "registry",
            {"admit": Work("id-bureau", declines=0.015, reason="insurance card not valid"), "note": Work()},
            {"discharge": Work("id-bureau"), "strike": Work()},
            {"client_timeout_seconds": "4", "pool_size": "9"},
            "12.1",
            "12.2",
        ),
        Service(
            "pharmacy",
            {
                "dispense": Work("drug-vault", declines=0.015, reason="not on the formulary"),
                "prepare": Work("drug-vault"),
            },
            {"take_back": Work("drug-vault")},
            {"client_timeout_seconds": "4", "vault_key": "v-7"},
            "r88",
            "r89",
        ),
        Service(
            "lab",
            {"order_test": Work("analyser-bus", external=True), "sample": Work("analyser-bus", external=True)},
            {"withdraw_test": Work("analyser-bus", external=True)},
            {"client_timeout_seconds": "4", "endpoint": "bus.lab.internal:7443"},
            "2031.02",
            "2031.03",
        ),
        Service(
            "insurer",
            {
                "cover": Work("claims-hub", external=True, declines=0.02, reason="not covered"),
                "settle": Work("claims-hub", external=True),
            },
            {"uncover": Work("claims-hub", external=True)},
            {"client_timeout_seconds": "4", "tenant": "t-50", "parallel": "4"},
            "0.77.1",
            "0.78.0",
        ),
        Service(
            "beds",
            {"assign_bed": Work(declines=0.01, reason="ward is full"), "clean": Work()},
            {"free_bed": Work()},
            {"pool_size": "5"},
            "3.3.3",
            "3.4.0",
        ),
        Service(
            "letters",
            {"compose": Work("print-farm"), "post": Work("print-farm")},
            {"shred": Work("print-farm")},
            {"client_timeout_seconds": "4", "tray": "/srv/tray"},
            "6.0",
            "6.1",
        ),
    ),
    (
        Definition(
            "admission",
            ("patient_id", "ward", "dose", "email"),
            (
                Plan(
                    "admit",
                    **call("registry.admit", "discharge"),
                    takes={"patient_id": "input.patient_id"},
                    gives=("case_id", "fee"),
                ),
                Plan(
                    "bed",
                    **call("beds.assign_bed", "free_bed"),
                    after=("admit",),
                    takes={"ward": "input.ward"},
                    gives=("bed_id",),
                ),
                Plan(
                    "cover",
                    **call("insurer.cover", "uncover"),
                    after=("admit",),
                    takes={"case_id": "steps.admit.case_id", "fee": "steps.admit.fee"},
                    gives=("policy_id", "amount"),
                ),
                Plan(
                    "medicine",
                    **call("pharmacy.dispense", "take_back"),
                    after=("bed", "cover"),
                    takes={"dose": "input.dose", "policy_id": "steps.cover.policy_id"},
                    gives=("package_id", "volume"),
                ),
                Plan(
                    "letter",
                    **call("letters.compose", "shred"),
                    takes={"package_id": "steps.medicine.package_id", "email": "input.email"},
                ),
            ),
        ),
        Definition(
            "checkup",
            ("patient_id", "items", "fee"),
            (
                Plan(
                    "order",
                    **call("lab.order_test", "withdraw_test"),
                    takes={"items": "input.items"},
                    gives=("test_id", "volume"),
                ),
                Plan(
                    "file",
                    **call("registry.note", "strike"),
                    takes={"test_id": "steps.order.test_id"},
                    gives=("note_id", "price"),
                ),
                Plan(
                    "pay",
                    **call("insurer.settle"),
                    kind="pivot",
                    takes={"price": "steps.file.price"},
                    gives=("claim_id",),
                ),
                Plan(
                    "result",
                    **call("letters.post"),
                    kind="retriable",
                    takes={"claim_id": "steps.pay.claim_id"},
                    max_attempts=6,
                ),
            ),
        ),
        Definition(
            "transfer",
            ("patient_id", "ward", "dose"),
            (
                Plan(
                    "entry",
                    **call("registry.note", "strike"),
                    takes={"test_id": "input.patient_id"},
                    gives=("note_id", "price"),
                ),
                Plan("place", **call("beds.assign_bed", "free_bed"), takes={"ward": "input.ward"}, gives=("bed_id",)),
                Plan(
                    "drugs",
                    **call("pharmacy.dispense", "take_back"),
                    takes={"dose": "input.dose", "policy_id": "steps.entry.note_id"},
                    gives=("package_id", "volume"),
                ),
                Plan(
                    "probe",
                    **call("lab.order_test", "withdraw_test"),
                    takes={"patient_id": "input.patient_id", "volume": "steps.drugs.volume"},
                    gives=("test_id",),
                ),
            ),
        ),
    ),
    ("node-17", "node-18", "node-19"),
)

freight = Theme(
    "freight",
    (
        Service(
            "quotes",
            {"price_lane": Work("rate-engine", declines=0.01, reason="lane not served")},
            {},
            {"client_timeout_seconds": "4"},
            "41",
            "42",
        ),
        Service(
            "slots",
            {"take_slot": Work("port-api", external=True, declines=0.015, reason="terminal closed")},
            {"give_slot": Work("port-api", external=True)},
            {"client_timeout_seconds": "4", "api_base": "https://port-api.internal"},
            "1.0.0-rc4",
            "1.0.0",
        ),
        Service(
            "customs",
            {
                "declare": Work("customs-gw", declines=0.02, reason="goods are restricted"),
                "clear": Work("customs-gw", external=True),
            },
            {"recant": Work("customs-gw")},
            {"client_timeout_seconds": "4", "certificate": "cust-2029"},
            "9.9",
            "10.0",
        ),
        Service(
            "ledger",
            {"book": Work(), "pledge": Work()},
            {"unbook": Work(), "unpledge": Work()},
            {"pool_size": "7"},
            "2.71",
            "2.72",
        ),
        Service(
            "drivers",
            {"call_driver": Work("dispatch-ws"), "swap": Work("dispatch-ws")},
            {"recall_driver": Work("dispatch-ws")},
            {"client_timeout_seconds": "4", "region": "north"},
            "b-310",
            "b-311",
        ),
        Service(
            "alerts",
            {"tell": Work("sms-hub")},
            {},
            {"client_timeout_seconds": "4"},
            "5",
            "6",
        ),
    ),
    (
        Definition(
            "ship_container",
            ("shipper_id", "weight", "route"),
            (
                Plan(
                    "quote",
                    **call("quotes.price_lane"),
                    kind="readonly",
                    takes={"route": "input.route"},
                    gives=("quote_id", "price", "duty"),
                ),
                Plan(
                    "pledge",
                    **call("ledger.pledge", "unpledge"),
                    takes={"price": "steps.quote.price"},
                    gives=("pledge_id",),
                ),
                Plan(
                    "slot",
                    **call("slots.take_slot", "give_slot"),
                    after=("pledge",),
                    takes={"quote_id": "steps.quote.quote_id"},
                    gives=("slot_id",),
                ),
                Plan(
                    "papers",
                    **call("customs.declare", "recant"),
                    after=("pledge",),
                    takes={"duty": "steps.quote.duty", "weight": "input.weight"},
                    gives=("paper_id", "fee"),
                ),
                Plan(
                    "truck",
                    **call("drivers.call_driver", "recall_driver"),
                    after=("slot", "papers"),
                    takes={"slot_id": "steps.slot.slot_id"},
                    gives=("driver_id",),
                ),
                Plan(
                    "account",
                    **call("ledger.book", "unbook"),
                    takes={"price": "steps.quote.price", "fee": "steps.papers.fee"},
                ),
            ),
        ),
        Definition(
            "reroute",
            ("shipper_id", "route", "fee"),
            (
                Plan(
                    "slot",
                    **call("slots.take_slot", "give_slot"),
                    takes={"quote_id": "input.shipper_id"},
                    gives=("slot_id",),
                ),
                Plan(
                    "driver",
                    **call("drivers.call_driver", "recall_driver"),
                    takes={"slot_id": "steps.slot.slot_id"},
                    gives=("driver_id",),
                ),
                Plan(
                    "clear",
                    **call("customs.clear"),
                    kind="pivot",
                    takes={"driver_id": "steps.driver.driver_id"},
                    gives=("paper_id",),
                ),
                Plan(
                    "inform",
                    **call("alerts.tell"),
                    kind="retriable",
                    takes={"paper_id": "steps.clear.paper_id"},
                    max_attempts=6,
                ),
            ),
        ),
        Definition(
            "return_empty",
            ("shipper_id", "route", "price", "weight"),
            (
                Plan(
                    "reserve",
                    **call("ledger.pledge", "unpledge"),
                    takes={"price": "input.price"},
                    gives=("pledge_id", "fee"),
                ),
                Plan(
                    "form",
                    **call("customs.declare", "recant"),
                    takes={"duty": "steps.reserve.fee", "weight": "input.weight"},
                    gives=("paper_id", "fee"),
                ),
                Plan(
                    "van",
                    **call("drivers.call_driver", "recall_driver"),
                    takes={"slot_id": "steps.form.paper_id"},
                    gives=("driver_id",),
                ),
                Plan("close", **call("ledger.book", "unbook"), takes={"price": "input.price", "fee": "steps.form.fee"}),
            ),
        ),
    ),
    ("rack1-n4", "rack2-n4", "rack3-n4"),
)


class Grpc:
    """grpcio, botocore, PyMySQL, and a house's own exceptions over them."""

    def _call(self, name: str, details: str) -> BaseException:
        said = f'<AioRpcError of RPC that terminated with:\n\tstatus = StatusCode.{name}\n\tdetails = "{details}"\n>'
        status = SimpleNamespace(name=name)
        return made("AioRpcError", said, home="grpc.aio", code=lambda: status, details=lambda: details)

    def late(self, place: str, seconds: float) -> BaseException:
        return self._call("DEADLINE_EXCEEDED", "Deadline Exceeded")

    def refused(self, place: str) -> BaseException:
        return self._call(
            "UNAVAILABLE", f"failed to connect to all addresses; last error: connect to {place}: Connection refused"
        )

    def not_found(self, place: str) -> BaseException:
        deep = socket.gaierror(socket.EAI_NONAME, f"nodename nor servname provided: {place}")
        return made(
            "EndpointConnectionError",
            f'Could not connect to the endpoint URL: "https://{place}/"',
            home="botocore.exceptions",
            cause=deep,
        )

    def status(self, place: str, status: int, wait_seconds: int | None = None) -> BaseException:
        names = {
            401: "UNAUTHENTICATED",
            403: "PERMISSION_DENIED",
            409: "ALREADY_EXISTS",
            429: "RESOURCE_EXHAUSTED",
            502: "UNAVAILABLE",
            503: "UNAVAILABLE",
            504: "DEADLINE_EXCEEDED",
        }
        error = self._call(names.get(status, "INTERNAL"), f"{place} said no")
        if wait_seconds:
            error.retry_after = wait_seconds  # type: ignore[attr-defined]
        return error

    def expired(self, place: str) -> BaseException:
        deep = ssl.SSLCertVerificationError(1, "certificate verify failed: certificate has expired")
        deep.verify_code = 10
        return made("SSLError", f"SSL validation failed for https://{place}/", home="botocore.exceptions", cause=deep)

    def reset(self, place: str) -> BaseException:
        deep = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        return made(
            "ConnectionClosedError",
            "Connection was closed before we received a valid response",
            home="botocore.exceptions",
            cause=deep,
        )

    def _mysql(self, name: str, number: int, said: str) -> BaseException:
        return made(name, f"({number}, '{said}')", home="pymysql.err", arguments=(number, said))

    def unique(self, table: str, key: str) -> BaseException:
        return self._mysql("IntegrityError", 1062, f"Duplicate entry {key} for key {table}.PRIMARY")

    def stale(self, table: str) -> BaseException:
        said = "The conditional request failed"
        answer = {"Error": {"Code": "ConditionalCheckFailedException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
        return made("ClientError", said, home="botocore.exceptions", response=answer)

    def deadlock(self, table: str) -> BaseException:
        return self._mysql(
            "OperationalError", 1213, "Deadlock found when trying to get lock; try restarting transaction"
        )

    def lock_wait(self, table: str) -> BaseException:
        return self._mysql("OperationalError", 1205, "Lock wait timeout exceeded; try restarting transaction")

    def statement_late(self, table: str) -> BaseException:
        return self._mysql(
            "OperationalError", 3024, "Query execution was interrupted, maximum statement execution time exceeded"
        )

    def pool_empty(self, place: str) -> BaseException:
        return self._mysql("OperationalError", 1040, "Too many connections")

    def disk_full(self, path: str) -> BaseException:
        inner = OSError(errno.ENOSPC, "No space left on device")
        return made("JournalWriteError", f"journal {path} is not writable", home="house.journal", cause=inner)

    def files_full(self, path: str) -> BaseException:
        inner = OSError(errno.EMFILE, "Too many open files")
        return made("TransportError", "cannot open a new socket", home="house.transport", cause=inner)

    def memory(self) -> BaseException:
        return made("BufferPoolEmpty", "failed to allocate 67108864 bytes", home="house.buffers", cause=MemoryError())

    def vague(self) -> BaseException:
        return made("HouseError", "Es ist ein Fehler aufgetreten. Bitte versuchen Sie es erneut.", home="house")


class French(Grpc):
    """The same, where the answers are French and the stack is Java's on the other side."""

    def status(self, place: str, status: int, wait_seconds: int | None = None) -> BaseException:
        answer = SimpleNamespace(status_code=status, headers={"Retry-After": str(wait_seconds)} if wait_seconds else {})
        return made("ApiException", f"Échec de l'appel à {place}", home="openapi_client", response=answer)

    def late(self, place: str, seconds: float) -> BaseException:
        inner = TimeoutError("délai dépassé")
        return made("ApiTimeout", f"aucune réponse de {place}", home="openapi_client", cause=inner)

    def refused(self, place: str) -> BaseException:
        inner = ConnectionRefusedError(errno.ECONNREFUSED, "Connexion refusée")
        return made("ApiUnreachable", f"{place} est injoignable", home="openapi_client", cause=inner)
