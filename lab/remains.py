"""What the engine still has of a lab, and why it stays."""

from lab.engine import docker


def remains(project: str) -> list[str]:
    """Return a sentence for each container and network of a lab that is there."""
    label = ("--filter", f"label=com.docker.compose.project={project}")
    containers = docker("ps", "--all", *label, "--format", "{{.Names}} ({{.Status}})").splitlines()
    return [
        *(f"container {container} stays" for container in containers),
        *map(network, docker("network", "ls", *label, "--format", "{{.Name}}").split()),
    ]


def network(name: str) -> str:
    """Return a sentence that says who keeps a network, and what to do."""
    found = docker("network", "inspect", name, "--format", "{{range .Containers}}{{.Name}} {{end}}")
    if not (containers := found.split()):
        return f"network {name} stays: `make down` again removes it"
    words = "container", "it", "is"
    if len(containers) > 1:
        words = "containers", "them", "are"
    return (
        f"network {name} stays: {words[0]} {', '.join(containers)} {words[2]} on it. Stop"
        f" {words[1]}, or `docker network disconnect -f {name} {containers[0]}`, then `make down`"
    )
