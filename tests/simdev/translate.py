#!/usr/bin/env python3
"""translate.py FILE.ptx...: kernels as nvcc emitted them -> C for the simulated device, on stdout.

One C statement an instruction, one C variable a register; what a register holds is seen through the
type that the instruction names. Global memory is reached by sim_access(), shared memory by
sim_shared(), which check. A kernel with an instruction that is not known here (calls, matrix
units) gets a body that ends in a violation when it is launched, and is named on stderr."""
import re
import sys

C_TYPES = {"pred": "int", "f32": "float", "f64": "double"}
for _bits in (8, 16, 32, 64):
    C_TYPES[f"u{_bits}"] = C_TYPES[f"b{_bits}"] = f"uint{_bits}_t"
    C_TYPES[f"s{_bits}"] = f"int{_bits}_t"
SPECIAL = {"tid": "sim_t->tid", "ntid": "sim_b->dim", "ctaid": "sim_b->id", "nctaid": "sim_b->grid"}
LANES = {"%lanemask_lt": "((1u << (sim_t->linear & 31)) - 1)", "%laneid": "(sim_t->linear & 31)",
         "%globaltimer": "sim_nanoseconds()"}
COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
           "lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
BINARY = {"add": "+", "sub": "-", "mul": "*", "and": "&", "or": "|", "xor": "^"}
ROUND = {"rzi": "trunc", "rni": "nearbyint", "rmi": "floor", "rpi": "ceil"}
# Approximations of the device's special function unit: here the C library's function, rounded once.
SPECIAL_FUNCTIONS = {"ex2": "exp2{s}({a})", "lg2": "log2{s}({a})", "sin": "sin{s}({a})", "cos": "cos{s}({a})",
                     "tanh": "tanh{s}({a})", "rsqrt": "1 / sqrt{s}({a})", "rcp": "1 / {a}", "sqrt": "sqrt{s}({a})"}
SHARED = r"(?:\.\w+ )?\.shared \.align (\d+) \.b8 ([\w$]+)\[(\d+)\];"
PRELUDE = """/* Made by translate.py. */
#include <math.h>
#include <stdlib.h>
#include "sim.h"
#define VIEW(name, to, from) \\
    static inline to name(from x) { to y; memcpy(&y, &x, sizeof y); return y; }
VIEW(as_f32, float, uint32_t) VIEW(as_b32, uint32_t, float)
VIEW(as_f64, double, uint64_t) VIEW(as_b64, uint64_t, double)
static inline float saturate(float x) { return x > 0 ? x < 1 ? x : 1 : 0; }
static inline float flush(float x) { return fpclassify(x) == FP_SUBNORMAL ? copysignf(0, x) : x; }
/* Conversions to integers clamp; NaN becomes 0, or the smallest of 64 bits. */
static inline int64_t to_signed(double x, int bits) {
    if (x != x) return bits == 64 ? INT64_MIN : 0;
    double top = ldexp(1, bits - 1);
    return x >= top ? (int64_t)(~0ull >> (65 - bits)) : x < -top ? -(int64_t)(~0ull >> (65 - bits)) - 1 : (int64_t)x;
}
static inline uint64_t to_unsigned(double x, int bits) {
    if (x != x) return bits == 64 ? 1ull << 63 : 0;
    return x >= ldexp(1, bits) ? ~0ull >> (64 - bits) : x <= 0 ? 0 : (uint64_t)x;
}
static inline uint16_t bf16_of(float x) {
    uint32_t bits = as_b32(x);
    return x != x ? 0x7fff : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
static inline uint32_t lop3(uint32_t a, uint32_t b, uint32_t c, unsigned table) {
    uint32_t r = 0;
    for (unsigned i = 0; i < 8; i++)
        if (table >> i & 1) r |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
    return r;
}
static inline uint32_t prmt(uint32_t a, uint32_t b, uint32_t how) {
    uint64_t both = (uint64_t)b << 32 | a;
    uint32_t r = 0;
    for (unsigned i = 0; i < 4; i++) {
        unsigned h = how >> 4 * i & 15, byte = both >> 8 * (h & 7) & 255;
        r |= (h & 8 ? (byte & 128 ? 255u : 0u) : byte) << 8 * i;
    }
    return r;
}
"""


