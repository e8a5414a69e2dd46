"""The Flask application: wiring only. Called by gunicorn as ``server.app:create_app()``, by tests with their own settings."""

from __future__ import annotations

import os

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from server import errors
from server.api import agents, bootstrap, bot_config, health, heartbeat, history, ingest, live, requests
from server.api.caller_address import CallerAddress
from server.api.config_poll import ConfigPoll
from server.auth import check_declared
from server.current import EXTENSION
from server.logs import configure_logging
from server.settings import Settings, read_settings
from server.storage.schema import load_migrations
from server.wiring import Clock, build_services, utc_now


def create_app(settings: Settings | None = None, *, clock: Clock = utc_now) -> Flask:
    """Build the application; settings come from the environment unless given. Raises SettingsError; connects to nothing yet,
    but settles which file the database is: all workers that are forked from here agree on it."""
    settings = settings or read_settings(os.environ)
    configure_logging(settings.log_format, settings.log_level)
    app = Flask(__name__, static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    services = build_services(settings, clock)
    services.database.attach()
    load_migrations()
    app.extensions[EXTENSION] = services
    requests.register(app)
    errors.register(app)
    for module in (health, bot_config, bootstrap, ingest, heartbeat, agents, history, live):
        app.register_blueprint(module.blueprint)
    check_declared(app)
    every = settings.log_level == "debug"
    app.wsgi_app = ConfigPoll(CallerAddress(app.wsgi_app), services, all_lines=every)  # type: ignore[method-assign]
    hops = settings.trusted_proxies
    if hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app
