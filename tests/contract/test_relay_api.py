"""The relay's control: Toxiproxy's API, request by request, the profiles, and the journal."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import pytest

from clients import relay as client
from clients.addresses import Address
from clients.relay import RelayError
from clients.tcp_echo import echo, exchange
from services.relay.profiles import PROFILES
from services.relay.server import PROXIES
from services.wire.record import from_json
from tests.support.drivers import DRIVERS, serving
from tests.support.pace import FAR, until
from tests.support.processes import Server, refuses_to_start
from tests.support.relay import ANY_PORTS, COMMAND, RelayUnderTest, relaying
from tests.support.sockets import LOOPBACK, connect, rest_of

UPSTREAM = f"{LOOPBACK}:9"
LATENCY = {"type": "latency", "attributes": {"latency": 5}}
SLICED = {
    "name": "slicer_upstream", "type": "slicer", "stream": "upstream", "toxicity": 0.5,
    "attributes": {"average_size": 10, "size_variation": 0, "delay": 0}, "seed": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[RelayUnderTest, Server]]:
    """Run a relay for the tests of this file."""
    with relaying() as found:
        yield found


@pytest.fixture
def relay(running: tuple[RelayUnderTest, Server]) -> Iterator[RelayUnderTest]:
    """Lend its control; afterwards it has its own proxies alone, without toxics."""
    control = running[0]
    yield control
    for name in control.proxies():
        if name not in PROXIES:
            control.delete(name)
    control.reset()


@pytest.fixture
def p(relay: RelayUnderTest) -> str:
    """Make a proxy named `p`, which leads nowhere."""
    relay.create("p", UPSTREAM)
    return "p"


def ask(
    relay: RelayUnderTest, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, Any]:
    """Return the status of an answer and its document; a `str` is sent as it is."""
    with closing(http.client.HTTPConnection(*relay.address, timeout=FAR)) as connection:
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, text, named)
        response = connection.getresponse()
        received = response.read()
        if received:
            assert response.headers["Content-Type"] == "application/json"
        return response.status, json.loads(received) if received else None


def error(text: str, status: int) -> tuple[int, Any]:
    """Return what `ask` does for an error."""
    return status, {"error": text, "status": status}


def test_version(relay: RelayUnderTest) -> None:
    """That of the Toxiproxy whose API it is."""
    assert ask(relay, "GET", "/version") == (200, {"version": "2.12.0"})


def test_the_checks_of_the_client_hold(relay: RelayUnderTest) -> None:
    """Those that `make demo` makes, and the health check."""
    client.health(relay.address, FAR)
    for check in client.CHECKS:
        check.run(relay.address)


def test_each_service_has_a_proxy(relay: RelayUnderTest) -> None:
    """By the name of the service, in its protocol, to where it is by default."""
    status, found = ask(relay, "GET", "/proxies")
    assert status == 200
    for name, (port, protocol) in PROXIES.items():
        assert found[name] == {
            "name": name, "listen": found[name]["listen"], "upstream": f"{LOOPBACK}:{port - 20}",
            "enabled": True, "protocol": protocol, "seed": None, "toxics": [],
        }  # fmt: skip


def test_a_proxy_is_made_shown_and_removed(relay: RelayUnderTest) -> None:
    """Port 0 has become a number by then, and it listens there until it is removed."""
    status, made = ask(
        relay,
        "POST",
        "/proxies",
        {"name": "a/b ü", "listen": f"{LOOPBACK}:0", "upstream": UPSTREAM},
    )
    assert status == 201
    place = Address(*made["listen"].split(":"))
    assert int(place.port) > 0
    assert made == {
        "name": "a/b ü", "listen": made["listen"], "upstream": UPSTREAM, "enabled": True,
        "protocol": "tcp", "seed": None, "toxics": [],
    }  # fmt: skip
    path = client.path("proxies", "a/b ü")
    assert ask(relay, "GET", path) == (200, made)
    with suppress(ConnectionResetError):  # as nobody is where it leads to
        connect(Address(LOOPBACK, int(place.port))).close()
    assert ask(relay, "DELETE", path) == (204, None)
    assert ask(relay, "GET", path) == error("proxy not found", 404)
    with pytest.raises(ConnectionRefusedError):
        connect(Address(LOOPBACK, int(place.port)))


@pytest.mark.parametrize("listen", ["", ":0", "127.0.0.1:0", "localhost:0", "[::1]:0"])
def test_a_proxy_listens_where_it_is_told(relay: RelayUnderTest, listen: str) -> None:
    """Without a host, where the control does; without a port, on any."""
    made = relay.create("p", UPSTREAM, listen)
    assert made["listen"].startswith("[::1]:" if "::1" in listen else f"{LOOPBACK}:")


def test_a_proxy_can_be_made_with_all_that_it_has(relay: RelayUnderTest) -> None:
    """Disabled, of UDP, with a seed, and with toxics."""
    loss = {"type": "packet_loss", "stream": "upstream", "attributes": {"loss_rate": 0.25}}
    made = relay.create("p", UPSTREAM, protocol="udp", enabled=False, seed=4, toxics=[loss])
    assert (made["enabled"], made["protocol"], made["seed"]) == (False, "udp", 4)
    assert made["toxics"] == [{
        "attributes": {"loss_rate": 0.25, "correlation": 0.0}, "name": "packet_loss_upstream",
        "type": "packet_loss", "stream": "upstream", "toxicity": 1.0, "seed": None,
    }]  # fmt: skip


BAD = "bad request body: "


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{", BAD + "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[]", BAD + "[] is not an object"),
        ("[" * 100_000, BAD),
        ("\xff", BAD),
        ({"name": 5}, BAD + "name has value 5. Not a string"),
        ({"name": "\ud800", "upstream": UPSTREAM}, BAD + 'name has value "\\ud800". Not at most 300'
         " characters of Unicode"),
        ({"name": "q" * 301, "upstream": UPSTREAM}, BAD + 'name has value "qqq'),
        ({"name": "q", "upstream": UPSTREAM, "listen": "\udcff:0"}, BAD + "listen has value"),
        ({"name": "q", "upstream": UPSTREAM, "enabled": 1}, BAD + "enabled has value 1. Not true or"
         " false"),
        ({"name": "q", "upstream": UPSTREAM, "seed": -1}, BAD + "seed has value -1. Not a whole"),
        ({"name": "q", "upstream": UPSTREAM, "protocol": "sctp"}, BAD + "protocol has value 'sctp'."
         " Not tcp or udp"),
        ({"name": "q", "upstream": "nowhere"}, BAD + "a host:port"),
        ({"name": "q", "upstream": UPSTREAM, "listen": "x:99999"}, BAD + "listen has value"),
        ({"name": "q", "upstream": UPSTREAM, "toxics": [5]}, BAD + "5 is not an object"),
        ({}, "missing required field: name"),
        ({"name": ""}, "missing required field: name"),
        ({"name": "q"}, "missing required field: upstream"),
        ({"name": "q", "upstream": None}, "missing required field: upstream"),
    ],
)  # fmt: skip
def test_a_proxy_that_cannot_be_made_is_a_bad_request(
    relay: RelayUnderTest, body: object, text: str
) -> None:
    """The text says which field, and which value."""
    status, document = ask(relay, "POST", "/proxies", body)
    assert (status, document["status"]) == (400, 400)
    assert document["error"].startswith(text)


def test_a_body_is_not_larger_than_it_may_be(relay: RelayUnderTest) -> None:
    """Nor read any further."""
    body = '"' + "x" * 1024 * 1024 + '"'
    assert ask(relay, "POST", "/proxies", body) == error(BAD + "larger than 1048576 bytes", 400)


def test_two_proxies_cannot_have_one_name(relay: RelayUnderTest, p: str) -> None:
    """And the one that is there stays."""
    wanted = error("proxy already exists", 409)
    assert ask(relay, "POST", "/proxies", {"name": p, "upstream": UPSTREAM}) == wanted


def test_a_proxy_that_cannot_listen_is_not_made(relay: RelayUnderTest, p: str) -> None:
    """As the port is taken, or the host is none."""
    taken = relay.proxy(p)["listen"]
    body = {"name": "q", "upstream": UPSTREAM, "listen": taken}
    wanted = error(f"listen tcp {taken}: Address already in use", 500)
    assert ask(relay, "POST", "/proxies", body) == wanted
    body["listen"] = "no.such.host.invalid:0"
    assert ask(relay, "POST", "/proxies", body) == error(
        "listen tcp no.such.host.invalid:0: no such host", 500
    )
    assert ask(relay, "GET", "/proxies/q") == error("proxy not found", 404)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_proxy_is_changed(relay: RelayUnderTest, p: str, method: str) -> None:
    """What is not named stays; the toxics too, though another place to listen is a new start."""
    relay.add_toxic(p, "latency", latency=5)
    before = relay.proxy(p)
    status, after = ask(relay, method, "/proxies/p", {"upstream": f"{LOOPBACK}:7"})
    assert (status, after) == (200, {**before, "upstream": f"{LOOPBACK}:7"})
    status, after = ask(relay, method, "/proxies/p", {"enabled": False, "seed": 9})
    assert (after["enabled"], after["seed"], after["toxics"]) == (False, 9, before["toxics"])
    status, after = ask(relay, method, "/proxies/p", {"listen": f"{LOOPBACK}:0", "enabled": True})
    assert after["enabled"]
    assert after["listen"] != before["listen"]
    assert ask(relay, method, "/proxies/p", "{")[0] == 400
    assert ask(relay, method, "/proxies/none", {}) == error("proxy not found", 404)
    taken = relay.proxy("kv")["listen"]
    assert ask(relay, method, "/proxies/p", {"listen": taken})[0] == 500
    assert not relay.proxy(p)["enabled"]


def test_populate_leaves_what_is_the_same_alone(relay: RelayUnderTest, p: str) -> None:
    """A proxy that listens or leads elsewhere is made anew, without its toxics."""
    relay.add_toxic(p, "latency", latency=5)
    same = relay.proxy(p)
    place = same["listen"].replace(LOOPBACK, "localhost")
    body = [{"name": p, "listen": place, "upstream": UPSTREAM},
            {"name": "q", "listen": ":0", "upstream": UPSTREAM, "enabled": False}]  # fmt: skip
    status, document = ask(relay, "POST", "/populate", body)
    assert status == 201
    assert document["proxies"][0] == same
    assert not document["proxies"][1]["enabled"]
    body[0]["upstream"] = f"{LOOPBACK}:7"
    assert ask(relay, "POST", "/populate", body)[1]["proxies"][0]["toxics"] == []


@pytest.mark.parametrize(
    ("body", "text", "status"),
    [
        ({}, BAD + "not an array of objects", 400),
        ([1], BAD + "1 is not an object", 400),
        ([{"name": "q", "upstream": UPSTREAM}, {"upstream": UPSTREAM}],
         "missing required field: name at proxy 2", 400),
        ([{"name": "q"}], "missing required field: upstream at proxy 1", 400),
    ],
)  # fmt: skip
def test_populate_checks_everything_first(
    relay: RelayUnderTest, body: object, text: str, status: int
) -> None:
    """And then nothing has been made."""
    wanted = (status, {"error": text, "status": status, "proxies": []})
    assert ask(relay, "POST", "/populate", body) == wanted
    assert "q" not in relay.proxies()


def test_populate_says_what_it_has_made_before_an_error(relay: RelayUnderTest) -> None:
    """Here the second one cannot listen."""
    taken = relay.proxy("kv")["listen"]
    body = [{"name": name, "listen": listen, "upstream": UPSTREAM}
            for name, listen in (("q", ":0"), ("r", taken), ("s", ":0"))]  # fmt: skip
    status, document = ask(relay, "POST", "/populate", body)
    assert (status, document["status"]) == (500, 500)
    assert document["error"] == f"listen tcp {taken}: Address already in use"
    assert [proxy["name"] for proxy in document["proxies"]] == ["q"]


def test_a_toxic_is_added_changed_and_removed(relay: RelayUnderTest, p: str) -> None:
    """With the defaults of Toxiproxy."""
    made = {
        "attributes": {"latency": 5, "jitter": 0}, "name": "latency_downstream", "type": "latency",
        "stream": "downstream", "toxicity": 1.0, "seed": None,
    }  # fmt: skip
    assert ask(relay, "POST", "/proxies/p/toxics", LATENCY) == (200, made)
    assert ask(relay, "POST", "/proxies/p/toxics", SLICED) == (200, SLICED)
    assert ask(relay, "GET", "/proxies/p/toxics") == (200, [SLICED, made])  # upstream first
    assert relay.proxy(p)["toxics"] == [SLICED, made]
    path = "/proxies/p/toxics/latency_downstream"
    assert ask(relay, "GET", path) == (200, made)
    for method in ("POST", "PATCH"):
        change = {"attributes": {"jitter": 3}, "toxicity": 0.5, "type": "x", "stream": "upstream"}
        changed = {**made, "attributes": {"latency": 5, "jitter": 3}, "toxicity": 0.5}
        assert ask(relay, method, path, change) == (200, changed)
    assert ask(relay, "DELETE", path) == (204, None)
    for method in ("GET", "POST", "PATCH", "DELETE"):
        assert ask(relay, method, path, {}) == error("toxic not found", 404)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{", BAD),
        ({"type": "latency", "stream": "sideways"},
         "stream was invalid, can be either upstream or downstream"),
        ({"type": "nothing"}, "invalid toxic type"),
        ({}, "invalid toxic type"),
        ({"type": "blackhole"}, "invalid toxic type"),  # it is one of UDP
        ({**LATENCY, "name": "\udfff"}, BAD + 'name has value "\\udfff"'),
        ({**LATENCY, "toxicity": 2}, BAD + "toxicity has value 2. Not a number from 0 to 1"),
        ({**LATENCY, "attributes": []}, BAD + "attributes has value []. Not an object"),
        ({**LATENCY, "attributes": {"latency": 0.5}}, BAD + "latency has value 0.5. Not a whole"),
        ({**LATENCY, "attributes": {"latency": -1}}, BAD + "attribute latency has value -1."),
        ({**LATENCY, "attributes": {"latency": 2**63}}, BAD + "attribute latency has value"
         " 9223372036854775808. Not a whole number from 0 to 9223372036854775807"),
        ({**LATENCY, "attributes": {"latencey": 1}},
         BAD + "attribute 'latencey' is not one of this type's, which are: latency, jitter"),
    ],
)  # fmt: skip
def test_a_toxic_that_cannot_be_is_a_bad_request(
    relay: RelayUnderTest, p: str, body: object, text: str
) -> None:
    """The text says what is wrong with it."""
    status, document = ask(relay, "POST", "/proxies/p/toxics", body)
    assert (status, document["status"]) == (400, 400)
    assert document["error"].startswith(text)
    assert relay.proxy(p)["toxics"] == []


def test_a_stream_is_known_in_capitals_too(relay: RelayUnderTest, p: str) -> None:
    """As in Toxiproxy."""
    assert relay.add_toxic(p, "latency", "Upstream")["stream"] == "upstream"


def test_errors_of_toxics(relay: RelayUnderTest, p: str) -> None:
    """No such proxy, a name that is taken, a change that cannot be."""
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/t"), ("PATCH", "/t"),
                         ("DELETE", "/t")):  # fmt: skip
        assert ask(relay, method, f"/proxies/none/toxics{path}", LATENCY) == error(
            "proxy not found", 404
        )
    relay.add_toxic(p, "latency", name="t")
    again = {**LATENCY, "name": "t", "stream": "upstream"}
    assert ask(relay, "POST", "/proxies/p/toxics", again) == error("toxic already exists", 409)
    status, _ = ask(relay, "PATCH", "/proxies/p/toxics/t", {"attributes": {"jitter": "x"}})
    assert status == 400


def test_reset_enables_all_and_drops_all_toxics(relay: RelayUnderTest, p: str) -> None:
    """Without a body, as Toxiproxy's clients send it."""
    relay.add_toxic(p, "latency")
    relay.update(p, enabled=False)
    assert ask(relay, "POST", "/reset") == (204, None)
    after = relay.proxy(p)
    assert (after["enabled"], after["toxics"]) == (True, [])


