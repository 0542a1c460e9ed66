"""What the console's page is made of: sentences, views, controls, pictures; all of it escaped."""

import re
from string import Formatter
from xml.etree import ElementTree

import pytest

from clients.addresses import Address
from lab import ROOT
from services.console import exchanges, network, rendering, stack, wire
from services.console.network import CONTROLS, BadSetting, Network, Proxy, proxy_of
from services.console.rendering import identifier, render
from services.console.stack import Server
from services.console.view import View, view_of
from services.console.wire import Row
from services.console.words import say, sentences
from services.console.workshop import Workshop
from services.relay.profiles import PROFILES
from services.relay.proxy import TOXICS
from services.wire.conversation import SERVICES
from services.wire.sparkline import sparkline

FOLDER = ROOT / "services/console"
HOSTILE = "<script>alert('&\x1b[31m\u202e\"')</script>"


def test_every_sentence_is_in_both_languages_with_the_same_figures() -> None:
    """Nothing is left to be translated."""
    for name, sentence in sentences().items():
        assert set(sentence) == {"en", "zh"}, name
        figures = [
            sorted({field for _, field, _, _ in Formatter().parse(text) if field})
            for text in sentence.values()
        ]
        assert figures[0] == figures[1], name


def test_every_sentence_is_said_somewhere() -> None:
    """Names are in templates and modules, or are made of those of services and toxics."""
    sources = "".join(
        path.read_text() for path in (*FOLDER.glob("*.py"), *FOLDER.glob("templates/*.html"))
    )
    kinds = {control.type for controls in CONTROLS.values() for control in controls}
    made = {f"say_{name}" for name in SERVICES} | {f"toxic_{kind}" for kind in kinds}
    made |= {f"link_{state}" for state in ("off", "live", "lost")}
    assert [name for name in sentences() if name not in made and f'"{name}"' not in sources] == []
    assert made <= set(sentences())


@pytest.mark.parametrize("name", re.findall(r'say\("([\w-]+)"(?! ~)', "".join(
    path.read_text() for path in FOLDER.glob("templates/*.html"))))  # fmt: skip
def test_what_a_template_says_is_there(name: str) -> None:
    """By its name."""
    assert name in sentences()


def test_a_view_is_in_its_url() -> None:
    """And nothing that cannot be."""
    view = View("zh", "rpc", True)
    assert view.url("/wire", "conversation", proxy="a b&c") == (
        "/wire?language=zh&service=rpc&present=1&proxy=a+b%26c#conversation"
    )
    assert view_of({"language": "zh", "service": "rpc", "present": "1"}) == view
    assert view_of({"language": "tlh", "service": "<b>", "present": "2"}) == View()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_there_is_a_control_for_each_toxic_of_the_relay(protocol: str) -> None:
    """Its slider is for an attribute that the relay knows, from values that it takes."""
    kinds = TOXICS[protocol]  # type: ignore[index]
    assert {control.type for control in CONTROLS[protocol]} == set(kinds)
    for control in CONTROLS[protocol]:
        attributes = kinds[control.type].attributes
        assert not control.attribute or control.attribute in attributes
        assert bool(control.attribute) == bool(attributes)
        assert control.least <= control.default <= control.most
        assert isinstance(attributes.get(control.attribute), float) == (control.unit == "%")


def proxy(name: str = "rpc", protocol: str = "tcp", **more: object) -> Proxy:
    """Return a proxy as the relay describes it."""
    document = {"name": name, "protocol": protocol, "upstream": "rpc:17000", "enabled": True,
                "toxics": [], **more}  # fmt: skip
    return proxy_of(document)


def toxic(kind: str, stream: str, **attributes: float) -> dict[str, object]:
    """Return a toxic as the relay describes it."""
    return {"name": f"{kind}_{stream}", "type": kind, "stream": stream, "attributes": attributes}


