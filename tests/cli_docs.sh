#!/usr/bin/env bash
# timeout: 120
# README.md, CLUSTER.md and CONTRIBUTING.md speak of the program as it is: commands and options that it knows, files of the
# tree that are there, its exit codes, and the layouts of files that a run really writes. Mistakes planted in copies are seen.
set -euo pipefail
if ! command -v h5dump >/dev/null; then
    echo "skipped: needs h5dump (hdf5-tools)"
    exit 77
fi
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"

# What there is: options by command, exit codes, and the contents of a run
mapfile -t commands < <("$DTRAIN" --help | sed -n '/^Commands/,/^$/s/^  \([a-z][a-z]*\) .*/\1/p')
for command in "${commands[@]}"; do
    "$DTRAIN" "$command" --help | grep -oE '^  --[a-z0-9-]+' | tr -d ' ' >"options.$command"
done
"$DTRAIN" --help | sed -n '/^Exit codes/,/^$/p' | grep -oE '^  [0-9]+' | tr -d ' ' >codes
python3 "$SRC/tests/make_data.py" data --train 960 --test 50
"$DTRAIN" --data data --out run --model 'conv 4 3; relu; pool 2; fc 10' --epochs 1 --batch 16 --micro-batch 8 --threads 1 \
    --validation 32 --quiet
"$DTRAIN" sweep --data data --out run --model 'fc 10' --epochs 1 --samples 960 --seeds 1 --scaling none --batch 16 --micro-batch 8 \
    --threads 1 --quiet 2>said
for file in run latest sweep; do
    h5dump -n 1 "run/$file.h5" | awk '$1 == "dataset" { print $2 } $1 == "attribute" && $2 ~ /^\/[^\/]*$/ { print "@" substr($2, 2) }' |
        sort -u >"$file.contents"
done

cat >docs.py <<'PY'
"""docs.py TREE: prints what the documents of TREE say that is not so; its number is the exit code."""
import glob
import json
import os
import re
import sys

tree, wrong = sys.argv[1], 0
source = os.environ["SRC"]
lines_of = lambda name: open(name, encoding="utf-8").read().split("\n")
options = {name[8:]: set(lines_of(name)) - {""} for name in glob.glob("options.*")}
every = set.union(*options.values())
# options of other programs that the documents name
others = {
    "--all", "--allow-run-as-root", "--bind-to", "--cpus-per-task", "--faults", "--hostfile", "--install", "--map-by", "--mca",
    "--mpi", "--oversubscribe", "--short", "--timeout", "--toolkit",
}
for script in ("submit", "dtrain-run"):  # what their heads say that they take
    with open(os.path.join(source, "launch", script), encoding="utf-8") as file:
        others |= set(re.findall(r"--[a-z][a-z-]+", file.read().split("\nset ")[0]))
# and options of sbatch and scancel that the template and the text use
others |= {"--batch", "--cpu-bind", "--kill-on-bad-exit", "--mpi", "--ntasks-per-node", "--requeue", "--signal"}
build_variables = {"DTRAIN_CUDA_ROOT", "DTRAIN_SITE"}


def say(document, text):
    global wrong
    wrong += 1
    print(f"{document}: {text}")


def check_call(document, words):
    """The words behind ./dtrain, up to the end of the command."""
    words = re.split(r"[|;&#]| 2>", re.sub(r'"[^"]*"|\'[^\']*\'', "TEXT", words))[0].split()
    command = "train"
    if words and not words[0].startswith("-") and words[0] != "...":
        command = words[0]
    if command not in options:
        say(document, f"no command {command}")
        return
    for word in words:
        option = word.split("=")[0]
        if option.startswith("--") and option not in options[command]:
            say(document, f"{command} knows no option {option}")


def check_path(document, path):
    pattern = re.sub(r"_X\b", "_*", path.rstrip("/.,:"))
    if not glob.glob(os.path.join(source, pattern)):
        say(document, f"there is no {path}")


def layouts(blocks):
    for info, text in blocks:
        if info.startswith("text ") and info.split()[1] in ("run.h5", "sweep.h5", "log.jsonl", "checkpoint-STEP.h5"):
            yield info.split()[1], text


def names(text):
    """Of a layout: attributes as @name, data sets by path. A comment stands behind two blanks and is no list of names."""
    found, group = set(), None
    for line in text.split("\n"):
        match = re.match(r"(/\S*?)([^/\s,]*)(,|\s|$)", line)
        if match:
            group = match[1] if match[2] or match[1] != "/" else "/"
            line = line[len(match[1]):]
        head = re.split(r"   +|  \[", line.strip(), maxsplit=1)[0]
        for name in re.findall(r"[A-Za-z0-9_]+", head):
            found.add("@" + name if group == "/" and "/" + name not in ("/confusion", "/class") else group + name)
    return found


def generic(contents):
    return {re.sub(r"^/parameters/[^/]+/", "/parameters/<layer>/",
                   re.sub(r"^/optimizer/[^/]+/[^/]+/", "/optimizer/<slot>/<layer>/", name)) for name in contents}