def test_reset_drops_all_toxics_though_a_proxy_cannot_listen(relay: RelayUnderTest) -> None:
    """Its port was taken while it was disabled."""
    relay.create("q", UPSTREAM, relay.proxy("kv")["listen"], enabled=False, toxics=[LATENCY])
    relay.create("r", UPSTREAM, toxics=[LATENCY])
    assert ask(relay, "POST", "/reset")[0] == 500
    assert [each for proxy in relay.proxies().values() for each in proxy["toxics"]] == []
    relay.delete("q")
    assert ask(relay, "POST", "/reset") == (204, None)


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("GET", "/", error("not found", 404)),
        ("GET", "/proxies/p/other", error("not found", 404)),
        ("PUT", "/proxies", error("method not allowed", 405)),
        ("DELETE", "/version", error("method not allowed", 405)),
    ],
)
def test_what_there_is_not(
    relay: RelayUnderTest, method: str, path: str, wanted: tuple[int, Any]
) -> None:
    """These errors too are documents."""
    assert ask(relay, method, path) == wanted


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/version", "GET, HEAD"),
        ("/proxies", "GET, HEAD, POST"),
        ("/proxies/kv/toxics/t", "DELETE, GET, HEAD, PATCH, POST"),
    ],
)
def test_a_method_that_there_is_not_is_answered_with_those_that_there_are(
    relay: RelayUnderTest, path: str, methods: str
) -> None:
    """As RFC 9110, 15.5.6, has it: those of all routes to this path."""
    with closing(http.client.HTTPConnection(*relay.address, timeout=FAR)) as connection:
        connection.request("PUT", path)
        response = connection.getresponse()
        assert (response.status, response.headers["Allow"]) == (405, methods)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_browsers_stay_out(relay: RelayUnderTest, method: str) -> None:
    """By their User-Agent as in Toxiproxy, by a foreign Host, and by a foreign Origin."""
    asked = method, "/reset" if method == "POST" else "/version"
    assert ask(relay, *asked, User_Agent="Mozilla/5.0") == error("User agent not allowed", 403)
    assert ask(relay, *asked, Host="evil.example")[0] == 421
    assert ask(relay, *asked, Origin="http://evil.example")[0] == 403
    for host in ("localhost:8474", "127.0.0.1", "[::1]:1", "relay:8474", "relay"):
        assert ask(relay, *asked, Host=host)[0] in (200, 204)


