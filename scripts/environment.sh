# What the caller's shell sets for Python, pip, uv, Docker and Compose is not meant for the lab's calls
# of them. What stays: where packages come from, and which engine is meant (lab/engine.py has the
# same list of that).
# shellcheck shell=bash

for variable in $(compgen -e); do
    case $variable in
        PYTHON_IMAGE | COMPOSE_PROJECT_NAME) ;;
        PIP_CONFIG_FILE | PIP_INDEX_URL | PIP_EXTRA_INDEX_URL | PIP_FIND_LINKS | PIP_NO_INDEX) ;;
        PIP_TRUSTED_HOST | PIP_CERT | PIP_CLIENT_CERT | PIP_PROXY | PIP_KEYRING_PROVIDER) ;;
        PIP_TIMEOUT | PIP_DEFAULT_TIMEOUT | PIP_RETRIES | PIP_CACHE_DIR | PIP_NO_CACHE_DIR) ;;
        DOCKER_HOST | DOCKER_CONTEXT | DOCKER_CONFIG | DOCKER_AUTH_CONFIG | DOCKER_API_VERSION) ;;
        DOCKER_TLS | DOCKER_TLS_VERIFY | DOCKER_CERT_PATH | DOCKER_CUSTOM_HEADERS) ;;
        UV_DEFAULT_INDEX | UV_INDEX | UV_INDEX_* | UV_EXTRA_INDEX_URL | UV_FIND_LINKS | UV_OFFLINE) ;;
        UV_INSECURE_HOST | UV_KEYRING_PROVIDER | UV_HTTP_* | UV_CACHE_DIR | UV_NO_CACHE) ;;
        PYTHON* | PIP_* | UV_* | VIRTUAL_ENV | CONDA_PREFIX) unset "$variable" ;;
        DOCKER_* | COMPOSE_* | BUILDX_* | BUILDKIT_*) unset "$variable" ;;
    esac
done
unset variable CDPATH
# Another builder than the engine's own does not have the engine's images.
export DOCKER_BUILDKIT=1 BUILDX_BUILDER=default
# uv trusts whom the machine does, as pip does by itself.
export UV_SYSTEM_CERTS=true
# What is installed for the whole machine is for all its users, whatever one keeps for oneself.
umask 022