class Unknown(Exception):
    pass


def size_of(t):
    if t not in C_TYPES or t == "pred":
        raise Unknown(f"type .{t}")
    return int(t[1:]) // 8


class Kernel:
    """One .entry: its parameters, variables and statements. Of the file's shared variables it takes those it names."""

    def __init__(self, name, file_shared):
        self.name, self.params, self.layout, self.file_shared = name, {}, [], file_shared
        self.registers, self.shared, self.shared_bytes = {}, {}, 0
        self.body, self.waits, self.fences, self.unknown = [], False, False, None

    def add_param(self, align, t, name, count):
        size = size_of(t)
        align = int(align or size)
        end = self.layout[-1][0] + self.layout[-1][1] if self.layout else 0
        offset = (end + align - 1) // align * align
        self.params[name] = offset
        self.layout.append((offset, size * (count or 1)))

    def add_shared(self, align, name, nbytes):
        self.shared_bytes = (self.shared_bytes + align - 1) // align * align
        self.shared[name] = self.shared_bytes
        self.shared_bytes += nbytes

    # ---- operands ----
    def kind(self, register):
        return self.registers[re.match(r"%[a-zA-Z]+", register)[0]]

    def read(self, a, t):
        """Operand a as a C expression of PTX type t."""
        if a.startswith("0f") or a.startswith("0F"):
            bits = f"0x{a[2:]}u"
            return f"as_f32({bits})" if t == "f32" else bits
        if a.startswith("0d") or a.startswith("0D"):
            bits = f"0x{a[2:]}ull"
            return f"as_f64({bits})" if t == "f64" else bits
        if a in LANES:
            return LANES[a]
        m = re.fullmatch(r"%(tid|ntid|ctaid|nctaid)\.([xyz])", a)
        if m:
            return f"{SPECIAL[m[1]]}[{'xyz'.index(m[2])}]"
        if a.startswith("!"):
            return f"!{self.read(a[1:], t)}"
        if a.startswith("%"):
            return self.view(a, t)
        if a in self.file_shared and a not in self.shared:
            self.add_shared(self.file_shared[a][0], a, self.file_shared[a][1])
        if a in self.shared:
            return str(self.shared[a])
        if re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)U?", a):
            suffix = "ll" if t.endswith("64") and a.startswith("-") else "ull" if t.endswith("64") else ""
            return f"({C_TYPES[t]}){a.rstrip('U')}{suffix}"
        raise Unknown(f"operand {a}")

    def view(self, a, t):
        have, name = self.kind(a), "v_" + a[1:]
        if have == t or t == "pred" or have == "pred":
            return name
        if have[0] == "f" and t[0] == "b":
            return f"as_b{t[1:]}({name})"
        if t[0] == "f" and have[0] == "b":
            return f"as_f{t[1:]}({name})"
        return f"({C_TYPES[t]}){name}"

    def write(self, a, t, expression):
        """Statement: register a becomes the expression, of PTX type t."""
        if a == "_":
            return f"(void)({expression});"
        have, name = self.kind(a), "v_" + a[1:]
        if t[0] == "f" and have[0] == "b":
            expression = f"as_b{t[1:]}({expression})"
        elif t[0] == "b" and have[0] == "f":
            expression = f"as_f{t[1:]}({expression})"
        elif t[0] == "s" and have[0] == "b" and int(have[1:]) > int(t[1:]):
            expression = f"(int{have[1:]}_t)({C_TYPES[t]})({expression})"
        else:
            expression = f"({C_TYPES[t]})({expression})"
        return f"{name} = {expression};"

    def address(self, a):
        m = re.fullmatch(r"\[([%\w$]+)(?:\+(-?\d+))?\]", a)
        if not m:
            raise Unknown(f"address {a}")
        base = self.read(m[1], "u64")
        return f"(uint64_t){base}" + (f" + ({m[2]})" if m[2] else "")


