"""What the echo does to the bytes on their way back: nothing, or `ECHO_TRANSFORM=upper`."""

from collections.abc import Callable

from services import runtime

TRANSFORMS: dict[str, Callable[[bytes], bytes]] = {"none": bytes, "upper": bytes.upper}

transform = TRANSFORMS[runtime.setting("ECHO_TRANSFORM", "none", runtime.one_of(*TRANSFORMS))]
