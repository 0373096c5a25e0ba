"""The two companies whose sagas fail in the cases that are open to everybody."""

from __future__ import annotations

from bench.diagnosis.topology import Definition, Plan, Service, Theme, Work, call

shop = Theme(
    "shop",
    (
        Service(
            "fraud",
            {"score": Work("risk-api", declines=0.02, reason="the order looks fraudulent")},
            {},
            {"client_timeout_seconds": "4", "model": "m7"},
        ),
        Service(
            "inventory",
            {"reserve": Work("warehouse-api", declines=0.01, reason="out of stock"), "restock": Work("warehouse-api")},
            {"release": Work("warehouse-api"), "unstock": Work("warehouse-api")},
            {"client_timeout_seconds": "4", "pool_size": "10"},
            "2.3.1",
            "2.4.0",
        ),
        Service(
            "payment",
            {
                "charge": Work("card-provider", external=True, declines=0.02, reason="card declined"),
                "refund": Work("card-provider", external=True),
                "authorize": Work("card-provider", external=True),
            },
            {"refund_charge": Work("card-provider", external=True), "void": Work("card-provider", external=True)},
            {"client_timeout_seconds": "4", "base_url": "https://card-provider.internal", "key_id": "k-2030"},
            "1.8.2",
            "1.9.0",
        ),
        Service(
            "shipping",
            {"label": Work("carrier-api"), "dispatch": Work("carrier-api")},
            {"cancel_label": Work("carrier-api"), "recall": Work("carrier-api")},
            {"client_timeout_seconds": "4", "zone": "eu-1"},
            "3.0.4",
            "3.1.0",
        ),
        Service(
            "loyalty",
            {"award": Work(), "activate": Work()},
            {"revoke": Work()},
            {"pool_size": "10"},
            "0.9.9",
            "0.10.0",
        ),
        Service(
            "notify",
            {"mail": Work("smtp-relay"), "welcome": Work("smtp-relay")},
            {},
            {"client_timeout_seconds": "4", "sender": "shop@example.org"},
            "1.1.0",
            "1.2.0",
        ),
    ),
    (
        Definition(
            "place_order",
            ("order_id", "items", "amount", "address"),
            (
                Plan("score", **call("fraud.score"), kind="readonly", takes={"order_id": "input.order_id"}),
                Plan(
                    "reserve",
                    **call("inventory.reserve", "release"),
                    takes={"items": "input.items"},
                    gives=("reservation_id", "total", "weight"),
                ),
                Plan(
                    "charge",
                    **call("payment.charge", "refund_charge"),
                    takes={"total": "steps.reserve.total", "order_id": "input.order_id"},
                    gives=("charge_id", "fee"),
                ),
                Plan(
                    "label",
                    **call("shipping.label", "cancel_label"),
                    after=("charge",),
                    takes={"address": "input.address", "weight": "steps.reserve.weight"},
                    gives=("tracking_id",),
                ),
                Plan(
                    "award",
                    **call("loyalty.award", "revoke"),
                    after=("charge",),
                    takes={"total": "steps.reserve.total"},
                    gives=("points",),
                ),
                Plan(
                    "dispatch",
                    **call("shipping.dispatch", "recall"),
                    after=("label", "award"),
                    takes={"tracking_id": "steps.label.tracking_id"},
                ),
            ),
        ),
        Definition(
            "return_order",
            ("order_id", "items", "amount", "email"),
            (
                Plan(
                    "restock",
                    **call("inventory.restock", "unstock"),
                    takes={"items": "input.items"},
                    gives=("restock_id", "amount"),
                ),
                Plan(
                    "give_back",
                    **call("loyalty.award", "revoke"),
                    takes={"total": "input.amount"},
                    gives=("points",),
                ),
                Plan(
                    "refund",
                    **call("payment.refund"),
                    kind="pivot",
                    takes={"amount": "steps.restock.amount", "order_id": "input.order_id"},
                    gives=("refund_id",),
                ),
                Plan("tell", **call("notify.mail"), kind="retriable", takes={"email": "input.email"}, max_attempts=6),
            ),
        ),
        Definition(
            "subscribe",
            ("customer_id", "email", "price"),
            (
                Plan("check", **call("fraud.score"), kind="readonly", takes={"order_id": "input.customer_id"}),
                Plan(
                    "authorize",
                    **call("payment.authorize", "void"),
                    takes={"price": "input.price", "customer_id": "input.customer_id"},
                    gives=("authorization_id", "fee"),
                ),
                Plan(
                    "activate",
                    **call("loyalty.activate", "revoke"),
                    takes={"fee": "steps.authorize.fee", "authorization_id": "steps.authorize.authorization_id"},
                    gives=("member_id",),
                ),
                Plan(
                    "parcel",
                    **call("shipping.label", "cancel_label"),
                    takes={"address": "input.email", "weight": "input.price"},
                    gives=("tracking_id",),
                ),
            ),
        ),
    ),
    ("fra-a1", "fra-b1", "fra-c1"),
)