# ---- instructions: (kernel, parts of the opcode, operands, line) -> statement ----
def access(k, space, address, n, mode, line):
    if space in ("global", "generic"):  # a generic address of another space is no device memory, and ends there
        return f"sim_access({k.address(address)}, {n}, {mode})"
    if space == "shared":
        return f"sim_shared({k.address(address)}, {n}, {mode}, {line})"
    raise Unknown(f"memory space {space}")


def load_param(k, p, a, line):
    t = p[-1]
    m = re.fullmatch(r"\[(\w+)(?:\+(\d+))?\]", a[1])
    offset, count = k.params[m[1]] + int(m[2] or 0), next((int(q[1]) for q in p if q in ("v2", "v4")), 1)
    names = [x.strip() for x in a[0].strip("{}").split(",")]
    parts = " ".join(k.write(name, t, f"x[{i}]") for i, name in enumerate(names))
    return f"{{ {C_TYPES[t]} x[{count}]; memcpy(x, P + {offset}, sizeof x); {parts} }}"


def load_store(k, p, a, line):
    t = p[-1]
    if p[0] == "ld" and p[1] == "param":
        return load_param(k, p, a, line)
    space = next((q for q in p if q in ("global", "shared", "local", "const")), "generic")
    count = next((int(q[1]) for q in p if q in ("v2", "v4")), 1)
    load = p[0] == "ld"
    address, values = (a[1], a[0]) if load else (a[0], a[1])
    q = access(k, space, address, size_of(t) * count, "SIM_READ" if load else "SIM_WRITE", line)
    names = [x.strip() for x in values.strip("{}").split(",")]
    if load:
        work = " ".join(k.write(name, t, f"q[{i}]") for i, name in enumerate(names))
        return f"{{ const {C_TYPES[t]} *q = {q}; {work} }}"
    work = " ".join(f"q[{i}] = {k.read(name, t)};" for i, name in enumerate(names))
    return f"{{ {C_TYPES[t]} *q = {q}; {work} }}"


def atomic(k, p, a, line):
    t, space = p[-1], next((q for q in p if q in ("global", "shared")), "generic")
    operands = a if p[0] == "atom" else ["_"] + a
    what = next((q for q in p if q in ("add", "min", "max", "exch", "and", "or", "xor", "cas", "inc")), "?")
    v = k.read(operands[2], t)
    results = {"add": f"old + {v}", "min": f"{v} < old ? {v} : old", "max": f"{v} > old ? {v} : old", "exch": v,
               "and": f"old & {v}", "or": f"old | {v}", "xor": f"old ^ {v}", "inc": f"old >= {v} ? 0 : old + 1"}
    if what == "cas":
        results["cas"] = f"old == {v} ? {k.read(operands[3], t)} : old"
    if what not in results:
        raise Unknown(".".join(p))
    q = access(k, space, operands[1], size_of(t), "SIM_ATOMIC", line)
    return f"{{ {C_TYPES[t]} *q = {q}, old = *q; *q = {results[what]}; {k.write(operands[0], t, 'old')} }}"


def move(k, p, a, line):
    t = p[-1]
    if a[0].startswith("{"):  # one register into its halves
        half, names = f"b{int(t[1:]) // 2}", [x.strip() for x in a[0].strip("{}").split(",")]
        v = k.read(a[1], t)
        return " ".join(k.write(name, half, f"{v} >> {i * int(half[1:])}") for i, name in enumerate(names))
    if a[1].startswith("{"):
        low, high = [x.strip() for x in a[1].strip("{}").split(",")]
        half = f"b{int(t[1:]) // 2}"
        return k.write(a[0], t, f"({C_TYPES[t]}){k.read(high, half)} << {half[1:]} | {k.read(low, half)}")
    if t == "pred":
        return f"v_{a[0][1:]} = {k.read(a[1], t)};"
    return k.write(a[0], t, k.read(a[1], t))


