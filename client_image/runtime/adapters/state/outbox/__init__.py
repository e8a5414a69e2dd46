"""The outbox: what the control plane is to be told, kept until it says that it has it. The only owner of the table ``outbox``.

``put`` writes a row in the transaction that records what happened. ``delivery`` leases rows to a sender, and takes back what the
control plane answered. ``limits`` keeps the table bounded, and leaves a tombstone for every row that goes undelivered.

    put ──> waiting ──lease──> leased ──acknowledge──> deleted
               ^                 │ │
               ├── expired, or put_back(error, next attempt)
               │                 └─dead_letter(reason)──> dead ──revive──> waiting
               └── shed: deleted, with a tombstone
"""