def test_other_names_can_be_set() -> None:
    """WIRELAB_HOSTS has them."""
    with relaying(WIRELAB_HOSTS="lab.example") as (control, _):
        assert ask(control, "GET", "/version", Host="lab.example:80")[0] == 200


@pytest.mark.parametrize("upstream", ["example.com:80", "192.0.2.1:80", "tcp-echo:20000"])
def test_only_allowed_hosts_can_be_led_to(relay: RelayUnderTest, upstream: str) -> None:
    """For a process, those are loopback's."""
    status, document = ask(relay, "POST", "/proxies", {"name": "q", "upstream": upstream})
    host = upstream.split(":")[0]
    assert (status, document["error"]) == (
        403, f"upstream '{upstream}' is not allowed: WIRELAB_RELAY_UPSTREAMS has no host '{host}'",
    )  # fmt: skip


@pytest.mark.parametrize("host", [LOOPBACK, "localhost", "[::1]"])
def test_no_proxy_leads_to_the_relay_or_the_console(relay: RelayUnderTest, host: str) -> None:
    """Neither a new one nor one that is changed."""
    ports = (relay.address.port, relay.listening("kv").port, 8090)
    relay.create("p", UPSTREAM)
    for port in ports:
        where = f"{host}:{port}"
        wanted = error(f"upstream '{where}' is not allowed: it is the relay's own, or the"
                       " console's", 403)  # fmt: skip
        assert ask(relay, "POST", "/proxies", {"name": "q", "upstream": where}) == wanted
        assert ask(relay, "PATCH", "/proxies/p", {"upstream": where}) == wanted