def binary(k, p, a, line):
    t = p[-1]
    if t == "pred":
        return f"v_{a[0][1:]} = {k.read(a[1], t)} {BINARY[p[0]]} {k.read(a[2], t)};"
    x, y = k.read(a[1], t), k.read(a[2], t)
    if any(q in ("sat", "cc", "rz", "rm", "rp") for q in p):
        raise Unknown(".".join(p))
    if p[0] == "mul" and "wide" in p:
        wide = t[0] + str(2 * int(t[1:]))
        return k.write(a[0], wide, f"({C_TYPES[wide]}){x} * ({C_TYPES[wide]}){y}")
    if p[0] == "mul" and "hi" in p:
        wide = {"u32": "uint64_t", "s32": "int64_t", "u64": "unsigned __int128", "s64": "__int128"}[t]
        return k.write(a[0], t, f"({wide}){x} * {y} >> {t[1:]}")
    return k.write(a[0], t, f"{x} {BINARY[p[0]]} {y}")


def multiply_add(k, p, a, line):
    t = p[-1]
    x, y = k.read(a[1], t), k.read(a[2], t)
    if p[0] == "fma" or t[0] == "f":
        if "rn" not in p or "ftz" in p:
            return rounded_fma(k, p, a)
        return k.write(a[0], t, f"fma{'f' if t == 'f32' else ''}({x}, {y}, {k.read(a[3], t)})")
    if "wide" in p:
        wide = t[0] + str(2 * int(t[1:]))
        return k.write(a[0], wide, f"({C_TYPES[wide]}){x} * ({C_TYPES[wide]}){y} + {k.read(a[3], wide)}")
    if "hi" in p:
        raise Unknown(".".join(p))
    return k.write(a[0], t, f"{x} * {y} + {k.read(a[3], t)}")


def rounded_fma(k, p, a):
    """Rounded down: exact in double but for its last bit, as nvcc's expf and logf use it."""
    if p[1] != "rm" or p[-1] != "f32":
        raise Unknown(".".join(p))
    x, y, z = (k.read(v, "f32") for v in a[1:4])
    exact = f"((double){x} * {y} + {z})"
    return (f"{{ double exact = {exact}; float near = (float)exact; "
            f"if (near > exact) near = nextafterf(near, -INFINITY); {k.write(a[0], 'f32', 'near')} }}")


def divide(k, p, a, line):
    t = p[-1]
    operator = "/" if p[0] == "div" else "%"
    if t[0] == "f":
        return k.write(a[0], t, f"{k.read(a[1], t)} / {k.read(a[2], t)}")
    return (f"{{ {C_TYPES[t]} d = {k.read(a[2], t)}; if (!d) sim_fault(\"integer division by zero\"); "
            f"{k.write(a[0], t, f'{k.read(a[1], t)} {operator} d')} }}")


def extreme(k, p, a, line):
    t = p[-1]
    x, y = k.read(a[1], t), k.read(a[2], t)
    if t[0] == "f":
        return k.write(a[0], t, f"f{p[0]}{'f' if t == 'f32' else ''}({x}, {y})")
    return k.write(a[0], t, f"{x} {'<' if p[0] == 'min' else '>'} {y} ? {x} : {y}")


def unary(k, p, a, line):
    t = p[-1]
    x = k.read(a[1], t)
    if t == "pred":
        return f"v_{a[0][1:]} = !{x};"
    s = "f" if t == "f32" else ""
    forms = {"neg": f"-{x}", "not": f"~{x}", "popc": f"__builtin_popcountll({k.read(a[1], 'u' + t[1:])})",
             "abs": f"fabs{s}({x})" if t[0] == "f" else f"{x} < 0 ? -{x} : {x}"}
    if p[0] == "clz":
        u = k.read(a[1], "u" + t[1:])
        return k.write(a[0], "u32", f"{u} ? __builtin_clzll({u}) - {64 - int(t[1:])} : {t[1:]}")
    return k.write(a[0], "u32" if p[0] == "popc" else t, forms[p[0]])


