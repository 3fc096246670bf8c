"""The frame LHHTTT: L hex digits of length, the length in bytes, the text."""

MAX_DATAGRAM_BYTES = 65507
HEX_DIGITS = b"0123456789abcdefABCDEF"


class Malformed(Exception):
    """Bytes that are not a frame."""


class TooLarge(Malformed):
    """A header that announces more than the receiver takes."""


def to_bytes(text):
    """The bytes of a text; undecodable bytes survive the round trip."""
    if isinstance(text, str):
        return text.encode("utf-8", "surrogateescape")
    return bytes(text)


def to_text(data):
    return data.decode("utf-8", "surrogateescape")


def encode(text):
    """The shortest lower-case frame of a text (str or bytes)."""
    data = to_bytes(text)
    length = b"%x" % len(data)
    if len(length) > 15:
        raise ValueError("the text is too long for a frame")
    return b"%x%s%s" % (len(length), length, data)


def parse_header(data):
    """(header bytes, text bytes), or None while the header is incomplete."""
    if not data:
        return None
    if data[:1] not in [HEX_DIGITS[i:i + 1] for i in range(22)]:
        raise Malformed("the length of the length is no hex digit")
    digits = int(data[:1], 16)
    if digits == 0:
        raise Malformed("the length of the length is 0")
    length = data[1:1 + digits]
    if any(byte not in HEX_DIGITS for byte in length):
        raise Malformed("the length is not hexadecimal")
    if len(length) < digits:
        return None
    return 1 + digits, int(length, 16)


def decode(datagram):
    """The text of a datagram that holds exactly one frame."""
    header = parse_header(datagram)
    if header is None:
        raise Malformed("the header is cut off")
    start, length = header
    if len(datagram) - start != length:
        raise Malformed("the length says %d, the text has %d bytes"
                        % (length, len(datagram) - start))
    return datagram[start:]


class Decoder:
    """Frames out of a stream of bytes.

    A fault ends the stream: `fault` then holds the Malformed, and what came
    before it has been returned.
    """

    def __init__(self, max_bytes=64 << 20):
        self.max_bytes = max_bytes
        self.buffer = bytearray()
        self.fault = None

    def feed(self, data):
        """Adds bytes and returns the texts that are complete now."""
        self.buffer += data
        texts = []
        while self.fault is None:
            try:
                text = self._next()
            except Malformed as fault:
                self.fault = fault
                break
            if text is None:
                break
            texts.append(text)
        return texts

    def _next(self):
        header = parse_header(bytes(self.buffer[:16]))
        if header is None:
            return None
        start, length = header
        if length > self.max_bytes:
            raise TooLarge("%d bytes are more than the limit of %d"
                           % (length, self.max_bytes))
        if len(self.buffer) < start + length:
            return None
        text = bytes(self.buffer[start:start + length])
        del self.buffer[:start + length]
        return text