def test_what_the_relay_does_is_on_the_controls() -> None:
    """In which direction, and by how much; what there is no control for is named."""
    found = proxy(toxics=[
        toxic("latency", "upstream", latency=70, jitter=3), toxic("latency", "downstream"),
        toxic("packet_loss", "upstream", loss_rate=0.35), toxic("gravity", "upstream"),
    ])  # fmt: skip
    shown = {each.control.type: (each.value, each.stream) for each in found.active}
    assert shown == {"latency": (70, "both"), "packet_loss": (35, "upstream")}
    assert found.others == ("gravity",)
    assert not found.is_clean
    assert proxy().is_clean
    assert not proxy(enabled=False).is_clean


@pytest.mark.parametrize(
    ("kind", "attributes", "slider"),
    [
        ("latency", {"latency": 500}, (0, 5000, 50, 500)),
        ("latency", {"latency": 125}, (0, 5000, 25, 125)),
        ("latency", {"latency": 7}, (0, 5000, 1, 7)),
        ("latency", {"latency": 60_000}, (0, 60_000, 50, 60_000)),
        ("slicer", {"average_size": 0}, (0, 500, 1, 0)),
        ("packet_loss", {"loss_rate": 0.35}, (0, 100, 5, 35)),
        ("packet_loss", {"loss_rate": 0.015}, (0, 100, 0.5, 1.5)),
        ("packet_loss", {"loss_rate": 0.002}, (0, 100, 0.2, 0.2)),
        ("packet_loss", {"loss_rate": 1 / 3}, (0, 100, 0.001, 33.333)),
    ],
)
def test_a_slider_can_have_the_value_that_there_is(
    kind: str, attributes: dict[str, float], slider: tuple[float, ...]
) -> None:
    """A browser would move it to the next one that it can have, and send that."""
    (found,) = proxy(toxics=[toxic(kind, "upstream", **attributes)]).active
    assert (found.least, found.most, found.step, found.value) == slider


@pytest.mark.parametrize(
    ("name", "made"),
    [("rpc", "rpc"), ("tcp-echo-forked", "tcp-echo-forked"), ("a b", None), ("<b>", None)],
)
def test_an_id_is_made_of_any_name(name: str, made: str | None) -> None:
    """It has no character that an id cannot have."""
    assert identifier(name) == made or made is None
    assert re.fullmatch(r"[a-z0-9-]+", identifier(name))
    assert identifier("a b") != identifier("a  b")


@pytest.fixture
def _shared() -> None:
    """Have a token, as a process has one."""
    rendering.prepare(token="t", boot="b")


@pytest.mark.usefixtures("_shared")
@pytest.mark.parametrize("language", ["en", "zh"])
def test_whatever_is_shown_is_escaped(language: str) -> None:
    """Names, problems, summaries and answers are text, whoever has made them."""
    view = View(language)
    found = Network()
    found.profile, found.profiles = HOSTILE, (HOSTILE,)
    found.proxies = (proxy(HOSTILE, upstream=HOSTILE, toxics=[toxic(HOSTILE, "upstream")]),)
    server = Server(HOSTILE, "rpc", Address("127.0.0.1", 1), lambda _: 0.0)
    server.healthy, server.problem = False, HOSTILE
    row = Row(HOSTILE, 1, 1.0, HOSTILE, 1, 1, False)
    outcome = exchanges.Outcome(1.0, (HOSTILE,), HOSTILE)
    quiet = wire.Wire()
    quiet.problem = HOSTILE
    pages = [
        *(element.render() for element in found.elements(view)),
        render("server", view, server=server),
        render("conversations", view, rows=[row], wire=quiet),
        render("outcome", view, service="rpc", outcome=outcome),
        render("problem", view, problem=HOSTILE),
    ]
    for page in pages:
        assert "<script" not in page
        assert "&lt;script&gt;" in page or "script" not in page
    assert sum("&lt;script&gt;" in page for page in pages) >= 6


