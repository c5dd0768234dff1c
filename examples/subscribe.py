#!/usr/bin/env python3
"""Prints the records of a feed as lines of JSON. Python 3.8 or newer, nothing but its own library.

    python3 examples/subscribe.py [--url ws://localhost:8080/v1/feed] [--channel trades]
        [--symbols 'BTC-USD,ETH-*'] [--from live|snapshot|EPOCH:SEQ|2026-01-31T12:00:00Z]
        [--protocol fb|json] [--count N] [--token TOKEN]

Written from docs/protocol.md alone: WebSocket framing (RFC 6455) by hand, FlatBuffers by struct.
What is missing is told on stderr, and asked for again with `fill`. Exit code 0 after --count
records, 1 when the connection ends before.
"""

import argparse
import base64
import hashlib
import json
import os
import socket
import ssl
import struct
import sys
import zlib
from datetime import datetime, timezone
from urllib.parse import urlsplit

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
NULL = -(2**63)
TICK = struct.Struct("<qqIHBBHBBHHqqqq")
SIDES = ["none", "buy", "sell"]
ACTIONS = ["none", "set", "delete", "clear"]
STATUSES = ["none", "gap", "halted", "resumed", "connected"]
MARKETS = ["none", "day_ahead", "real_time", "hour_ahead"]
FLAGS = (
    "last snapshot replayed late out_of_order duplicate_suspect bad_time stale corrected "
    "backfilled synthetic"
).split()


