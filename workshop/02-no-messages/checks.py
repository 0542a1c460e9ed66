"""Lines, cut and joined on the wire in ways that no program can foresee."""

import os
import re
import time

from lab.workshop.check import Failed, Mine, check
from lab.workshop.client import Client

ANSWER = re.compile(rb"^\d+ ", re.MULTILINE)  # lines of ours have no digits
LONG = 600_000  # characters: more than the kernels hold between a server and a narrow client
SHORTENED = 50  # columns of what the file prints, in a picture


def word(count: int) -> str:
    """Return so many letters, by chance."""
    return "".join(chr(ord("a") + byte % 26) for byte in os.urandom(count))


def line(text: str) -> bytes:
    """Return a line as it is sent."""
    return f"{text}\n".encode()


def answer(*texts: str) -> bytes:
    """Return what should come back for these lines."""
    return "".join(f"{len(text)} {text.upper()}\n" for text in texts).encode()


def came(client: Client) -> bytes:
    """Return all that has come on a connection."""
    records = client.recording.records
    return b"".join(each.data for each in records if each.stream == "downstream")


def received(client: Client, wanted: bytes) -> bytes:
    """Return as many bytes as are wanted, or those that came if then nothing more did."""
    try:
        return client.receive(len(wanted))
    except Failed as failure:
        got = failure.figures.get("got")
        if failure.kind == "no_answer" and isinstance(got, bytes) and got:
            return got
        raise


def ask(client: Client, text: str) -> None:
    """Send a line, and take its answer."""
    client.send(line(text))
    if (got := received(client, answer(text))) != answer(text):
        raise Failed("wrong", asked=line(text), wanted=answer(text), got=got)


def note_calls(mine: Mine, client: Client) -> None:
    """Put what the file has printed of its calls into the picture, after what was sent last."""
    printed = [text for text in mine.log.splitlines() if text.startswith("received:")]
    sent = max(each.left or 0.0 for each in client.recording.records if each.stream == "upstream")
    for text in printed[len(client.recording.notes) :]:
        short = text if len(text) <= SHORTENED else text[:SHORTENED] + "…"
        client.recording.notes.append((sent + 1e-6, short))


@check("2.1")
def a_line(mine: Mine) -> dict[str, object]:
    """Ask with a line, with letters that are not of ASCII, and with an empty line."""
    text = word(8)
    with mine.connect() as client:
        ask(client, text)
        ask(client, "café")
        try:
            ask(client, "")
        except Failed as failure:
            if failure.kind == "no_answer":
                raise Failed("empty", waited=client.patience) from None
            raise
    return {"line": line(text), "answer": answer(text)}


@check("2.2")
def lines_together(mine: Mine) -> dict[str, object]:
    """Send some lines with one call, in one segment."""
    texts = [word(3 + byte % 5) for byte in os.urandom(3 + os.urandom(1)[0] % 5)]
    asked, wanted = b"".join(map(line, texts)), answer(*texts)
    with mine.connect() as client:
        client.send(asked)
        got = received(client, wanted)
        note_calls(mine, client)
        if got != wanted:
            raise Failed(count=len(texts), answers=len(ANSWER.findall(got)), asked=asked, got=got)
    return {"count": len(texts), "bytes": len(asked)}


@check("2.3")
def byte_by_byte(mine: Mine) -> dict[str, object]:
    """Send a line in as many segments as it has bytes."""
    text = word(9)
    *firsts, last = (bytes([byte]) for byte in line(text))
    with mine.connect() as client:
        for byte in firsts:
            client.send(byte)
            client.ends(0.03 * client.patience)
            note_calls(mine, client)
        client.ends(0.1 * client.patience)  # so that the line feed is received alone
        early = came(client)
        client.send(last)
        if early:
            client.ends(0.2 * client.patience)
            answers = len(ANSWER.findall(came(client)))
            note_calls(mine, client)
            raise Failed(count=len(text) + 1, answers=answers, got=early)
        got = received(client, answer(text))
        note_calls(mine, client)
        if got != answer(text):
            raise Failed("wrong", wanted=answer(text), got=got)
    return {"count": len(text) + 1}


@check("2.4")
def half_a_character(mine: Mine) -> dict[str, object]:
    """Cut a character in two: the first line's answer shows that the first half is there."""
    text = word(4)
    character = "欢".encode()
    cuts = [
        (line(text) + character[:2], answer(text)),
        (character[2:] + line("迎") + character[:1], answer("欢迎")),
        (character[1:] + line(""), answer("欢")),
    ]
    with mine.connect() as client:
        for piece, wanted in cuts:
            try:
                client.send(piece)
                got = received(client, wanted)
            except Failed as failure:
                note_calls(mine, client)
                if failure.kind in ("closed", "reset") and mine.status is not None:
                    raise Failed(status=mine.status) from None
                raise
            note_calls(mine, client)
            if got != wanted:
                raise Failed("mangled", wanted=wanted.decode(), got=got)
    return {"character": "欢", "first": character[:2], "second": character[2:]}


@check("2.5")
def a_long_line(mine: Mine) -> dict[str, object]:
    """Send a long line, and begin to read when the server has begun to send."""
    text = word(LONG)
    wanted = answer(text)
    with mine.connect(narrow=True) as client:
        client.send(line(text))
        client.silent(client.patience)
        # Nobody reads for a while: what one send() can take is now in the buffers of the kernels.
        time.sleep(0.1 * client.patience)
        try:
            got = client.receive(len(wanted))
        except Failed as failure:
            if failure.kind == "no_answer" and failure.figures["count"]:
                client.note("{count:,} of {wanted:,} bytes came".format(**failure.figures))
                raise Failed(**failure.figures) from None
            raise
        if got != wanted:
            raise Failed("wrong", asked=line(text), wanted=wanted, got=got)
    return {"wanted": len(wanted)}