def test_a_sparkline_has_what_is_missing() -> None:
    """Lines between, a mark for each that failed, a dot for the latest."""
    picture = ElementTree.fromstring(sparkline([1.0, 2.0, None, 4.0], 10, "<latency>"))  # noqa: S314
    kinds = [child.tag.rpartition("}")[2] for child in picture]
    assert kinds == ["polyline", "polyline", "line", "circle"]
    assert picture.attrib["aria-label"] == "<latency>"
    assert [len(each.attrib["points"].split()) for each in picture[:2]] == [2, 1]
    assert float(picture[3].attrib["cy"]) == 2.0  # the most is at the top


@pytest.mark.parametrize("figures", [[], [None], [0.0], [None, 0.0, None]])
def test_a_sparkline_of_nothing_is_a_picture_too(figures: list[float | None]) -> None:
    """Without an error."""
    assert ElementTree.fromstring(sparkline(figures, 10, "")) is not None  # noqa: S314


@pytest.mark.parametrize(
    ("text", "args", "kwargs"),
    [
        ("", [], {}),
        ("2, 3", [2, 3], {}),
        ("y=2, x='a'", [], {"y": 2, "x": "a"}),
        ("[1, (2,)], {'a': None}", [[1, (2,)], {"a": None}], {}),
    ],
)
def test_arguments_are_written_as_in_python(
    text: str, args: list[object], kwargs: dict[str, object]
) -> None:
    """By position, and by keyword."""
    assert exchanges.arguments_in(text) == (args, kwargs)


@pytest.mark.parametrize(
    "text",
    ["x", "2) + f(3", "__import__('os')", "*[1]", "**{}", "(" * 500, "2 for a in b", "a.b", "\0"],
)
def test_other_arguments_are_none(text: str) -> None:
    """Nothing of them is run."""
    with pytest.raises(exchanges.BadField, match="arguments has value"):
        exchanges.arguments_in(text)


def test_variants_are_shown_while_they_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the drivers; one that has not answered for long is gone."""
    monkeypatch.setenv("WIRELAB_TCP_ECHO_FORKED_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("WIRELAB_TCP_ECHO_COROUTINES_ADDRESS", "127.0.0.1:2")
    answers = {1, 2}

    def poll(server: Server) -> None:
        server._note("" if server.where.port in answers else "no", 0.1)

    monkeypatch.setattr(Server, "poll", poll)
    found = stack.Stack(lambda _: 0.0)
    found.poll()
    variants = ["tcp-echo-coroutines", "tcp-echo-forked"]
    assert [server.name for server in found.servers][-2:] == variants
    answers.remove(1)
    for server in found.servers:
        server.poll()
    found.poll()
    assert found.failed[-1] == "tcp-echo-forked"
    found.servers[-1].failing_since = 1.0
    found.poll()
    assert [server.name for server in found.servers][-1] == "tcp-echo-coroutines"


def test_a_whole_number_is_what_a_form_may_have() -> None:
    """Others are named."""
    assert network.whole({"seed": " 7 "}, "seed", 0, 9) == 7
    for text in ("", "-1", "10", "x", "1e3", "٣", "1" * 100):
        with pytest.raises(BadSetting, match="seed has value"):
            network.whole({"seed": text}, "seed", 0, 9)


def test_the_profiles_of_the_relay_have_buttons() -> None:
    """Whatever they are called, an id can be made of it."""
    assert all(identifier(name) == name for name in PROFILES)


def test_without_a_class_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked for."""
    monkeypatch.delenv("WIRELAB_CLASS", raising=False)
    workshop = Workshop()
    workshop.poll()
    assert (workshop.address, workshop.problem, workshop.lessons) == (None, "", [])
    assert list(workshop.elements(View())) == []


def test_a_sentence_is_filled_in() -> None:
    """In the language that is asked for."""
    assert say("en", "all_answer", count=8) == "All 8 servers answer."
    assert "8" in say("zh", "all_answer", count=8)