def special(k, p, a, line):
    t = p[-1]
    e = SPECIAL_FUNCTIONS[p[0]].format(a=k.read(a[1], t), s="f" if t == "f32" else "")
    return k.write(a[0], t, f"flush({e})" if "ftz" in p else e)


def shift(k, p, a, line):
    t, n = p[-1], k.read(a[2], "u32")
    x = k.read(a[1], t)
    beyond = f"{x} < 0 ? -1 : 0" if t[0] == "s" else "0"
    return k.write(a[0], t, f"{n} >= {t[1:]} ? ({beyond}) : {x} {'<<' if p[0] == 'shl' else '>>'} {n}")


def funnel(k, p, a, line):
    both = f"((uint64_t){k.read(a[2], 'u32')} << 32 | {k.read(a[1], 'u32')})"
    n = k.read(a[3], "u32")
    n = f"({n} & 31)" if "wrap" in p else f"({n} > 32 ? 32 : {n})"
    return k.write(a[0], "u32", f"{both} << {n} >> 32" if p[1] == "l" else f"{both} >> {n}")


def bits(k, p, a, line):
    if p[0] == "lop3":
        return k.write(a[0], "u32", f"lop3({', '.join(k.read(x, 'u32') for x in a[1:5])})")
    if p[0] == "prmt":
        return k.write(a[0], "u32", f"prmt({', '.join(k.read(x, 'u32') for x in a[1:4])})")
    if p[-1] != "u32":
        raise Unknown(".".join(p))
    x, at, n = (k.read(v, "u32") for v in a[1:4])
    return k.write(a[0], "u32", f"(uint32_t)((uint64_t){x} >> {at} & ((1ull << {n}) - 1))")


def comparison(k, how, t, x, y):
    if how == "nan":
        return f"!({x} == {x} && {y} == {y})"
    if how == "num":
        return f"({x} == {x} && {y} == {y})"
    if how in COMPARE:
        if how == "ne" and t[0] == "f":  # C's != holds for NaN, PTX's does not
            return f"({x} < {y} || {x} > {y})"
        return f"{x} {COMPARE[how]} {y}"
    if how.endswith("u") and how[:-1] in COMPARE:
        return f"(!({x} == {x} && {y} == {y}) || {x} {COMPARE[how[:-1]]} {y})"
    raise Unknown(f"comparison {how}")


def set_predicate(k, p, a, line):
    t = p[-1]
    if "ftz" in p or "|" in a[0]:
        raise Unknown(".".join(p))
    e = comparison(k, p[1], t, k.read(a[1], t), k.read(a[2], t))
    if len(p) == 4:
        e = f"({e}) {BINARY[p[2]]} {k.read(a[3], 'pred')}"
    return f"v_{a[0][1:]} = {e};"


def convert(k, p, a, line):
    to, source = p[-2], p[-1]
    if (to, source) == ("bf16", "f32") and "rn" in p:
        return k.write(a[0], "b16", f"bf16_of({k.read(a[1], 'f32')})")
    if (to, source) == ("f32", "bf16"):
        return k.write(a[0], "f32", f"as_f32((uint32_t){k.read(a[1], 'b16')} << 16)")
    x = k.read(a[1], source)
    if to not in C_TYPES or source not in C_TYPES:
        raise Unknown(".".join(p))
    rounding = next((ROUND[q] for q in p if q in ROUND), None)
    if source[0] == "f" and to[0] != "f":
        e = f"to_{'signed' if to[0] == 's' else 'unsigned'}({rounding}({x}), {to[1:]})"
        return k.write(a[0], to, e)
    if "sat" in p:
        if to != "f32":
            raise Unknown(".".join(p))
        return k.write(a[0], to, f"saturate({x})")
    if rounding:
        return k.write(a[0], to, f"{rounding}({x})")
    if any(q in ("rz", "rm", "rp", "ftz") for q in p):
        raise Unknown(".".join(p))
    return k.write(a[0], to, f"({C_TYPES[to]}){x}")


