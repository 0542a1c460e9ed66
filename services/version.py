"""The version of wirelab: of its servers, clients, tasks, wheel and kit, which are one release."""

VERSION = "1.0.0"
