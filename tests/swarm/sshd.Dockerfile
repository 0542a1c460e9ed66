# What a machine has whose engine is reached by ssh: sshd, and the docker command that it starts.
ARG PYTHON_IMAGE=python:3.13-slim-trixie
FROM ${PYTHON_IMAGE}
# A base that the lab made itself knows no mirror: then the secret names the one of this machine.
RUN --mount=type=secret,id=sources \
    if [ -s /run/secrets/sources ]; then \
        set -- -o Dir::Etc::SourceList=/run/secrets/sources -o Dir::Etc::SourceParts=/dev/null; \
    fi; \
    apt-get "$@" -q update \
    && DEBIAN_FRONTEND=noninteractive apt-get "$@" -qy --no-install-recommends install \
        docker-cli openssh-server \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /etc/ssh/ssh_host_* \
    && mkdir -p /run/sshd \
    && useradd --password '*' outsider && useradd --password '*' dockerless
