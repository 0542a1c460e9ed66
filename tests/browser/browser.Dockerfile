# Debian's Chromium, which the tests of the console drive; and fonts, Chinese too.
ARG PYTHON_IMAGE=python:3.13-slim-trixie
FROM ${PYTHON_IMAGE}
# A base that the lab made itself knows no mirror: then the secret names the one of this machine.
RUN --mount=type=secret,id=sources \
    if [ -s /run/secrets/sources ]; then \
        set -- -o Dir::Etc::SourceList=/run/secrets/sources -o Dir::Etc::SourceParts=/dev/null; \
    fi; \
    apt-get "$@" -q update \
    && apt-get "$@" -qy --no-install-recommends install \
        chromium fonts-dejavu-core fonts-noto-core fonts-wqy-microhei \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
USER 10001:10001
ENV HOME=/tmp
# A container has no user namespaces for Chromium's own sandbox; the port is any free one of loopback.
ENTRYPOINT ["chromium", "--headless=new", "--no-sandbox", "--remote-debugging-port=0", \
    "--user-data-dir=/tmp/profile", "--disable-gpu", "--disable-dev-shm-usage", \
    "--no-proxy-server", "--no-first-run", "--disable-background-networking", \
    "--disable-component-update", "--disable-sync", "--disable-renderer-backgrounding", \
    "--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows", \
    "--force-color-profile=srgb"]
