"""What the echo does to the bytes on their way back: nothing, or `ECHO_TRANSFORM=upper`."""

from collections.abc import Callable

from services import runtime

Transform = Callable[[bytes], bytes]

TRANSFORMS: dict[str, Transform] = {"none": bytes, "upper": bytes.upper}


def transform_from_settings() -> Transform:
    """Return the transform that `ECHO_TRANSFORM` names; raises SettingError for any other name."""
    return TRANSFORMS[runtime.setting("ECHO_TRANSFORM", "none", runtime.one_of(*TRANSFORMS))]
