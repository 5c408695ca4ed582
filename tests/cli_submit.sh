#!/usr/bin/env bash
# timeout: 60
# What launch/submit would submit (--dry-run): every option where it belongs and nothing that was not asked for, options of
# dtrain unharmed by quoting, arrays, and wrong use refused. The scripts pass shellcheck. tests/slurm runs them.
set -euo pipefail
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
unset DTRAIN_SITE DTRAIN_OUT
submit() { "$SRC/launch/submit" "$@" >said 2>&1; }
line() { grep -qxF -- "$1" said; }
has() { grep -qE -- "$1" said; }
hasnt() { ! has "$1"; }
option() { grep -qE -- "^#SBATCH $1( # .+)?\$" said; }
refused() { # refused WHY OPTION...: with exit code 2
    local why=$1 code=0
    shift
    submit --dry-run "$@" || code=$?
    check "$*: refused ($code)" [ "$code" -eq 2 ]
    check "$*: $why" has "^submit: .*$why"
}
sound() { # a script that bash and shellcheck take, in which nothing is left to fill in
    bash -n said && ! has '@[?a-z]' || return 1
    ! command -v shellcheck >/dev/null || shellcheck -s bash said
}
# The command that the script would launch, one word a line, for a job 7 that was restarted $1 times; in an array as task $2.
program() {
    sed -n '/^program=/,/^$/p' said >part.sh
    SLURM_JOB_ID=7 restarts=$1 SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=${2:-} \
        bash -uc '. ./part.sh; printf "%s\n" "${program[@]:1}"'
}
launches() { # launches RESTARTS TASK WORD...
    local restarts=$1 task=$2
    shift 2
    [ "$(program "$restarts" "$task")" = "$(printf '%s\n' "$@")" ]
}

submit --dry-run --nodes 2 --gpus-per-node 4 -- --epochs 3
check "GPUs: a sound script" sound
for name in job-name=dtrain nodes=2 exclusive mem=0 gpus-per-node=4 signal=B:USR1@120 requeue open-mode=append output=dtrain-%j.log; do
    check "GPUs: $name" option "--$name"
done
check "GPUs: no other options" [ "$(grep -c '^#SBATCH' said)" -eq 9 ]
check "GPUs: a rank each" line ranks_per_node=4
check "GPUs: or nothing" line "export DTRAIN_DEVICE=cuda"
check "GPUs: no number of tasks, which would pin the number of nodes" hasnt '^#SBATCH --ntasks'
check "GPUs: not by task" hasnt '^[^#]*--gpus-per-task'
check "GPUs: no site file" hasnt '^\. '
check "the program" launches 0 '' train --epochs 3 --out runs/slurm-7
check "the program, restarted" launches 2 '' train --epochs 3 --out runs/slurm-7 --resume

printf 'module load x\n' >'my site.sh'
submit --dry-run --cpu --ranks-per-node=2 --cpus-per-rank 8 --nodes 2-3 --time 1-0:30 --partition long --account me --qos low \
    --mem 4G --job-name night --dependency afterok:1:2 --save-time 60 --max-requeues 3 --log out/%x-%j --launcher mpirun \
    --site 'my site.sh' --sbatch --reservation=mine --sbatch "--comment='two words'" -- --out 'a dir'
check "CPUs: a sound script" sound
for name in job-name=night account=me partition=long qos=low dependency=afterok:1:2 kill-on-invalid-dep=yes nodes=2-3 mincpus=16 \
    mem=4G time=1-0:30 signal=B:USR1@60 output=out/%x-%j reservation=mine "comment='two words'"; do
    check "CPUs: $name" option "--$name"
done
check "CPUs: shared nodes" hasnt '^#SBATCH --exclusive'
check "CPUs: no GPUs" hasnt '^#SBATCH.*gpus'
check "CPUs: ranks" line ranks_per_node=2
check "CPUs: and nothing else" line "export DTRAIN_DEVICE=cpu"
check "CPUs: requeues" line max_requeues=3
check "CPUs: the launcher" line launcher=mpirun
check "CPUs: the site file" line ". $PWD/my\\ site.sh"
check "CPUs: their own directory" launches 0 '' train --out 'a dir'