def test_nor_by_a_name_that_resolves_to_it(relay: RelayUnderTest) -> None:
    """So that is looked at once more when it is connected: here the port came to be its own."""
    with socket.create_server((LOOPBACK, 0)) as holder:
        port = holder.getsockname()[1]
    with relay.proxied(f"{LOOPBACK}:{port}") as address:
        relay.create("q", UPSTREAM, f"{LOOPBACK}:{port}")
        with pytest.raises(ConnectionResetError), connect(address) as stream:
            rest_of(stream)
        assert [each.kind for each in relay.ended()] == ["refused"]


def test_a_profile_is_the_toxics_of_all_proxies(relay: RelayUnderTest) -> None:
    """Instead of those that there were; clean is none."""
    relay.add_toxic("kv", "slicer")
    assert relay.profile()["name"] == "custom"
    for name, profile in PROFILES.items():
        after = relay.set_profile(name, seed=7)
        assert (after["name"], after["seed"], set(after["profiles"])) == (name, 7, set(PROFILES))
        for proxy in relay.proxies().values():
            kinds = sorted(toxic["type"] for toxic in proxy["toxics"])
            assert kinds == sorted([*profile[proxy["protocol"]]] * 2)
    relay.set_profile("3g")
    (latency,) = [each for each in relay.proxy("rest")["toxics"]
                  if each["name"] == "latency_upstream"]  # fmt: skip
    assert latency["attributes"] == {"latency": 125, "jitter": 0}
    relay.set_profile("clean", seed=1)
    assert relay.profile()["name"] == "clean"


