#!/usr/bin/env python3
"""serve.py DTRAIN: what `dtrain serve` answers, to whom, and what it leaves on the disk. Runs in an empty folder that holds
run/, a run of a network for 28 x 28, and data/, its data. The last line is "N passed, N failed"."""
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

DTRAIN = sys.argv[1]
SIDE = 56
passed = failed = 0


def check(what, good, told=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    if not good:
        print(f"FAILED: {what}: {told}" if told != "" else f"FAILED: {what}", file=sys.stderr)
    return good


class Server:
    """dtrain serve, started and listening."""

    def __init__(self, *args):
        self.process = subprocess.Popen([DTRAIN, "serve", *args, "--port", "0", "--json"], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"serve {args} said: {self.process.stderr.read()}")
        self.url = json.loads(line)["url"]
        host, self.base = re.fullmatch(r"http://([^/]+)(/[0-9a-f]{32}/)", self.url).groups()
        self.host, port = host.rsplit(":", 1)
        self.port = int(port)

    def connect(self):
        return socket.create_connection((self.host, self.port), timeout=20)

    def raw(self, data):
        """Whatever it says to these bytes: (status, text), status 0 if it only closes."""
        with self.connect() as s:
            try:
                s.sendall(data)
            except OSError:
                pass  # it closed on what it had seen
            answer = b""
            try:
                while more := s.recv(65536):
                    answer += more
            except ConnectionError:
                pass
        match = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
        return (int(match[1]) if match else 0), answer.decode("latin-1")

    def head(self, method, target, headers=(), host=None):
        """A request line and headers; host "" for none."""
        lines = [f"{method} {target} HTTP/1.1"]
        if host != "":
            lines.append(f"Host: {host or f'{self.host}:{self.port}'}")
        return "\r\n".join([*lines, *headers, "Connection: close", "", ""]).encode()

    def status(self, method, name, headers=(), host=None, body=b""):
        if body and not any(h.startswith("Content-Length") for h in headers):
            headers = [*headers, f"Content-Length: {len(body)}"]
        return self.raw(self.head(method, self.base + name, headers, host) + body)[0]

    def ask(self, name, body=None, connection=None):
        """(status, object)"""
        c = connection or http.client.HTTPConnection(self.host, self.port, timeout=20)
        c.request("GET" if body is None else "POST", self.base + name, body)
        answer = c.getresponse()
        return answer.status, json.loads(answer.read())

    def get(self, name):
        c = http.client.HTTPConnection(self.host, self.port, timeout=20)
        c.request("GET", self.base + name)
        answer = c.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(timeout=20)


def drawing(i=0):
    """A bar on white, somewhere."""
    pixels = bytearray(b"\xff" * (SIDE * SIDE))
    for y in range(12, 44):
        left = 20 + i % 7 + (y * (i % 5)) // 24
        pixels[y * SIDE + left:y * SIDE + left + 6] = bytes(6)
    return bytes(pixels)


def sized(name, more=""):
    return f"{name}?width={SIDE}&height={SIDE}{more}"


def idx(name):
    data = open(name, "rb").read()
    n_dims = data[3]
    return struct.unpack(f">{n_dims}I", data[4:4 + 4 * n_dims]), data[4 + 4 * n_dims:]


# --- what is there ---

def test_page(s):
    status, headers, page = s.get("")
    check("the page", status == 200 and b"<title>dtrain</title>" in page)
    policy = headers.get("Content-Security-Policy", "")
    check("a strict policy", policy.startswith("default-src 'none'") and "unsafe" not in policy and "*" not in policy, policy)
    check("nothing inline", not re.search(rb"<script(?![^>]*src=)|<style|style=|\son[a-z]+=", page))
    for name, kind in re.findall(r'(?:src|href)="([a-z.]+\.(css|js|svg))"', page.decode()):
        status, headers, _ = s.get(name)
        check(f"{name}", status == 200 and {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}[kind]
              in headers["Content-Type"] and headers["X-Content-Type-Options"] == "nosniff", status)
    check("HEAD", s.status("HEAD", "") == 200)
    check("the network", s.ask("api/about")[1]["network"]["classes"] == 10)


def test_who(s):
    body, predict = drawing(), s.base + sized("api/predict")
    for token in ("", "/", "/api/about", s.base[:-1], s.base[:-2] + "/", s.base[:10] + "/", s.base.upper(),
                  "/" + "0" * 32 + "/", "/" + "0" * 32 + "/api/about", s.base[:-2] + "\xe9/"):
        status, text = s.raw(s.head("GET", token or "/"))
        check(f"token {token!r}", status in (400, 403) and s.base.strip("/") not in text and "<html" not in text, status)
    own = f"{s.host}:{s.port}"
    for host, good in ((own, True), ("localhost", True), ("LOCALHOST:9", True), ("[::1]:8080", True), ("127.0.0.1", True),
                       ("evil.example", False), (f"evil.example:{s.port}", False), ("127.0.0.1.evil.example", False),
                       ("localhost.evil.example", False), ("10.0.0.1", False), ("127.0.0.1:80@evil.example", False),
                       ("[::1", False), ("[::1]x", False), ("localhost:", True), ("localhost:8x", False), ("", False)):
        status = s.status("GET", "", host=host)
        check(f"host {host!r}", (status == 200) if good else status in (400, 403), status)
    for headers, good in (([f"Origin: http://{own}"], True), ([], True), (["Origin: http://evil.example"], False),
                          (["Origin: null"], False), ([f"Origin: https://{own}"], False), (["Origin: http://localhost:1"], False),
                          ([f"Origin: http://{own}.evil.example"], False), (["Sec-Fetch-Site: cross-site"], False),
                          (["Sec-Fetch-Site: same-site"], False), (["Sec-Fetch-Site: same-origin", f"Origin: http://{own}"], True)):
        status = s.raw(s.head("POST", predict, [*headers, f"Content-Length: {len(body)}"]) + body)[0]
        check(f"{headers}", status == (200 if good else 403), status)
    for method, name, mode, site, want in (("GET", "", "navigate", "cross-site", 200), ("GET", "", "navigate", "same-site", 200),
                                           ("GET", "", "no-cors", "cross-site", 403), ("GET", "", None, "cross-site", 403),
                                           ("GET", "api/set", "navigate", "cross-site", 403), ("GET", "style.css", "navigate", "cross-site", 403),
                                           ("GET", "t10k-images-idx3-ubyte", "navigate", "cross-site", 403), ("HEAD", "", "navigate", "cross-site", 403),
                                           ("POST", "", "navigate", "cross-site", 403), ("POST", "api/set/undo", "navigate", "cross-site", 403)):
        status = s.status(method, name, [f"Sec-Fetch-Site: {site}", *([f"Sec-Fetch-Mode: {mode}"] if mode else [])])
        check(f"{method} {name!r} {mode} from {site}", status == want, status)
    check("a link with no token", s.raw(s.head("GET", "/", ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"]))[0] == 403)


def test_what(s):
    body = drawing()
    for method, name, want in (("GET", sized("api/predict"), 405), ("PUT", "", 405), ("DELETE", "api/set", 405), ("POST", "", 405),
                               ("GET", "api/set/undo", 405), ("OPTIONS", "", 405), ("TRACE", "", 405), ("get", "", 405)):
        status = s.status(method, name)
        check(f"{method} {name}", status in (want, 400, 501), status)
    tricks = ["../", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/style.css", "./style.css", "/style.css", "style.css/",
              "style.css%00.png", "style%2ecss", "STYLE.CSS", "style.css;x", "style.css#x", "..\\..\\etc\\passwd", "etc/passwd",
              "run.h5", "best.h5", "digits/t10k-images-idx3-ubyte", "t10k-images-idx3-ubyte.tmp", "launch/web/index.html", "index.html",
              "api", "api/", "api/about/", "api//about", "%61pi/about", "/etc/passwd", "file:///etc/passwd", "x" * 9000]
    for name in tricks:
        status = s.status("GET", name)
        check(f"path {name[:40]!r}", status in (400, 404), status)
    check("a whole address as target", s.raw(s.head("GET", f"http://evil.example{s.base}"))[0] in (400, 403))
    n = SIDE * SIDE
    for query in ("", "?", "?width=56", "?width=56&height=56&", "?width=56&height=56&width=56", "?width=0&height=0", "?width=7&height=448",
                  "?width=257&height=257", "?width=-56&height=-56", "?width=5.6e1&height=56", "?width=+56&height=56", "?width= 56&height=56",
                  "?width=99999999999999999999&height=1", "?width=56&height=56&label=3", "?w=56&height=56", "?width=56&height=56&x=1",
                  "?width=56;height=56", "?width=%35%36&height=56", "?width=56&height=57"):
        status = s.status("POST", "api/predict" + query, body=body)
        check(f"query {query!r}", status == 400, status)
    for label in ("10", "-1", "", "x", "1.5", "999999999999", "7&label=7"):
        status = s.status("POST", sized("api/set/add", f"&label={label}"), body=body)
        check(f"label {label!r}", status == 400, status)
    check("a query where none belongs", s.status("GET", "?x=1") == 400 and s.status("GET", "style.css?width=56") == 400)
    check("the set is as it was", s.ask("api/set")[1]["n"] == 0 and not os.path.exists("run/digits"))
    for length, want in ((n - 1, 400), (n + 1, 400), (0, 400), (65537, 413), (10**9, 413), (10**30, 413)):
        status = s.raw(s.head("POST", s.base + sized("api/predict"), [f"Content-Length: {length}"]) + body[:min(length, n)])[0]
        check(f"a body of {length}", status in (want, 413 if length > n else want, 0 if length > 10**18 else want), status)
    chunked = s.head("POST", s.base + sized("api/predict"), ["Transfer-Encoding: chunked"])
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:1000], body[1000:])) + b"0\r\n\r\n"
    check("in chunks", s.raw(chunked + chunks)[0] == 200)
    check("too few chunks", s.raw(chunked + b"4\r\nabcd\r\n0\r\n\r\n")[0] == 400)
    check("chunks without end", s.raw(chunked + b"1000\r\n%s\r\n" % (b"x" * 4096) * 40)[0] in (0, 400, 413))


def test_malformed(s):
    target = s.base.encode()
    for data in (b"\0" * 1000, os.urandom(5000), b"GET", b"GET /", b"\r\n" * 2000, s.head("GET", s.base)[:-2]):
        with s.connect() as c:  # who is gone before there is a request
            c.sendall(data)
    for data in (b"GET " + target + b"\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n",
                 b"GET " + target + b" HTTP/9.9\r\n\r\n", s.head("GET", s.base, ["A: " + "b" * 70000]), s.head("GET", s.base, ["No colon"]),
                 s.head("GET", s.base, ["Content-Length: -1"]), s.head("POST", s.base + sized("api/predict"), ["Content-Length: 1x"]),
                 s.head("GET", s.base, [f"H{i}: x" for i in range(5000)]), b"GET /" + b"a" * 100000):
        status = s.raw(data)[0]
        check(f"malformed {data[:30]!r}", status == 0 or 400 <= status < 600, status)
    check("it still answers", s.ask("api/about")[0] == 200)


def test_many(s):
    answers, body = [], drawing()

    def client():
        c = http.client.HTTPConnection(s.host, s.port, timeout=30)
        for _ in range(10):
            status, said = s.ask(sized("api/predict"), body, c)
            answers.append((status, said.get("digit"), said.get("probability")))

    clients = [threading.Thread(target=client) for _ in range(64)]
    for c in clients:
        c.start()
    for c in clients:
        c.join()
    check("64 clients at a time get the same answer", len(answers) == 640 and len(set(answers)) == 1 and answers[0][0] == 200,
          set(answers))


def test_slow(s):
    """More connections than there may be, none of which ever ends a request."""
    start, slow = time.time(), []
    head = s.head("GET", s.base)[:-4]
    for i in range(600):
        c = socket.socket()
        c.setblocking(False)
        c.connect_ex((s.host, s.port))
        slow.append(c)
    longest, closed = 0, 0
    for turn in range(12):
        for c in slow:
            try:
                c.send(head[turn:turn + 1])
            except OSError:
                pass
        if turn % 4 == 3:
            began = time.time()
            status = s.ask("api/about")[0]
            longest = max(longest, time.time() - began)
            check("an answer beside slow clients", status == 200)
        time.sleep(0.4)
    for c in slow:
        try:
            closed += c.recv(1) in (b"", b"H")
        except BlockingIOError:
            pass
        except OSError:
            closed += 1
        c.close()
    check("within seconds", longest < 10, f"{longest:.1f} s")
    check("the slow ones are sent away while there are too many", closed >= 340, f"{closed} of 600 after {time.time() - start:.1f} s")


class Patience:
    """Clients of another server that take their time, beside all other tests: 10,000 pictures are read in more than 25 s; a
    request begins when its connection is 17 s old and ends 5 s later; and one that takes nothing is sent away."""

    def __init__(self):
        self.pictures = b"".join(i.to_bytes(2, "big") * 392 for i in range(10000))
        os.makedirs("big")
        with open("big/t10k-images-idx3-ubyte", "wb") as f:
            f.write(struct.pack(">4I", 0x803, 10000, 28, 28) + self.pictures)
        with open("big/t10k-labels-idx1-ubyte", "wb") as f:
            f.write(struct.pack(">2I", 0x801, 10000) + bytes(10000))
        self.server = Server("run", "--digits", "big")
        self.got = {}
        self.threads = [threading.Thread(target=t) for t in (self.read_slowly, self.read_nothing, self.ask_late)]
        for t in self.threads:
            t.start()

    def begin(self):
        c = socket.socket()
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.connect((self.server.host, self.server.port))
        c.sendall(self.server.head("GET", self.server.base + "t10k-images-idx3-ubyte"))
        return c

    def rest(self, c, answer=b""):
        try:
            while more := c.recv(1 << 20):
                answer += more
        except ConnectionError:
            pass
        return answer

    def read_slowly(self):
        began, answer = time.time(), b""
        with self.begin() as c:
            while time.time() < began + 26:
                answer += c.recv(10000)
                time.sleep(0.1)
            self.got["slow"] = self.rest(c, answer)

    def read_nothing(self):
        with self.begin() as c:
            time.sleep(26)
            self.got["none"] = self.rest(c)

    def ask_late(self):
        body = drawing()
        with self.server.connect() as c:
            time.sleep(17)
            c.sendall(self.server.head("POST", self.server.base + sized("api/predict"), [f"Content-Length: {len(body)}"]) + body[:99])
            time.sleep(5)
            try:
                c.sendall(body[99:])
            except ConnectionError:
                pass
            self.got["late"] = self.rest(c)

    def end(self):
        for t in self.threads:
            t.join()
        slow, none, late = (self.got.get(name, b"") for name in ("slow", "none", "late"))
        check("a slow download is whole", slow[slow.find(b"\r\n\r\n") + 20:] == self.pictures, len(slow))
        check("who takes nothing is sent away", len(none) < len(self.pictures), len(none))
        check("a request has its time from its own beginning", late.startswith(b"HTTP/1.1 200"), late[:40])
        check("its server ends", self.server.end() == 0)


# --- the set ---

def test_answers(s):
    status, said = s.ask(sized("api/predict"), drawing())
    check("an answer", status == 200 and abs(sum(said["probabilities"]) - 1) < 1e-6 and len(said["picture"]) == 2 * 784
          and said["probabilities"][said["digit"]] == max(said["probabilities"]), said)
    picture = bytes.fromhex(said["picture"])
    mass = sum(picture)
    centre = [sum((i // 28 if axis == 0 else i % 28) * v for i, v in enumerate(picture)) / mass for axis in (0, 1)]
    check("the picture is centred", all(abs(c - 14) < 0.6 for c in centre), centre)
    status, said = s.ask(sized("api/predict"), bytes([255]) * SIDE * SIDE)
    check("nothing is no digit", status == 200 and not said["is_digit"] and not said["has_ink"] and said["why"], said)
    status, inside = s.ask(sized("api/features"), drawing())
    check("layers", status == 200 and [one["name"] for one in inside["layers"]] == ["conv1", "relu1", "pool1", "fc1"]
          and all(len(one["values"]) == 2 * one["channels"] * one["height"] * one["width"] for one in inside["layers"]))
    check("filters and saliency", inside["filters"]["channels"] == 4 and len(inside["saliency"]["values"]) == 2 * 784)


def test_set(s):
    status, said = s.ask("api/set/undo", "")
    check("nothing to take back", status == 409, said)
    check("nothing to download", s.get("t10k-images-idx3-ubyte")[0] == 409)
    status, said = s.ask(sized("api/set/add", "&label=3"), bytes([255]) * SIDE * SIDE)
    check("nothing is not added", status == 422 and not os.path.exists("run/digits"), said)
    pictures, counts = [], [[0] * 10 for _ in range(10)]
    for i in range(25):
        said = s.ask(sized("api/predict"), drawing(i))[1]
        pictures.append(bytes.fromhex(said["picture"]))
        counts[i % 10][said["digit"]] += 1
        status, kept = s.ask(sized("api/set/add", f"&label={i % 10}"), drawing(i))
        check(f"digit {i}", status == 200 and kept["n"] == i + 1, kept)
    check("confusion", kept["confusion"] == counts and kept["correct"] == sum(counts[c][c] for c in range(10)), kept["confusion"])
    for name, want in (("t10k-images-idx3-ubyte", ((25, 28, 28), b"".join(pictures))), ("t10k-labels-idx1-ubyte", ((25,), bytes(i % 10 for i in range(25))))):
        check(f"{name} on the disk", idx("run/digits/" + name) == want)
        status, headers, data = s.get(name)
        check(f"{name} downloaded", status == 200 and data == open("run/digits/" + name, "rb").read() and "attachment" in headers["Content-Disposition"])
    result = json.loads(subprocess.run([DTRAIN, "eval", "run", "--data", "run/digits", "--json"], stdout=subprocess.PIPE, check=True).stdout)
    check("eval finds the same", result["confusion"] == kept["confusion"] and result["correct"] == kept["correct"], result)
    status, kept = s.ask("api/set/undo", "")
    check("taken back", status == 200 and kept["n"] == 24 and idx("run/digits/t10k-labels-idx1-ubyte")[0] == (24,))
    second = subprocess.run([DTRAIN, "serve", "run", "--port", "0"], capture_output=True, text=True, timeout=20)
    check("a second server of one set", second.returncode == 2 and "another dtrain serve" in second.stderr, second.stderr)


def test_two():
    """Two begin while there is no set: the second goes on with what the first has left."""
    first, second = Server("run", "--digits", "both"), Server("run", "--digits", "both")
    for i in range(5):
        first.ask(sized("api/set/add", f"&label={i}"), drawing(i))
    status, said = second.ask(sized("api/set/add", "&label=5"), drawing(5))
    check("one at a time", status == 409 and "another dtrain serve" in said["error"], said)
    first.end()
    status, kept = second.ask(sized("api/set/add", "&label=5"), drawing(5))
    check("the second goes on", status == 200 and kept["n"] == 6 and [one["label"] for one in kept["recent"]] == [5, 4, 3, 2, 1, 0], kept)
    check("with an answer of each", status == 200 and sum(map(sum, kept["confusion"])) == 6
          and all(0 <= one["said"] <= 9 for one in kept["recent"]), kept)
    check("and in its files", idx("both/t10k-labels-idx1-ubyte") == ((6,), bytes(range(6))))
    second.end()


def test_killed():
    """Killed while it adds: what it said it has, it has, and at most the one that was under way besides."""
    n = s_n = 0
    for turn in range(7):
        s = Server("run", "--digits", "killed")
        status, kept = s.ask("api/set")
        check(f"whole after end {turn}", status == 200 and n <= kept["n"] <= s_n, f"{n} <= {kept['n']} <= {s_n}")
        if kept["n"]:
            labels, pictures = idx("killed/t10k-labels-idx1-ubyte"), idx("killed/t10k-images-idx3-ubyte")
            check("the files agree", labels[0][0] == kept["n"] == pictures[0][0] and len(pictures[1]) == 784 * kept["n"]
                  and list(labels[1]) == [i % 10 for i in range(kept["n"])])
        n = s_n = kept["n"]
        timer = threading.Timer(0.01 + 0.007 * turn, s.process.kill)
        try:
            c = http.client.HTTPConnection(s.host, s.port, timeout=20)
            while True:
                s_n = n + 1
                n = s.ask(sized("api/set/add", f"&label={n % 10}"), drawing(n), c)[1]["n"]
                if not timer.is_alive():
                    timer.start()
        except (OSError, RuntimeError, http.client.HTTPException):
            pass
        timer.join()
        s.process.wait()
    check("some were added", n >= 7, n)


# --- starting and ending ---

def test_ends():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        s = Server("run", "--digits", "none")
        check(f"ends with 0 on {number.name}", s.end(number) == 0)
    check("and leaves no empty set", not os.path.exists("none"))


def refused(code, words, *args):
    done = subprocess.run([DTRAIN, "serve", *args], capture_output=True, text=True, timeout=30)
    check(f"serve {args}", done.returncode == code and words in done.stderr and done.stderr.count("\n") == 1, (done.returncode, done.stderr))


def test_refused():
    refused(4, "nowhere", "nowhere", "--port", "0")
    refused(2, "is no address", "run", "--host", "evil.example", "--port", "0")
    refused(2, "from 0 to 65535", "run", "--port", "65536")
    refused(2, "needs an argument")
    with open("notes.h5", "w") as f:
        f.write("not a checkpoint")
    refused(4, "notes.h5", "notes.h5", "--port", "0")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        refused(4, "is taken by another program", "run", "--port", str(s.getsockname()[1]), "--digits", "none")
    done = subprocess.run([os.environ["MPIRUN"], "-np", "2", DTRAIN, "serve", "run", "--port", "0"], capture_output=True, text=True, timeout=30)
    check("two ranks", done.returncode == 2 and "for one process" in done.stderr, done.stderr)


def test_elsewhere():
    """Of a checkpoint there is no run beside it; on another address an address is a fine host, a name is not."""
    os.makedirs("alone", exist_ok=True)
    with open("alone/some.h5", "wb") as f:
        f.write(open("run/best.h5", "rb").read())
    s = Server("alone/some.h5", "--host", "0.0.0.0")
    s.host = "127.0.0.1"
    check("no run", s.ask("api/about")[1]["watches"] is False and s.ask("api/run")[0] == 409)
    check("digits are kept here", s.ask(sized("api/set/add", "&label=1"), drawing())[0] == 200 and os.path.exists("digits/t10k-labels-idx1-ubyte"))
    check("an address as host", s.status("GET", "", host="192.0.2.7:8080") == 200)
    check("its own name as host", s.status("GET", "", host=socket.gethostname()) == 200)
    check("another name as host", s.status("GET", "", host="evil.example") == 403)
    check("it warns", s.end() == 0 and "nothing is encrypted" in s.process.stderr.read())


# --- a run that is watched ---

def train(*more):
    return subprocess.Popen([DTRAIN, "--data", "data", "--model", "conv 4 3; relu; pool 2; fc 10", "--batch", "16", "--micro-batch", "8",
                             "--threads", "1", "--quiet", "--out", "watched", *more], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(s, state, seconds=30):
    end = time.time() + seconds
    while (run := s.ask("api/run")[1])["state"] != state and time.time() < end:
        time.sleep(0.05)
    check(f"state {state}", run["state"] == state, run["state"])
    return run


def test_watched():
    os.makedirs("watched")
    s = Server("watched")
    check("nothing yet", s.ask("api/run")[1]["state"] == "waiting" and s.ask("api/about")[1]["draws"] is False)
    status, said = s.ask(sized("api/predict"), drawing())
    check("no answers yet", status == 503 and "best.h5" in said["error"], said)
    job = train("--epochs", "400")
    run = wait_for(s, "running")
    while run["epochs"]["epoch"][-1:] < [2] and job.poll() is None:
        run = s.ask("api/run")[1]
    job.send_signal(signal.SIGUSR1)
    check("the run stops as asked", job.wait() == 75)
    run = wait_for(s, "stopped")
    check("curves", run["steps"]["step"] == sorted(run["steps"]["step"]) and len(run["steps"]["step"]) >= 1
          and len(run["epochs"]["test_accuracy"]) >= 2 and run["epochs"]["epoch"] == sorted(set(run["epochs"]["epoch"])), run["steps"]["step"][:5])
    check("ranks", len(run["ranks_images_per_second"]["rank"]) == 1 and run["ranks_images_per_second"]["rank"][0][0] > 0
          and run["phases"]["compute_seconds"][0] > 0, run["phases"])
    check("answers now", s.ask(sized("api/predict"), drawing())[0] == 200)
    log = [json.loads(line) for line in open("watched/log.jsonl")]
    wanted = [e["step"] for e in log if e["event"] == "step"]
    check("every line of the log is in the curve", run["steps"]["step"] == wanted or len(wanted) > 600, (len(run["steps"]["step"]), len(wanted)))
    job = train("--epochs", "400", "--resume")
    while s.ask("api/run")[1]["begun"] <= run["time"] and job.poll() is None:
        time.sleep(0.02)
    wait_for(s, "running")
    job.kill()
    job.wait()
    wait_for(s, "lost")
    check("it ends", s.end() == 0)


def main():
    patience = Patience()
    s = Server("run")
    test_page(s)
    test_who(s)
    test_what(s)
    test_malformed(s)
    test_many(s)
    test_answers(s)
    test_set(s)
    test_two()
    test_slow(s)
    check("it ends with 0 after all that", s.end() == 0, s.process.returncode)
    test_killed()
    test_ends()
    test_refused()
    test_elsewhere()
    test_watched()
    patience.end()
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0 or passed == 0)


main()