def select(k, p, a, line):
    t = p[-1]
    return k.write(a[0], t, f"{k.read(a[3], 'pred')} ? {k.read(a[1], t)} : {k.read(a[2], t)}")


def barrier(k, p, a, line):
    k.waits = True
    if p[1] == "warp":
        return f"sim_warp(SIM_SYNC, {k.read(a[0], 'u32')}, 0, 0, 0, NULL);"
    if p[1] != "sync" and not (p[1] == "cta" and p[2] == "sync") or a not in (["0"], []):
        raise Unknown(".".join(p))
    return f'sim_barrier("{line}");'


def shuffle(k, p, a, line):
    k.waits = True
    target, _, predicate = a[0].partition("|")
    how = {"down": "DOWN", "up": "UP", "bfly": "BFLY", "idx": "IDX"}[p[2]]
    out = f"&v_{predicate[1:]}" if predicate else "NULL"
    e = (f"sim_warp(SIM_{how}, {k.read(a[4], 'u32')}, {k.read(a[1], 'b32')}, {k.read(a[2], 's32')}, "
         f"{k.read(a[3], 'u32')}, {out})")
    return k.write(target, "b32", e)


def vote(k, p, a, line):
    k.waits = True
    e = f"sim_warp(SIM_BALLOT, {k.read(a[2], 'u32')}, {k.read(a[1], 'pred')}, 0, 0, NULL)"
    mask = k.read(a[2], "u32")
    if "ballot" in p:
        return k.write(a[0], "b32", e)
    if "any" in p:
        return f"v_{a[0][1:]} = {e} != 0;"
    if "all" in p:
        return f"v_{a[0][1:]} = {e} == {mask};"
    raise Unknown(".".join(p))


def fence(k, p, a, line):
    k.fences = k.fences or p[-1] != "cta"
    return ";"


def branch(k, p, a, line):
    return f"goto {a[0].replace('$', 'L_')};"


HANDLERS = {"ld": load_store, "st": load_store, "atom": atomic, "red": atomic, "mov": move, "cvta": move,
            "mad": multiply_add, "fma": multiply_add, "div": divide, "rem": divide, "min": extreme, "max": extreme,
            "shl": shift, "shr": shift, "shf": funnel, "lop3": bits, "prmt": bits, "bfe": bits, "setp": set_predicate,
            "cvt": convert, "selp": select, "bar": barrier, "barrier": barrier, "shfl": shuffle, "vote": vote,
            "membar": fence, "fence": fence, "bra": branch,
            "ret": lambda *_: "return;", "exit": lambda *_: "return;", "trap": lambda *_: 'sim_fault("trap");'}
HANDLERS.update({op: binary for op in BINARY})
HANDLERS.update({op: unary for op in ("neg", "not", "abs", "popc", "clz")})
HANDLERS.update({op: special for op in SPECIAL_FUNCTIONS})


def instruction(k, text, line):
    guard = ""
    m = re.match(r"@(!?)%(\w+)\s+(.*)", text)
    if m:
        guard, text = f"if ({m[1]}v_{m[2]}) ", m[3]
    m = re.fullmatch(r"([\w.:]+)\s*(.*);", text)
    if not m:
        raise Unknown(text)
    parts = m[1].split(".")
    operands = [x.strip() for x in re.split(r",(?![^{\[]*[}\]])", m[2])] if m[2] else []
    if parts[0] not in HANDLERS:
        raise Unknown(m[1])
    statement = HANDLERS[parts[0]](k, parts, operands, line)
    return f"{guard}{{ {statement} }}" if guard and parts[0] not in ("bra", "ret") else guard + statement


