"""What the commands of both sides share: the language that a person reads, help pages and errors of click in it.

Used by the programs themselves (`flagee-server`, `flageemonitor-run`, deploy); it knows :mod:`contracts` and click alone.
"""