def compare(document, what, said, real):
    for name in sorted(real - said):
        say(document, f"{what} has {name}, which is not told")
    for name in sorted(said - real):
        say(document, f"{what} has no {name}")


def check_layouts(document, blocks):
    real = {f: set(lines_of(f[:-3] + ".contents")) - {""} for f in ("run.h5", "sweep.h5")}
    real |= {"checkpoint-STEP.h5": generic(set(lines_of("latest.contents")) - {""})}
    events = {}
    for line in filter(None, lines_of("run/log.jsonl")):
        event = json.loads(line)
        events.setdefault(event["event"], set()).update(event)
    seen = set()
    for name, text in layouts(blocks):
        seen.add(name)
        if name != "log.jsonl":
            compare(document, name, names(text), real[name])
            continue
        for part in re.split(r"\n(?=\S)", text.strip()):
            event, keys = part.split(None, 1)
            compare(document, f"event {event}", set(re.findall(r"\w+", keys.split("(")[0])), events.get(event, set()))
    compare(document, "the section of files", seen, set(real) | {"log.jsonl"})


for document in ("README.md", "CLUSTER.md", "CONTRIBUTING.md"):
    text = open(os.path.join(tree, document), encoding="utf-8").read()
    blocks = re.findall(r"^```(.*)\n((?:.*\n)*?)```$", text, re.M)
    prose = re.sub(r"^```.*\n(?:.*\n)*?```$", "", text, flags=re.M)
    spans = re.findall(r"`([^`\n]+)`", prose)
    for info, block in blocks:
        for line in block.split("\n") if not info else []:
            for words in re.findall(r"(?:^|[ /])dtrain((?: .*)?)$", line.split(" #")[0].strip()):
                check_call(document, words)
    for span in spans:
        for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", span):
            if option not in every | others:
                say(document, f"nobody knows {option}")
        for variable in re.findall(r"DTRAIN_[A-Z_0-9]+", span):
            if variable not in build_variables and "--" + variable[7:].lower().replace("_", "-") not in every:
                say(document, f"no option belongs to {variable}")
    for path in re.findall(r"(?<![\w/.-])(?:\./)?((?:io|model|dist|launch|tests|cmake|\.ci)/[\w.*/\[\]-]+)",
                           "\n".join(spans + [b for i, b in blocks if not i] + re.findall(r"\]\(([^)]+)\)", text))):
        check_path(document, path)
    for path in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        check_path(document, path)
    if document == "README.md":
        codes = re.findall(r"^\| (\d+) \| ", text[text.index("| exit code |"):], re.M)
        compare(document, "the table of exit codes", set(codes), set(lines_of("codes")) - {""})
        check_layouts(document, blocks)
        if not re.search(r"^<!-- figures -->\n(?s:.*)^<!-- /figures -->$", text, re.M):
            say(document, "no place for the figures")
sys.exit(min(wrong, 100))
PY
docs() { python3 docs.py "$1" >said 2>&1; }
check "the documents say what is so" docs "$SRC"

# planted DOCUMENT WORDS OTHERS SEEN: with WORDS replaced by OTHERS, SEEN is complained of
planted() {
    rm -rf tree && mkdir tree
    cp "$SRC"/*.md tree
    python3 - "tree/$1" "$2" "$3" <<'PY'
import sys
path, words, others = sys.argv[1:]
text = open(path, encoding="utf-8").read()
assert words in text, words
open(path, "w", encoding="utf-8").write(text.replace(words, others))
PY
    if docs tree; then
        echo "not seen: $3 in $1" >said
        return 1
    fi
    grep -qF -- "$4" said
}
check "an option of a call" planted README.md "--model fast --epochs 1" "--model fast --epoch 1" "train knows no option --epoch"
check "an option of another command" planted README.md "dtrain eval runs/latest " "dtrain eval --resume " "eval knows no option --resume"
check "a command" planted README.md "./dtrain devices" "./dtrain device" "no command device"
check "an option in prose" planted README.md "(\`--keep" "(\`--keeps" "nobody knows --keeps"
check "a variable" planted README.md DTRAIN_MICRO_BATCH DTRAIN_MICROBATCH "no option belongs to DTRAIN_MICROBATCH"
check "a file" planted CONTRIBUTING.md model/cpu_fc.c model/cpu_fcs.c "there is no model/cpu_fcs.c"
check "a link" planted README.md "(CLUSTER.md)" "(CLUSTERS.md)" "there is no CLUSTERS.md"
check "a column left out" planted README.md "wait_seconds, " "" "run.h5 has /ranks/wait_seconds"
check "a column too many" planted README.md "gradient_norm             [step]" "gradient_norm, speed             [step]" "run.h5 has no /steps/speed"
check "an attribute" planted README.md "best_step, best_kind, config" "best_kind, config" "checkpoint-STEP.h5 has @best_step"
check "a data set" planted README.md "/parameters/<layer>/weight, bias" "/parameters/<layer>/weights, bias" "no /parameters/<layer>/weights"
check "a key of the log" planted README.md "is_best" "best" "event epoch has is_best"
check "an exit code" planted README.md "| 75 |" "| 77 |" "has 75, which is not told"
finish