# Whatever the shell would do to a word, dtrain gets it as it was.
words=("conv 4 3; relu; fc 10" "it's" 'a"b' "\$HOME \`id\`" "back\\slash" "tab	and
newline" '*' "")
submit --dry-run --cpu -- sweep --out x "${words[@]}"
check "words: a sound script" sound
program 0 >words
printf '%s\n' sweep --out x "${words[@]}" >expected
check "words: unharmed" cmp words expected
submit --dry-run --cpu -- sweep
check "a sweep has its directory, and needs no --resume" launches 1 '' sweep --out sweeps/slurm-7
DTRAIN_OUT=there submit --dry-run --cpu
check "a directory from the environment" launches 0 '' train
check "a sweep goes on" line goes_on=yes
for command in devices bench eval doctor; do
    submit --dry-run --cpu -- $command x
    check "$command" launches 1 '' $command x
    check "$command would begin anew: does not come back" line goes_on=no
done
submit --dry-run -- report runs/a
check "a report takes one core" option --mincpus=1

submit --dry-run --cpu --array 1-5%2 -- --seed %a --out "runs/%A-seed%a"
check "array: a sound script" sound
check "array: its numbers" option --array=1-5%2
check "array: a log for each" option --output=dtrain-%A_%a.log
check "array: the task's number" launches 1 4 train --seed 4 --out runs/7-seed4 --resume
submit --dry-run --cpu --array 1-5 -- --seed %a
check "array: a directory for each" launches 0 4 train --seed 4 --out runs/slurm-7-4

submit --dry-run --cpu --partition p --array %2 --sweep seed=1,2 --sweep model='fc 10,conv 4 3; fc 10' -- --epochs 1
awk '/^#!/ { n++ } { print >("script" n) }' said
cp script1 said
check "sweep: a sound script" sound
check "sweep: a job for each combination" option --array=0-3%2
check "sweep: the second" launches 0 1 train --epochs 1 --seed 2 --model 'fc 10' --out runs/slurm-7-1
check "sweep: the third" launches 0 2 train --epochs 1 --seed 1 --model 'conv 4 3; fc 10' --out runs/slurm-7-2
cp script2 said
check "sweep: a sound script of the report" sound
check "sweep: the report waits for all" option --dependency=afterok:JOB
check "sweep: the report in the same queue" option --partition=p
check "sweep: the report of all" launches 0 '' report runs/slurm-JOB-0 runs/slurm-JOB-1 runs/slurm-JOB-2 runs/slurm-JOB-3 \
    -o runs/slurm-JOB-report

# The warning must come while the job runs. Slurm has minutes, rounds up, and may warn one minute early.
for form in 2=120 1:30=120 0:2:00=120 0-0:2=120 0-0:01:59=120 1-1=90000 1-0:01=86460 25:00:01=90060; do
    time=${form%=*} seconds=${form#*=}
    refused "--save-time" --cpu --time "$time" --save-time "$seconds"
    submit --dry-run --cpu --time "$time" --save-time $((seconds - 1))
    check "--time $time, 1 s more than to save: taken" line "#SBATCH --time=$time"
    check "--time $time, 1 s more than to save: a warning" has '^submit: .*--save-time'
    submit --dry-run --cpu --time "$time" --save-time $((seconds - 61))
    check "--time $time, 61 s more: no warning" hasnt '^submit:'
done
refused "--save-time" --cpu --time 2
for time in 0 UNLIMITED; do
    submit --dry-run --cpu --time $time
    check "--time $time: no limit" line "#SBATCH --time=$time"
done
submit --dry-run --cpu --time 1 -- doctor
check "nothing to save: not warned of the end" hasnt '^#SBATCH --signal'
check "nothing to save: any time will do" line '#SBATCH --time=1'

# SIGTERM to the script: a preempted job comes back, one that somebody ends does not. The script itself, with stand-ins for
# what it calls.
mkdir bin
cat >bin/mpirun <<'SH'
#!/bin/bash
trap 'exit 75' USR1
: >started
for ((i = 0; i < 100; i++)); do sleep 0.1; done
SH
cat >bin/scontrol <<'SH'
#!/bin/bash
[ "$1" != requeue ] || echo "$2" >>requeued
# of an array this may be all its tasks
[ "$1" != show ] || printf 'JobId=%s JobName=x PreemptEligibleTime=2030-01-01T00:00:00 PreemptTime=%s Reason=x\n' 6 "$OF_6" 7 "$OF_7"
SH
chmod +x bin/*
submit --dry-run --cpu --launcher mpirun
cp said job.sbatch
ended_by_term() { # ended_by_term OF_6 OF_7: when these jobs were preempted; the script's exit code in code
    rm -f started requeued
    OF_6=$1 OF_7=$2 SLURM_JOB_ID=7 SLURM_JOB_NUM_NODES=1 SLURM_JOB_NODELIST=n1 PATH=$PWD/bin:$PATH bash job.sbatch >said 2>&1 &
    for _ in $(seq 100); do [ -e started ] || sleep 0.05; done
    kill -TERM $!
    code=0
    wait $! || code=$?
}
ended_by_term None 2026-01-01T00:00:00
check "SIGTERM of a preemption: exit code $code is 75" [ "$code" -eq 75 ]
check "SIGTERM of a preemption: comes back" grep -qx 7 requeued
ended_by_term 2026-01-01T00:00:00 None
check "SIGTERM of scancel: exit code $code is 75" [ "$code" -eq 75 ]
check "SIGTERM of scancel: does not come back" [ ! -e requeued ]

refused "say --gpus-per-node N, or --cpu" -- --epochs 3
refused "not both" --cpu --gpus-per-node 2
refused "one rank a GPU" --gpus-per-node 2 --ranks-per-node 3
refused "a number or MIN-MAX" --cpu --nodes 2,3
refused "a number of at least 1" --gpus-per-node all
refused "a number of at least 1" --cpu --ranks-per-node 0
refused "a number of at least 0" --cpu --max-requeues -1
refused "auto, srun or mpirun" --cpu --launcher mpiexec
refused "one word without quotes" --cpu --job-name "two words"
refused "one word without quotes" --cpu --partition $'p\ndate'
refused "an option of sbatch" --cpu --sbatch $'--x\ndate'
refused "needs a value" --cpu --time
refused "it has no option --epochs" --cpu --epochs 3
refused "options of dtrain stand behind --" --cpu train
refused "no command of dtrain" --cpu -- serve
refused "takes one node" --nodes 2 -- report x
refused "cannot read the site file" --cpu --site nowhere
refused "put %a into its name" --cpu --array 1-3 -- --out same
refused "put %a into its name" --cpu --sweep seed=1,2 -- --out=same
refused "numbers the array by itself" --cpu --sweep seed=1,2 --array 0-5
refused "NAME=VALUE,VALUE" --cpu --sweep seed
refused "for trainings" --cpu --sweep seed=1,2 -- sweep
code=0
PATH=/usr/bin:/bin submit --cpu || code=$? # here without Slurm, or with one that is not running
check "nothing to submit to ($code)" [ "$code" -ne 0 ]
submit --help
check "help" has '^  --max-requeues N '
finish