class WebSocket:
    """A client's side of one WebSocket: whole messages in, masked text out."""

    def __init__(self, url, protocol, token):
        parts = urlsplit(url)
        secure = parts.scheme == "wss"
        port = parts.port or (443 if secure else 80)
        self.socket = socket.create_connection((parts.hostname, port), timeout=30)
        if secure:
            context = ssl.create_default_context()
            self.socket = context.wrap_socket(self.socket, server_hostname=parts.hostname)
        key = base64.b64encode(os.urandom(16))
        lines = [
            "GET %s HTTP/1.1" % (parts.path or "/"),
            "Host: %s:%d" % (parts.hostname, port),
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: " + key.decode(),
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: " + protocol,
        ]
        if token:
            lines.append("Authorization: Bearer " + token)
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.stream = self.socket.makefile("rb")
        status = self.stream.readline().decode().strip()
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        headers = {}
        for line in iter(self.stream.readline, b"\r\n"):
            if not line:
                break
            name, _, value = line.decode().partition(":")
            headers[name.strip().lower()] = value.strip()
        if " 101 " not in status + " " or headers.get("sec-websocket-accept") != accept:
            raise ConnectionError("no WebSocket: " + status)

    def send(self, message):
        self._frame(TEXT, json.dumps(message).encode())

    def messages(self):
        """Yields (opcode, payload); ends when the server has closed, with the reason on stderr."""
        parts, kind = [], 0
        while True:
            first, second = self._exactly(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", self._exactly(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", self._exactly(8))
            payload = self._exactly(size)
            opcode = first & 0x0F
            if opcode == PING:
                self._frame(PONG, payload)
            elif opcode == CLOSE:
                code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else 1005
                tell("closed: %d %s" % (code, payload[2:].decode("utf-8", "replace")))
                return
            elif opcode < CLOSE:
                kind = opcode or kind
                parts.append(payload)
                if first & 0x80:
                    yield kind, b"".join(parts)
                    parts = []

    def _exactly(self, size):
        data = self.stream.read(size)
        if len(data) < size:
            raise ConnectionError("the connection was cut")
        return data

    def _frame(self, opcode, payload):
        mask = os.urandom(4)
        size = len(payload)
        head = bytes([0x80 | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += struct.pack(">BH", 0x80 | 126, size)
        else:
            head += struct.pack(">BQ", 0x80 | 127, size)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self.socket.sendall(head + mask + masked)


def tell(text):
    print(text, file=sys.stderr, flush=True)


def decimal(value, decimals):
    """A scaled integer as exact text: no exponent, no zeros at the end."""
    if value == NULL:
        return None
    digits = str(abs(value)).rjust(decimals + 1, "0")
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    text = whole + ("." + fraction).rstrip("0").rstrip(".") if decimals else digits
    return ("-" if value < 0 else "") + text


def time_text(value):
    if value == NULL:
        return None
    seconds, nanos = divmod(value, 10**9)
    time = datetime.fromtimestamp(seconds, timezone.utc)
    return time.strftime("%Y-%m-%dT%H:%M:%S") + ".%09dZ" % nanos


def read_batch(data):
    """The FlatBuffers table `Batch`, through its vtable: stream, epoch, first_seq, records."""
    (table,) = struct.unpack_from("<I", data, 0)
    vtable = table - struct.unpack_from("<i", data, table)[0]
    (vtable_size,) = struct.unpack_from("<H", data, vtable)

    def field(index):
        slot = 4 + 2 * index
        offset = struct.unpack_from("<H", data, vtable + slot)[0] if slot < vtable_size else 0
        return table + offset if offset else 0

    def number(index, form):
        at = field(index)
        return struct.unpack_from(form, data, at)[0] if at else 0

    ticks, at = [], field(3)
    if at:
        vector = at + struct.unpack_from("<I", data, at)[0]
        (count,) = struct.unpack_from("<I", data, vector)
        ticks = [TICK.unpack_from(data, vector + 4 + i * TICK.size) for i in range(count)]
    return number(0, "<I"), number(1, "<Q"), number(2, "<Q"), ticks


def name_of(names, index):
    return names[index] if index < len(names) else "none"


def record_of(tick, instruments):
    """One struct `Tick` as the normalised record that the text sub-protocol has."""
    event, received, instrument, _, kind, side, flags, action, market, minutes, _, *p = tick
    venue, symbol = instruments.get(instrument, (None, None))
    head = {"venue": venue, "symbol": symbol}
    head.update({"ts_event": time_text(event), "ts_recv": time_text(received)})

    def price(i):
        return decimal(p[i], 9)

    def size(i):
        return decimal(p[i], 8)

    if kind == 1:
        record = {"type": "trade", **head, "id": decimal(p[2], 0), "side": name_of(SIDES, side)}
        record.update({"price": price(0), "size": size(1)})
    elif kind == 2:
        record = {"type": "quote", **head, "bid_price": price(0), "bid_size": size(1)}
        record.update({"ask_price": price(2), "ask_size": size(3)})
    elif kind == 3:
        record = {"type": "book", **head, "side": name_of(SIDES, side), "price": price(0)}
        record.update({"size": size(1), "action": name_of(ACTIONS, action)})
    elif kind == 4:
        record = {"type": "price", **head, "market": name_of(MARKETS, market)}
        record.update({"interval_start": head["ts_event"], "interval_minutes": minutes})
        record.update({"price": price(0), "energy": price(1)})
        record.update({"congestion": price(2), "loss": price(3)})
    else:
        record = {"type": "status", **head, "status": name_of(STATUSES, action)}
        record.update({"from": None if p[1] == NULL else p[1], "to": None if p[2] == NULL else p[2]})
    record["flags"] = [name for bit, name in enumerate(FLAGS) if flags & (1 << bit)]
    return record


class Subscriber:
    """One stream: what must come next, and what to do about what does not."""

    def __init__(self, websocket, options):
        self.websocket = websocket
        self.left = options.count if options.count else float("inf")
        self.instruments = {}
        self.stream = self.epoch = self.next = None
        self.image_left = 0
        self.crc, self.replaying = 0, False
        self.fills = []  # ranges asked for again: [epoch, next, to, crc]

    def control(self, message):
        op = message["op"]
        if op == "error":
            tell("error: " + json.dumps(message))
            if message.get("id") == "subscribe":
                sys.exit(1)
            if message.get("id") == "fill":
                self.fills.pop(0)
        elif op == "ack" and message.get("id") == "subscribe":
            self.stream, self.epoch, self.next = (
                message["stream"],
                message["epoch"],
                message["next_seq"],
            )
            self.replaying = message.get("replay", False)
            for result in message["symbols"]:
                self.learn(result["instruments"])
        elif op == "instruments":
            self.learn(message["instruments"])
        elif op == "snapshot":
            self.image_left = message["count"]
        elif op == "epoch":
            self.epoch, self.next = message["epoch"], message["next_seq"]
        elif op == "gap":
            self.gap(message)
        elif op == "replay_completed":
            self.completed(message)
        elif op == "heartbeat":
            next_seq = message["streams"].get(str(self.stream), self.next)
            if next_seq != self.next:
                self.missing(self.next, next_seq - 1, "undeclared")
        elif op == "slow":
            tell("slow: " + json.dumps(message))

    def learn(self, instruments):
        for each in instruments:
            self.instruments[each["id"]] = (each["venue"], each["symbol"])

    def gap(self, message):
        first, last = message.get("from"), message.get("to")
        if first is None or message["cause"] == "restart":
            tell("gap: " + json.dumps(message))
        elif last >= self.next:
            self.missing(max(first, self.next), last, message["cause"])

    def missing(self, first, last, cause):
        tell("gap: %d … %d, %s" % (first, last, cause))
        self.next = last + 1
        if cause != "conflated":
            self.fills.append([self.epoch, first, last, 0])
            if len(self.fills) == 1:
                self.ask()

    def ask(self):
        epoch, first, last, _ = self.fills[0]
        request = {"op": "fill", "id": "fill", "stream": self.stream, "epoch": epoch}
        self.websocket.send({**request, "from": first, "to": last})

    def completed(self, message):
        is_fill = "from" in message
        crc = self.fills.pop(0)[3] if is_fill else self.crc
        if "%08x" % crc != message["digest"]:
            tell("the replay is damaged: its digest is %08x" % crc)
        if is_fill and self.fills:
            self.ask()
        if not is_fill:
            self.replaying = False

    def data(self, epoch, first_seq, records, payload):
        fill = self.fills[0] if self.fills else None
        if self.image_left > 0:
            self.image_left -= len(records)
            self.show(records, None)
            return
        if fill and epoch == fill[0] and fill[1] <= first_seq <= fill[2]:
            fill[1], fill[3] = first_seq + len(records), zlib.crc32(payload, fill[3])
        else:
            if self.replaying:
                self.crc = zlib.crc32(payload, self.crc)
            if first_seq != self.next:
                self.missing(self.next, first_seq - 1, "undeclared")
            self.next = first_seq + len(records)
        self.show(records, first_seq)

    def show(self, records, first_seq):
        for index, record in enumerate(records):
            if self.left <= 0:
                return
            self.left -= 1
            if first_seq is not None:
                record["seq"] = first_seq + index
            print(json.dumps(record, separators=(",", ":")))
        sys.stdout.flush()


def start_of(text):
    if text in ("live", "snapshot"):
        return text
    epoch, _, seq = text.partition(":")
    return {"epoch": int(epoch), "seq": int(seq)} if epoch.isdigit() else {"ts": text}


def run(options):
    websocket = WebSocket(options.url, "tickd.v1." + options.protocol, options.token)
    subscriber = Subscriber(websocket, options)
    for kind, payload in websocket.messages():
        if kind == BINARY:
            stream, epoch, first_seq, ticks = read_batch(payload)
            records = [record_of(tick, subscriber.instruments) for tick in ticks]
            subscriber.data(epoch, first_seq, records, payload)
        else:
            message = json.loads(payload)
            if message["op"] == "welcome":
                request = {"op": "subscribe", "id": "subscribe", "channel": options.channel}
                request.update(symbols=options.symbols.split(","), **{"from": start_of(options.start)})
                websocket.send(request)
            elif message["op"] == "data":
                first_seq, records = message["first_seq"], message["records"]
                subscriber.data(message["epoch"], first_seq, records, payload)
            else:
                subscriber.control(message)
        if subscriber.left <= 0:
            return 0
    return 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="ws://localhost:8080/v1/feed")
    parser.add_argument("--channel", default="trades")
    parser.add_argument("--symbols", default="*")
    parser.add_argument("--from", dest="start", default="live")
    parser.add_argument("--protocol", choices=["fb", "json"], default="fb")
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--token", default="")
    try:
        sys.exit(run(parser.parse_args()))
    except (OSError, KeyboardInterrupt) as error:
        tell("cannot go on: %s" % (error or "interrupted"))
        sys.exit(1)


if __name__ == "__main__":
    main()
