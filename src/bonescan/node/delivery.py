"""The error of a delivery that did not succeed; importing this imports no network library."""

from __future__ import annotations

from bonescan.errors import BonescanError


class DeliveryError(BonescanError):
    """Results could not be handed to a destination; one sentence, without the name of a patient or a UID.

    retryable: it may succeed later without anybody's doing (unreachable, busy, full). Otherwise somebody has to
    change something first (refused, not authorised, not understood).
    """

    def __init__(self, sentence: str, *, retryable: bool) -> None:
        super().__init__(sentence)
        self.retryable = retryable