@pytest.mark.parametrize(
    ("body", "text"),
    [({}, "missing required field: name"), ({"name": "5g"}, BAD + "name has value '5g'. Not a"
      " profile, which are: clean, 3g, satellite, lossy, cut"),
     ({"name": "3g", "seed": "x"}, BAD + 'seed has value "x". Not a whole number')],
)  # fmt: skip
def test_a_profile_that_there_is_not(relay: RelayUnderTest, body: object, text: str) -> None:
    """The text says which there are."""
    assert ask(relay, "POST", "/profile", body) == error(text, 400)


def test_a_proxy_that_comes_or_goes_with_its_toxics_is_in_the_profile(
    relay: RelayUnderTest,
) -> None:
    """One that cannot be made is not."""
    relay.reset()
    body = {"name": "kv", "upstream": UPSTREAM, "toxics": [LATENCY]}
    assert ask(relay, "POST", "/proxies", body)[0] == 409
    assert relay.profile()["name"] == "clean"
    made = relay.create("q", UPSTREAM, toxics=[LATENCY])
    assert relay.profile()["name"] == "custom"
    relay.populate([{"name": "q", "upstream": f"{LOOPBACK}:7", "listen": made["listen"]}])
    assert relay.profile()["name"] == "clean"
    relay.add_toxic("q", "latency")
    relay.delete("q")
    assert relay.profile()["name"] == "clean"


