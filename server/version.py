"""The version of this program, from the installed package. Shown by ``--version`` and the health answer."""

from importlib.metadata import version

VERSION = version("flageemonitor-proxy")
