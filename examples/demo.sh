#!/usr/bin/env bash
# The story of a stateful job: counted, checkpointed, savepointed from a second terminal, killed with
# kill -9 and resumed, cancelled with a savepoint, restored on another backend at another parallelism;
# and the result compared with tr, sort and uniq.
#
#   examples/demo.sh TEXT BUILD_DIRECTORY     (./dev demo calls it)
set -euo pipefail
text=$(realpath "$1")
build=$(realpath "$2")
weir=$build/weir
job=$build/examples/word_count.so
work=$(mktemp -d)
run_pid=

finish() {
  [ -z "$run_pid" ] || kill -9 "$run_pid" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
cd "$work"

step() { printf '\n\033[1m%s\033[0m\n' "== $*"; }
say() { printf '   %s\n' "$*"; }
fail() {
  printf 'demo: %s\n' "$*" >&2
  [ ! -s run.err ] || sed 's/^/   /' run.err >&2
  exit 1
}
json() { python3 -c 'import json,sys
value = json.load(sys.stdin)
for key in sys.argv[1].split("."):
    if isinstance(value, list): value = value[int(key)] if int(key) < len(value) else None
    else: value = value.get(key)
    if value is None: break
print("" if value is None else value)' "$1"; }
# The messages that follow from one, the first $2 in the trace $1 or the last that a client has sent: how often each
# was delivered, and between whom, in order.
messages() {
  python3 - "$1" "$2" <<'PY'
import collections, json, re, sys
start = ["SubmitJob", "SubmitTask", "UpdateTaskState", "StartTask"]
snapshot = ["TriggerSavepoint", "CancelJobWithSavepoint", "TriggerCheckpoint", "AcknowledgeCheckpoint",
            "NotifyCheckpointComplete", "TriggerSavepointSuccess", "CancellationSuccess"]
entries = []
for line in open(sys.argv[1]):
    try: entries.append(json.loads(line))
    except ValueError: pass  # the line that was cut off in the middle
places = [i for i, e in enumerate(entries) if e["message"] == sys.argv[2]]
asked = [i for i in places if entries[i]["from"] == "client"]
entries = entries[asked[-1] if asked else places[0]:]
if sys.argv[2] in start:
    end = max(i for i, e in enumerate(entries) if e["message"] == "StartTask")
    entries = [e for e in entries[:end + 1] if e["message"] in start]
else:
    # Periodic checkpoints may come in between: the savepoint is the first that is triggered behind the request.
    number = next(e["checkpoint"] for e in entries if e["message"] == "TriggerCheckpoint")
    entries = [e for e in entries if e["message"] in snapshot and e.get("checkpoint", number) == number]
seen = collections.Counter()
for entry in entries:
    sender, receiver = (re.sub(":.*", "", entry[end]) for end in ("from", "to"))
    seen[entry["message"], sender, receiver] += 1
for (message, sender, receiver), count in seen.items():
    print(f"   {count:3} x {message}: {sender} -> {receiver}")
PY
}
# The id of the job that writes this trace; of all that run here, it is ours.
job_of() {
  python3 - "$1" <<'PY'
import json, sys
try:
    with open(sys.argv[1], encoding="utf-8") as trace:
        for line in trace:
            if not line.endswith("\n"): break  # it is being written
            if job := json.loads(line).get("job"):
                print(job)
                break
except FileNotFoundError: pass
PY
}
completed() { "$weir" info "$1" --json 2>/dev/null | json checkpoints.completed; }
# Waits until the command prints something that satisfies the test; the job itself must go on.
wait_for() {
  local what=$1; shift
  for _ in $(seq 600); do
    if "$@"; then return; fi
    kill -0 "$run_pid" 2>/dev/null || fail "the job ended while the demo waited for $what"
    sleep 0.1
  done
  fail "no $what within a minute"
}
# Whether the job that writes the trace $1 runs; sets `id`.
is_running() {
  id=$(job_of "$1") && [ -n "$id" ] || return
  [ "$("$weir" info "$id" --json 2>/dev/null | json state)" = RUNNING ]
}
has_completed() { local n; n=$(completed "$id") && [ "${n:-0}" -ge "$1" ]; }

lines=$(wc -l <"$text")
common=(-D "state.checkpoints.dir=$work/checkpoints" -D "execution.checkpointing.interval=500 ms"
  -D "io.tmp.dirs=$work/tmp")  # where the process that is killed leaves what it had

step "A job counts the words of $(basename "$text"): $lines lines, $(du -h "$text" | cut -f1)"
say "\$ weir run -p 2 -D state.backend=filesystem ... word_count.so --input $(basename "$text") --output counts --rate $((lines / 25))"
"$weir" run -p 2 --trace first.jsonl -D state.backend=filesystem "${common[@]}" \
  "$job" --input "$text" --output "$work/counts" --rate $((lines / 25)) 2>run.err &
run_pid=$!
wait_for "running job" is_running first.jsonl
say "job $id"
wait_for "first checkpoint" has_completed 1
say "the first checkpoint is complete"
messages first.jsonl SubmitJob
messages first.jsonl TriggerCheckpoint

step "A second terminal asks for a savepoint"
say "\$ weir savepoint $id savepoints"
savepoint=$("$weir" savepoint "$id" "$work/savepoints")
say "$savepoint"
messages first.jsonl TriggerSavepoint

step "kill -9, after another two checkpoints"
wait_for "more checkpoints" has_completed $(($(completed "$id") + 2))
disown "$run_pid"  # the shell need not tell that it was killed
kill -9 "$run_pid"
while kill -0 "$run_pid" 2>/dev/null; do sleep 0.05; done
run_pid=
say "the process is gone; on disk: $(find "$work/checkpoints" -name 'chk-*' -type d | sed 's|.*/||' | sort -V | tr '\n' ' ')"

step "The job goes on where its last checkpoint was, with RocksDB"
say "\$ weir run -s latest -p 3 -D state.backend=rocksdb ... word_count.so ..."
"$weir" run -s latest -p 3 --json --trace second.jsonl -D state.backend=rocksdb "${common[@]}" \
  "$job" --input "$text" --output "$work/counts" --rate $((lines / 25)) >resumed.json 2>run.err &
run_pid=$!
wait_for "running job" is_running second.jsonl
restored=$("$weir" info "$id" --json)
say "job $id goes on from $(json checkpoints.restored_directory <<<"$restored" | sed 's|.*/||')"
wait_for "checkpoint" has_completed 1
messages second.jsonl SubmitJob
messages second.jsonl TriggerCheckpoint

step "It is cancelled with a savepoint"
say "\$ weir cancel -s savepoints $id"
savepoint=$("$weir" cancel -s "$work/savepoints" "$id")
wait "$run_pid" || fail "the cancelled job did not end well"
run_pid=
say "$savepoint"
messages second.jsonl CancelJobWithSavepoint

step "And restored from it on the memory backend, with one subtask, to the end"
say "\$ weir run -s $(basename "$savepoint") -p 1 -D state.backend=jobmanager word_count.so ..."
"$weir" run -s "$savepoint" -p 1 --trace third.jsonl -D state.backend=jobmanager --json \
  "$job" --input "$text" --output "$work/counts" >end.json 2>run.err || fail "the restored job failed"
resumed=$(json operators.0.records_out <resumed.json)
rest=$(json operators.0.records_out <end.json)
messages third.jsonl SubmitJob
say "$(json state <end.json); it read the remaining $rest of $lines lines"
say "so after the kill -9 the job had gone on from line $((lines - rest - resumed)), and read $resumed lines until it was cancelled"

step "The result, beside that of tr | sort | uniq -c"
cat counts/* | LC_ALL=C sort >ours
LC_ALL=C tr -cs 'A-Za-z' '\n' <"$text" | LC_ALL=C tr A-Z a-z | grep -v '^$' | LC_ALL=C sort | uniq -c |
  awk '{ print $2 "\t" $1 }' | LC_ALL=C sort >theirs
cmp ours theirs || fail "the counts differ; see the first lines of: diff $work/ours $work/theirs"
say "equal: $(wc -l <ours) distinct words, $(awk '{ n += $2 } END { print n }' ours) in all"
sort -k2,2 -nr ours | head -5 | sed 's/^/      /'