def test_a_cut_that_is_over_leaves_nothing_broken(relay: RelayUnderTest) -> None:
    """The bytes of an open connection were on their way, and arrive."""
    with (
        serving(DRIVERS["tcp-echo"][0]) as server,
        relay.proxied(server.address) as address,
        connect(address) as stream,
    ):
        stream.sendall(b"a")
        assert stream.recv(1) == b"a"
        relay.set_profile("cut")
        stream.sendall(b"b")
        until(lambda: relay.metrics()["wirelab_relay_waiting_bytes"], "it waits")
        relay.set_profile("clean")
        assert stream.recv(1) == b"b"


def test_metrics(relay: RelayUnderTest) -> None:
    """Bytes in each direction as Toxiproxy counts them, connections, and what toxics did."""
    with serving(DRIVERS["tcp-echo"][0]) as server, relay.proxied(server.address) as address:
        relay.add_toxic("p", "latency", latency=1)
        assert exchange(address, b"12345") == b"12345"
        relay.ended()
        listen = relay.proxy("p")["listen"]
        metrics = relay.metrics()
        for direction in ("upstream", "downstream"):
            labels = (f'{{direction="{direction}",listener="{listen}",proxy="p",'
                      f'upstream="{server.address}"}}')  # fmt: skip
            for what in ("received", "sent"):
                assert metrics[f"toxiproxy_proxy_{what}_bytes_total{labels}"] == 5
        assert metrics['wirelab_relay_connections_total{protocol="tcp",proxy="p"}'] == 1
        labels = '{direction="downstream",proxy="p",toxic="latency_downstream"}'
        assert metrics[f"wirelab_relay_actions_total{labels}"] >= 1