travel = Theme(
    "travel",
    (
        Service(
            "profiles",
            {"lookup": Work("crm", declines=0.015, reason="traveller is blocked")},
            {},
            {"client_timeout_seconds": "4"},
            "5.1.0",
            "5.2.0",
        ),
        Service(
            "flights",
            {
                "hold_seat": Work("gds", declines=0.015, reason="no seat left"),
                "ticket": Work("gds", external=True),
            },
            {"free_seat": Work("gds"), "void_ticket": Work("gds", external=True)},
            {"client_timeout_seconds": "4", "office": "FRA01", "pool_size": "8"},
            "7.0.1",
            "7.1.0",
        ),
        Service(
            "hotels",
            {"book_room": Work("hotel-hub", external=True, declines=0.015, reason="no room at that price")},
            {"cancel_room": Work("hotel-hub", external=True)},
            {"client_timeout_seconds": "4", "base_url": "https://hotel-hub.internal"},
            "2.0.0",
            "2.1.0",
        ),
        Service(
            "billing",
            {"invoice": Work(), "collect": Work("bank-gateway", external=True, declines=0.02, reason="limit exceeded")},
            {"cancel_invoice": Work(), "pay_back": Work("bank-gateway", external=True)},
            {"client_timeout_seconds": "4", "key_id": "b-14", "pool_size": "12"},
            "4.4.0",
            "4.5.0",
        ),
        Service(
            "documents",
            {"render": Work("template-store"), "archive": Work("object-store")},
            {"discard": Work("object-store")},
            {"client_timeout_seconds": "4", "spool": "/var/spool/documents"},
            "0.3.0",
            "0.4.0",
        ),
        Service(
            "crew",
            {"assign_guide": Work(), "brief": Work("chat-api")},
            {"unassign_guide": Work()},
            {"client_timeout_seconds": "4", "pool_size": "6"},
            "1.0.7",
            "1.1.0",
        ),
    ),
    (
        Definition(
            "book_trip",
            ("traveller_id", "route", "price", "email"),
            (
                Plan(
                    "find",
                    **call("profiles.lookup"),
                    kind="readonly",
                    takes={"traveller_id": "input.traveller_id"},
                    gives=("profile_id", "fee"),
                ),
                Plan(
                    "seat",
                    **call("flights.hold_seat", "free_seat"),
                    after=("find",),
                    takes={"route": "input.route", "profile_id": "steps.find.profile_id"},
                    gives=("seat_id", "price"),
                ),
                Plan(
                    "room",
                    **call("hotels.book_room", "cancel_room"),
                    after=("find",),
                    takes={"profile_id": "steps.find.profile_id"},
                    gives=("room_id", "amount"),
                ),
                Plan(
                    "invoice",
                    **call("billing.invoice", "cancel_invoice"),
                    after=("seat", "room"),
                    takes={"price": "steps.seat.price", "amount": "steps.room.amount"},
                    gives=("invoice_id", "total"),
                ),
                Plan(
                    "collect",
                    **call("billing.collect", "pay_back"),
                    takes={"total": "steps.invoice.total"},
                    gives=("payment_id",),
                ),
                Plan(
                    "papers",
                    **call("documents.archive", "discard"),
                    takes={"payment_id": "steps.collect.payment_id"},
                ),
            ),
        ),
        Definition(
            "rebook",
            ("traveller_id", "route", "fee", "email"),
            (
                Plan(
                    "seat",
                    **call("flights.hold_seat", "free_seat"),
                    takes={"route": "input.route", "profile_id": "input.traveller_id"},
                    gives=("seat_id", "price"),
                ),
                Plan(
                    "collect",
                    **call("billing.collect", "pay_back"),
                    takes={"total": "steps.seat.price"},
                    gives=("payment_id",),
                ),
                Plan(
                    "ticket",
                    **call("flights.ticket"),
                    kind="pivot",
                    takes={"seat_id": "steps.seat.seat_id", "payment_id": "steps.collect.payment_id"},
                    gives=("ticket_id",),
                ),
                Plan(
                    "send",
                    **call("documents.render"),
                    kind="retriable",
                    takes={"ticket_id": "steps.ticket.ticket_id"},
                    max_attempts=6,
                ),
            ),
        ),
        Definition(
            "guided_tour",
            ("traveller_id", "price", "route"),
            (
                Plan(
                    "guide",
                    **call("crew.assign_guide", "unassign_guide"),
                    takes={"route": "input.route"},
                    gives=("guide_id", "fee"),
                ),
                Plan(
                    "bill",
                    **call("billing.invoice", "cancel_invoice"),
                    takes={"price": "input.price", "amount": "steps.guide.fee"},
                    gives=("invoice_id", "total"),
                ),
                Plan(
                    "voucher",
                    **call("documents.archive", "discard"),
                    takes={"payment_id": "steps.bill.invoice_id"},
                ),
                Plan(
                    "stay",
                    **call("hotels.book_room", "cancel_room"),
                    takes={"profile_id": "input.traveller_id"},
                    gives=("room_id", "amount"),
                ),
            ),
        ),
    ),
    ("ber-1", "ber-2", "ber-3"),
)
