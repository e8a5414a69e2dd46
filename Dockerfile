# Two targets: `client` (the proxy, protected) and `server` (the control plane). docs/deployment.md describes their use.
#   docker build --target client --build-arg VERSION=1.2.3 --build-arg REVISION=$(git rev-parse HEAD) .
# Build each architecture natively: PyArmor's runtime fits only the architecture, Python version and libc that it was made with.
# Secrets: pyarmor_licence (PyArmor's licence file, with LICENCE=full), pip_conf (a pip.conf for your own mirror).
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS base
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LANG=C.UTF-8
# The first process is an init: it reaps the children of killed runs and passes signals on, under a plain `docker run` as well.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends tini >/dev/null \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/dpkg.log /var/log/apt
RUN echo 'flagee:x:10001:10001:FlageeMonitor:/tmp:/usr/sbin/nologin' >>/etc/passwd && echo 'flagee:x:10001:' >>/etc/group

FROM base AS venv
RUN python3 -m venv /opt/venv
COPY requirements/build.txt /build/
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    pip install -q --disable-pip-version-check --require-hashes -r /build/build.txt

# `--version` and the health answer show the package's version, so the image has its metadata, without its code.
FROM venv AS metadata
COPY pyproject.toml /build/
COPY contracts /build/contracts
COPY commandline /build/commandline
COPY server /build/server
COPY client_image/runtime /build/client_image/runtime
RUN cd /build && pip install -q --disable-pip-version-check --no-deps --no-build-isolation --target /metadata . \
    && find /metadata -mindepth 1 -maxdepth 1 ! -name '*.dist-info' -exec rm -rf {} +

FROM venv AS client-packages
COPY requirements/runtime.txt /build/
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    pip install -q --disable-pip-version-check --require-hashes -r /build/runtime.txt \
    && pip uninstall -q -y setuptools pip
COPY --from=metadata /metadata/ /tmp/metadata/
RUN cp -R /tmp/metadata/. "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

FROM venv AS protected
COPY requirements/protect.txt /build/
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    pip install -q --disable-pip-version-check --require-hashes -r /build/protect.txt
COPY tools/protect.sh /build/
COPY contracts /build/source/contracts
COPY commandline /build/source/commandline
COPY client_image/runtime /build/source/runtime
ARG LICENCE=trial
# The licence is a secret for this step, and PyArmor's files stay in memory, so that no layer of the build cache holds any of them.
RUN --mount=type=secret,id=pyarmor_licence --mount=type=tmpfs,target=/tmp /build/protect.sh "$LICENCE" /build/source /protected runtime contracts commandline

FROM base AS client
COPY --from=client-packages /opt/venv /opt/venv
COPY providers /flageemonitor/providers
COPY compat_matrix /flageemonitor/compat_matrix
COPY locale /flageemonitor/locale
COPY wrappers /flageemonitor/wrappers
COPY client_image/scripts /flageemonitor/scripts
COPY client_image/utilities /flageemonitor/utilities
COPY client_image/host-linux /flageemonitor/host-linux
COPY client_image/postgresql /flageemonitor/postgresql
COPY client_image/entrypoint.sh client_image/run_action.sh client_image/update_config.sh /flageemonitor/
COPY --from=protected /protected/ /flageemonitor/
COPY contracts/catalogue.json /flageemonitor/contracts/
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG BUILT_AT=1970-01-01T00:00:00+00:00
ARG LICENCE=trial
RUN python -c 'import json, sys; print(json.dumps(dict(zip(("version", "revision", "built_at", "licence"), sys.argv[1:]))))' \
        "$VERSION" "$REVISION" "$BUILT_AT" "$LICENCE" >/flageemonitor/build.json \
    && mkdir -p /flageemonitor/config /flageemonitor/data && chown 10001:10001 /flageemonitor/config /flageemonitor/data \
    && chmod 0700 /flageemonitor/config /flageemonitor/data \
    && ln -s /flageemonitor /ariusmonitor \
    && python -m compileall -q /flageemonitor
ENV PYTHONPATH=/flageemonitor \
    FLAGEEMONITOR_ROOT=/flageemonitor \
    HOME=/tmp
LABEL org.opencontainers.image.title="FlageeMonitor Proxy" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${BUILT_AT}" \
      flageemonitor.licence="${LICENCE}" \
      flageemonitor.verbs="install uninstall neighbours" \
      flageemonitor.environment="2"
USER 10001:10001
WORKDIR /flageemonitor
# The check fails only for what a restart would repair: see runtime/container/health.py.
HEALTHCHECK --interval=30s --timeout=15s --start-period=90s --retries=3 CMD ["python", "-m", "runtime.container.health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/tini", "--", "/flageemonitor/entrypoint.sh"]

FROM venv AS server-packages
COPY requirements/server.txt /build/
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    pip install -q --disable-pip-version-check --require-hashes -r /build/server.txt \
    && pip uninstall -q -y setuptools pip
COPY --from=metadata /metadata/ /tmp/metadata/
RUN cp -R /tmp/metadata/. "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

FROM base AS server
# nginx is the public listener. `serve` starts and watches it; its service and site files are not used.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends nginx >/dev/null \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/dpkg.log /var/log/apt
COPY --from=server-packages /opt/venv /opt/venv
COPY contracts /srv/flagee/contracts
COPY commandline /srv/flagee/commandline
COPY server /srv/flagee/server
COPY bootstrap /srv/flagee/bootstrap
COPY wrappers /srv/flagee/wrappers
COPY locale /srv/flagee/locale
ARG VERSION=0.0.0
ARG REVISION=unknown
RUN printf '#!/bin/sh\nexec python -m server.cli "$@"\n' >/usr/local/bin/flagee-server && chmod 755 /usr/local/bin/flagee-server \
    && mkdir -p /var/lib/flagee && chown 10001:10001 /var/lib/flagee && python -m compileall -q /srv/flagee
ENV PYTHONPATH=/srv/flagee \
    FLAGEE_DATABASE_URL=sqlite:////var/lib/flagee/flagee.db \
    FLAGEE_BIND=0.0.0.0:8080 \
    FLAGEE_LOG_FORMAT=json \
    HOME=/tmp
LABEL org.opencontainers.image.title="FlageeMonitor control plane" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 10001:10001
WORKDIR /srv/flagee
VOLUME /var/lib/flagee
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["flagee-server", "health"]
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/flagee-server"]
CMD ["serve"]