def test_metrics_are_read_whatever_a_proxy_is_called(relay: RelayUnderTest) -> None:
    """Of the ends of a line, the format escapes the line feed alone."""
    name = 'a "b"\r\n\v\u2028\\ 1'
    relay.create(name, UPSTREAM)
    found = [key for key in relay.metrics() if "\u2028" in key]
    assert len(found) == 5  # two directions received and sent, and connections


def journal(
    relay: RelayUnderTest, query: str, **headers: str
) -> tuple[int, str | None, list[tuple[str, str]]]:
    """Return the status, the type and the events of the journal."""
    with closing(http.client.HTTPConnection(*relay.address, timeout=FAR)) as connection:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", f"/journal{query}", headers=named)
        response = connection.getresponse()
        events = list(client.events(response))
        return response.status, response.headers["Content-Type"], events


def numbers(events: list[tuple[str, str]]) -> list[int]:
    """Return the numbers of the records among events."""
    return [from_json(json.loads(text)).number for kind, text in events if kind == "record"]


def test_the_journal_is_read_from_any_number_on(relay: RelayUnderTest) -> None:
    """And again from the last one that was read; not one is twice, and none is left out."""
    with relay.proxied(UPSTREAM) as address:
        for _ in range(3):
            with pytest.raises(ConnectionResetError), connect(address) as stream:
                rest_of(stream)
        found = [record.number for record in relay.ended(3)]
    status, kind, events = journal(relay, f"?follow=0&from={found[0]}")
    assert (status, kind) == (200, "text/event-stream; charset=utf-8")
    assert numbers(events)[:3] == found
    assert numbers(journal(relay, "?follow=0", Last_Event_ID=str(found[0]))[2])[:2] == found[1:]
    assert numbers(journal(relay, f"?follow=0&from={found[2] + 1}")[2]) == []
    # A number from before a restart of the relay.
    assert numbers(journal(relay, "?follow=0&from=999999999999")[2]) == []
    for query, headers in (("?from=x", {}), ("?from=-1", {}), ("", {"Last_Event_ID": "x"})):
        assert journal(relay, query, **headers)[0] == 400


def test_who_follows_the_journal_gets_what_is_to_come(relay: RelayUnderTest) -> None:
    """As it happens."""
    start = int(relay.metrics()["wirelab_relay_journal_records_total"]) + 1
    following = relay.journal(start, follow=True)
    with serving(DRIVERS["tcp-echo"][0]) as server, relay.proxied(server.address) as address:
        assert exchange(address, b"x") == b"x"
        kinds = [(record.kind, record.stream, record.data) for record in
                 (next(following) for _ in range(3))]  # fmt: skip
        assert kinds == [
            ("open", "upstream", b""), ("data", "upstream", b"x"), ("data", "downstream", b"x"),
        ]  # fmt: skip


