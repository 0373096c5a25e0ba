"""Who is told what happens. `telling` makes events of decisions, `subscriptions` knows who wants them, the store keeps
them in the transaction of the change, and the `courier` delivers them: to a `webhook`, to the broker, to the log.

Without a subscription none of this costs a saga a statement.
"""