def declaration(k, text):
    """.reg and .shared lines; False: it is something else."""
    m = re.fullmatch(r"\.reg \.(\w+)\s+(%[a-zA-Z]+)<(\d+)>;", text)
    if m:
        if m[1] not in C_TYPES:
            raise Unknown(f"register of type .{m[1]}")
        k.registers[m[2]] = m[1]
        names = ", ".join(f"v_{m[2][1:]}{i} = 0" for i in range(int(m[3])))
        k.body.append(f"    {C_TYPES[m[1]]} {names};")
        return True
    m = re.fullmatch(SHARED, text)
    if m:
        k.add_shared(int(m[1]), m[2], int(m[3]))
        return True
    return False


def line_of(k, text, number):
    m = re.fullmatch(r"(\$\w+):", text)
    if m:
        k.body.append(f"{m[1].replace('$', 'L_')}:;")
    elif text.startswith("{") and text.endswith("}"):  # from inline assembly
        for part in text[1:-1].split(";"):
            if part.strip():
                k.body.append("    " + instruction(k, part.strip() + ";", number))
    elif not declaration(k, text):
        k.body.append("    " + instruction(k, text, number))


def parse(lines):
    kernels, dynamic, shared, i = [], [], {}, 0
    while i < len(lines):
        text = lines[i].split("//")[0].strip()
        i += 1
        m = re.fullmatch(r"\.extern \.shared \.align \d+ \.b8 (\w+)\[\];", text)
        if m:
            dynamic.append(m[1])
        m = re.fullmatch(SHARED, text)
        if m:
            shared[m[2]] = (int(m[1]), int(m[3]))
        m = re.match(r"(?:\.visible |\.weak )?\.entry (\w+)\(", text)
        if not m:
            continue
        k = Kernel(m[1], shared)
        kernels.append(k)
        while not lines[i].strip().startswith(")"):
            m = re.match(r"\.param (?:\.align (\d+) )?\.(\w+)(?: \.ptr.*?)? (\w+)(?:\[(\d+)\])?,?$", lines[i].strip())
            k.add_param(m[1], m[2], m[3], int(m[4]) if m[4] else None)
            i += 1
        while lines[i].strip() != "{":
            i += 1
        i = parse_body(k, lines, i + 1, dynamic)
    return kernels


def parse_body(k, lines, i, dynamic):
    depth = 1
    for name in dynamic:  # behind all static ones; their size is known at the end
        k.shared[name] = "DYNAMIC"
    while depth:
        text = lines[i].split("//")[0].strip()
        i += 1
        if text in ("{", "}"):
            depth += 1 if text == "{" else -1
            continue
        if not text or text.startswith((".loc", ".pragma", ".maxntid", ".minnctapersm")):
            continue
        try:
            if not k.unknown:
                line_of(k, text, i)
        except (Unknown, KeyError) as problem:
            k.unknown = f"PTX line {i}: {problem}"
    return i


def emit(k):
    c_name = f"k_{k.name}"
    static = (k.shared_bytes + 15) // 16 * 16
    if k.unknown:
        print(f"translate.py: {k.name} is not simulated: {k.unknown}", file=sys.stderr)
        k.body = [f'    sim_fault("not simulated: {k.unknown}");']
    print(f"static void {c_name}(const unsigned char *P) {{")
    print("\n".join(k.body).replace("DYNAMIC", str(static)))
    print("    return;\n}")
    layout = ", ".join(f"{{{offset}, {n}}}" for offset, n in k.layout)
    print(f"static const sim_param {c_name}_params[] = {{{layout or '{0, 0}'}}};")
    flags = f"{str(k.waits and not k.unknown).lower()}, {str(k.fences).lower()}"
    return f'{{"{k.name}", {c_name}_params, {len(k.layout)}, {static if k.shared else 0}, {flags}, {c_name}}},'


def main():
    print(PRELUDE)
    rows = []
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            rows += [emit(k) for k in parse(file.read().split("\n"))]
    if not rows:
        sys.exit("translate.py: no kernel found")
    print("static const sim_kernel kernels[] = {\n" + "\n".join(rows) + "\n};")
    print("__attribute__((constructor)) static void register_all(void) {")
    print("    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)\n        sim_register(&kernels[i]);\n}")


main()