def test_a_reader_that_does_not_read_delays_nobody(
    relay: RelayUnderTest, running: tuple[RelayUnderTest, Server]
) -> None:
    """It is told how many records it has lost; the relay does not keep them for it."""
    with (
        serving(DRIVERS["tcp-echo"][0]) as server,
        relay.proxied(server.address) as address,
        closing(http.client.HTTPConnection(*relay.address, timeout=FAR)) as connection,
    ):
        connection.request("GET", f"/journal?from={relay.since}")
        response = connection.getresponse()
        before = 0
        for turn in range(15):
            echo(address, bytes(4 * 1024 * 1024), FAR)
            if turn == 5:
                before = running[1].memory
        assert running[1].memory - before < 16 * 1024 * 1024
        lost = next(text for kind, text in client.events(response) if kind == "lost")
        assert json.loads(lost)["count"] > 0


def test_readers_of_the_journal_are_bounded_and_leave(relay: RelayUnderTest) -> None:
    """Each has its place again as soon as it is gone."""
    with ExitStack() as opened:
        streams = []
        for _ in range(32):
            stream = opened.enter_context(connect(relay.address))
            stream.sendall(b"GET /journal?from=999999999 HTTP/1.1\r\nHost: relay\r\n\r\n")
            streams.append(stream)
            assert stream.recv(15) == b"HTTP/1.1 200 OK"
        with pytest.raises(RelayError, match="32 others read the journal"):
            list(relay.journal())
    until(lambda: journal(relay, "?follow=0")[0] == 200, "a place is free", every=0.1)


def test_a_client_that_leaves_in_the_middle_of_a_body_is_no_error(
    relay: RelayUnderTest, running: tuple[RelayUnderTest, Server]
) -> None:
    """Nothing is to be read in the log then."""
    with connect(relay.address) as client:
        client.sendall(b"POST /proxies HTTP/1.1\r\nHost: relay\r\nContent-Length: 9\r\n\r\n{")
        relay.version()  # which is behind it in the event loop
    relay.version()
    assert "Traceback" not in running[1].log


def test_a_proxy_listens_where_its_settings_say() -> None:
    """Elsewhere than the control, where they do."""
    with relaying(WIRELAB_RELAY_KV_HOST="127.0.0.3", WIRELAB_RELAY_RPC_HOST="::1") as (relay, _):
        hosts = {name: relay.listening(name).host for name in relay.proxies()}
    assert (hosts.pop("kv"), hosts.pop("rpc")) == ("127.0.0.3", "::1")
    assert set(hosts.values()) == {relay.address.host}


def test_a_setting_that_is_wrong_is_named() -> None:
    """In one line, which says what it should have been."""
    for name, value, wanted in (
        ("UPSTREAMS", "kv=nowhere", "a host:port"),
        ("SEED", "x", "a whole number"),
        ("KV_PORT", "x", "a port number"),
        ("KV_HOST", "localhost", "an IP address"),
    ):
        variable = f"WIRELAB_RELAY_{name}"
        settings = {"WIRELAB_PORT": "0", **ANY_PORTS, variable: value}
        line = refuses_to_start(COMMAND, **settings)
        assert line.startswith(f"{variable} has value {value!r}. Not {wanted}")
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = str(taken.getsockname()[1])
        settings = {**ANY_PORTS, "WIRELAB_RELAY_KV_PORT": port}
        line = refuses_to_start(COMMAND, WIRELAB_PORT="0", **settings)
        assert line == (f"WIRELAB_RELAY_KV_PORT has value '{port}'. listen tcp :{port}:"
                        " Address already in use")  # fmt: skip
