"""The coordinator, in the order in which a saga lives.

A plan is registered (`saga.definition`) and a saga started from it. Whatever happens to it (`saga.event`), what
follows is decided (`saga.transition`), kept (`store`) and put in motion (`engine`). Commands leave through the outbox
(`relay`), answers come in (`replies`), silence is noticed (`timers`), what nobody could read is kept (`dead_letters`),
and failures are explained (`diagnosis`). `web` shows all of it, `app` puts it together, `cli` starts it.
"""
