/* launch/option_table.c - the rows: every option and every command, once. */
#include "launch/option_table.h"

#include <stdio.h>
#include <string.h>

#define FIELD(field) offsetof(dt_options, field), sizeof(((dt_options *)NULL)->field)

/* clang-format off */
enum {
    TRAIN = DT_CMD_TRAIN,
    SWEEP = DT_CMD_SWEEP,
    CELLS = DT_CMD_TRAIN | DT_CMD_SWEEP,
    RUNS = DT_CMD_TRAIN | DT_CMD_SWEEP | DT_CMD_EVAL,
    COMPUTES = DT_CMD_TRAIN | DT_CMD_EVAL | DT_CMD_BENCH,
    PLACES = DT_CMD_TRAIN | DT_CMD_SWEEP | DT_CMD_EVAL | DT_CMD_DEVICES | DT_CMD_BENCH | DT_CMD_DOCTOR,
    LOOKS = DT_CMD_PREDICT | DT_CMD_FEATURES | DT_CMD_EXPORT
};

/* Seeds end at 2^53 so that every reader of the JSON gets them exactly. */
const dt_option dt_option_table[] = {
    {"data", DT_OPTION_TEXT, FIELD(data), .initial = "data/mnist", .metavar = "DIR", .group = "Data",
     .commands = RUNS | DT_CMD_DOCTOR,
     .help = "directory with four IDX files, plain or .gz: images and labels, train and t10k; eval: t10k alone"},
    {"samples", DT_OPTION_INT, FIELD(samples), .min = 1, .max = 1e12, .word = "all", .word_value = 0, .initial = "all",
     .metavar = "N", .group = "Data", .commands = TRAIN, .changes_bits = true,
     .help = "train on N samples of the training set; a larger N takes the same ones and more"},
    {"samples", DT_OPTION_TEXT, FIELD(sizes), .initial = "auto", .shown = "auto: 1/12, 1/6, 1/3, 1/2, 2/3, 5/6 and all",
     .metavar = "LIST", .group = "Data", .commands = SWEEP,
     .help = "sizes of the training set to compare: 1000,2000,4000; each takes the samples of the one before and more"},
    {"validation", DT_OPTION_INT, FIELD(validation), .min = 0, .max = 1e12, .initial = "0", .metavar = "N",
     .group = "Data", .commands = TRAIN, .changes_bits = true,
     .help = "hold out N of those to choose best.h5 by; 0: the test set chooses"},

    {"model", DT_OPTION_TEXT, FIELD(model), .initial = "cnn", .metavar = "NAME|SPEC", .group = "Model",
     .commands = TRAIN, .changes_bits = true,
     .help = "cnn, fast, lenet5, mlp, or layers in words: \"conv 32 3; relu; pool 2; fc 10\""},
    {"model", DT_OPTION_TEXT, FIELD(model), .initial = "fast", .metavar = "NAME|SPEC", .group = "Model",
     .commands = SWEEP, .changes_bits = true,
     .help = "fast, cnn, lenet5, mlp, or layers in words; fast, as cnn takes three times as long for all the trainings"},
    {"init", DT_OPTION_TEXT, FIELD(init), .initial = "", .shown = "random", .metavar = "CHECKPOINT", .group = "Model",
     .commands = CELLS, .changes_bits = true,
     .help = "start from the parameters of a checkpoint of the same network"},
    {"seed", DT_OPTION_INT, FIELD(seed), .min = 0, .max = 9007199254740992.0, .initial = "1", .metavar = "S",
     .group = "Model", .commands = CELLS, .changes_bits = true,
     .help = "of everything random: initial parameters, order of samples, dropout, augmentation"},

    {"ranks", DT_OPTION_TEXT, FIELD(ranks), .initial = "auto", .shown = "auto: 1, 2, 4, ... and all", .metavar = "LIST",
     .group = "Sweep", .commands = SWEEP, .help = "numbers of ranks to compare: 1,2,4; at most those that mpirun starts"},
    {"seeds", DT_OPTION_INT, FIELD(seeds), .min = 1, .max = 1000, .initial = "3", .metavar = "N", .group = "Sweep",
     .commands = SWEEP, .help = "train each size with N seeds, from --seed on"},
    {"repeats", DT_OPTION_INT, FIELD(repeats), .min = 1, .max = 1000, .initial = "3", .metavar = "N", .group = "Sweep",
     .commands = SWEEP, .help = "time each number of ranks and batch N times"},
    {"scaling", DT_OPTION_WORD, FIELD(scaling), .words = "strong|weak|both|none", .initial = "both", .group = "Sweep",
     .commands = SWEEP, .help = "time ranks with the same batch, with one that grows with them, or not at all"},
    {"budget", DT_OPTION_WORD, FIELD(budget), .words = "epochs|steps|both|none", .initial = "both", .group = "Sweep",
     .commands = SWEEP,
     .help = "train each size for --epochs, for as many updates as the largest, or not at all"},
    {"spread", DT_OPTION_FLAG, FIELD(spread), .initial = "no", .group = "Sweep", .commands = SWEEP,
     .help = "ranks of a cell on as many hosts as there are; else one host is filled before the next"},

    {"recipe", DT_OPTION_WORD, FIELD(recipe), .words = "plain|robust", .initial = "plain", .group = "Training",
     .commands = CELLS,
     .help = "defaults of the others; robust: for handwriting of all kinds, a larger --model, 20 --epochs, --augment elastic"},
    {"epochs", DT_OPTION_INT, FIELD(epochs), .min = 1, .max = 1e6, .initial = "3", .metavar = "E",
     .group = "Training", .commands = CELLS, .changes_bits = true,
     .help = "times that every sample is used; the schedule ends there"},
    {"batch", DT_OPTION_INT, FIELD(batch), .min = 1, .max = 1048576, .initial = "256", .metavar = "B",
     .group = "Training", .commands = CELLS, .changes_bits = true,
     .help = "samples an update, over all ranks"},
    {"micro-batch", DT_OPTION_INT, FIELD(micro_batch), .min = 1, .max = 65536, .word = "auto", .word_value = 0,
     .initial = "auto", .shown = "auto: 16, on a GPU 128", .metavar = "M", .group = "Training",
     .commands = RUNS | DT_CMD_BENCH, .changes_bits = true,
     .help = "samples that one worker computes at a time; at most B/M workers have work"},
    {"augment", DT_OPTION_WORD, FIELD(augment), .words = "none|affine|elastic", .initial = "none", .group = "Training",
     .commands = CELLS, .changes_bits = true,
     .help = "new pictures in every epoch: affine turns, moves, scales, shears, thickens, adds noise; elastic bends too"},
    {"target-accuracy", DT_OPTION_NUMBER, FIELD(target_accuracy), .min = 1e-9, .max = 100, .word = "off",
     .word_value = 0, .initial = "off", .metavar = "PERCENT", .group = "Training", .commands = TRAIN,
     .help = "stop after the epoch that reaches it"},

    {"optimizer", DT_OPTION_WORD, FIELD(optimizer), .words = "sgd|adamw", .initial = "adamw", .group = "Optimizer",
     .commands = CELLS, .changes_bits = true, .help = "how a gradient moves the parameters"},
    {"lr", DT_OPTION_NUMBER, FIELD(lr), .min = 0, .max = 1e30, .word = "auto", .word_value = -1, .initial = "auto",
     .shown = "auto: by model and optimizer", .metavar = "X", .group = "Optimizer", .commands = CELLS,
     .changes_bits = true, .help = "learning rate at the schedule's peak"},
    {"momentum", DT_OPTION_NUMBER, FIELD(momentum), .min = 0, .max = 0.9999, .word = "auto", .word_value = -1,
     .initial = "auto", .shown = "auto: sgd 0.9, adamw 0.7", .metavar = "X", .group = "Optimizer",
     .commands = CELLS, .changes_bits = true, .help = "of sgd; beta1 of adamw"},
    {"beta2", DT_OPTION_NUMBER, FIELD(beta2), .min = 0, .max = 0.999999, .initial = "0.9", .metavar = "X",
     .group = "Optimizer", .commands = CELLS, .changes_bits = true,
     .help = "of adamw: memory of squared gradients"},
    {"nesterov", DT_OPTION_FLAG, FIELD(nesterov), .initial = "no", .group = "Optimizer", .commands = CELLS,
     .changes_bits = true, .help = "Nesterov's momentum, with sgd"},
    {"weight-decay", DT_OPTION_NUMBER, FIELD(weight_decay), .min = 0, .max = 1e3, .word = "auto", .word_value = -1,
     .initial = "auto", .shown = "auto: by model and optimizer", .metavar = "X", .group = "Optimizer",
     .commands = CELLS, .changes_bits = true, .help = "added to the gradient by sgd, decoupled in adamw"},
    {"clip-norm", DT_OPTION_NUMBER, FIELD(clip_norm), .min = 1e-30, .max = 1e30, .word = "off", .word_value = 0,
     .initial = "off", .metavar = "X", .group = "Optimizer", .commands = CELLS, .changes_bits = true,
     .help = "scale gradients down to this norm"},
    {"schedule", DT_OPTION_WORD, FIELD(schedule), .words = "constant|cosine|onecycle", .initial = "onecycle",
     .group = "Optimizer", .commands = CELLS, .changes_bits = true, .help = "the learning rate over the run"},
    {"warmup", DT_OPTION_INT, FIELD(warmup), .min = 0, .max = 1e12, .initial = "0", .metavar = "STEPS",
     .group = "Optimizer", .commands = CELLS, .changes_bits = true,
     .help = "rise to the peak over this many updates; 0 with onecycle: 30 % of all"},
    {"label-smoothing", DT_OPTION_NUMBER, FIELD(label_smoothing), .min = 0, .max = 0.9999, .initial = "0.05",
     .metavar = "X", .group = "Optimizer", .commands = CELLS, .changes_bits = true,
     .help = "share of a label that is spread over all classes"},

    {"device", DT_OPTION_WORD, FIELD(device), .words = "auto|cpu|cuda", .initial = "auto", .group = "Machine",
     .commands = COMPUTES | DT_CMD_SWEEP, .help = "what computes; auto: GPUs if every rank has one"},
    {"precision", DT_OPTION_WORD, FIELD(precision), .words = "f32|bf16|tf32", .initial = "f32", .group = "Machine",
     .commands = RUNS, .changes_bits = true, .help = "of products; sums and parameters are float32"},
    {"threads", DT_OPTION_INT, FIELD(threads), .min = 1, .max = 1024, .word = "auto", .word_value = 0,
     .initial = "auto", .shown = "auto: a fair share of the cores", .metavar = "T", .group = "Machine",
     .commands = PLACES, .help = "workers a rank; a GPU is one"},
    {"comm", DT_OPTION_WORD, FIELD(comm), .words = "auto|mpi|nccl", .initial = "auto", .group = "Machine",
     .commands = PLACES, .help = "what carries sums between ranks; auto: NCCL between GPUs"},
    {"reduce", DT_OPTION_WORD, FIELD(reduce), .words = "exact|float", .initial = "exact", .group = "Machine",
     .commands = CELLS, .changes_bits = true,
     .help = "exact: same bits for every number of ranks and threads; float: the ordinary sum"},
    {"overlap", DT_OPTION_WORD, FIELD(overlap), .words = "auto|on|off", .initial = "auto", .group = "Machine",
     .commands = CELLS, .help = "sum gradients while earlier layers still compute; auto: between hosts"},
    {"no-graph", DT_OPTION_FLAG, FIELD(no_graph), .initial = "no", .group = "Machine",
     .commands = CELLS | DT_CMD_BENCH,
     .help = "on a GPU: launch every kernel by itself instead of replaying graphs; same bits"},

    {"out", DT_OPTION_TEXT, FIELD(out), .initial = "", .shown = "runs/<date>-<time>", .metavar = "DIR",
     .group = "Run", .commands = TRAIN, .help = "directory for run.h5, log.jsonl and checkpoints"},
    {"out", DT_OPTION_TEXT, FIELD(out), .initial = "", .shown = "sweeps/latest if it is not done, else sweeps/<date>-<time>",
     .metavar = "DIR", .group = "Run", .commands = SWEEP,
     .help = "directory for sweep.h5; a sweep that is there goes on"},
    {"out", DT_OPTION_TEXT, FIELD(out), .initial = "", .shown = "runs", .metavar = "DIR", .group = "Run",
     .commands = DT_CMD_DOCTOR, .help = "run directory to try: rank 0 leaves a file there for a moment"},
    {"resume", DT_OPTION_FLAG, FIELD(resume), .initial = "no", .group = "Run", .commands = TRAIN,
     .help = "go on in --out (default runs/latest), from its newest whole checkpoint if it has one"},
    {"checkpoint-every", DT_OPTION_INT, FIELD(checkpoint_every), .min = 1, .max = 1e12, .word = "epoch",
     .word_value = 0, .initial = "epoch", .metavar = "STEPS", .group = "Run", .commands = TRAIN,
     .help = "save every STEPS updates too"},
    {"keep", DT_OPTION_INT, FIELD(keep), .min = 1, .max = 1e6, .initial = "3", .metavar = "K", .group = "Run",
     .commands = TRAIN, .help = "newest checkpoints to keep, besides best.h5"},
    {"trace", DT_OPTION_TEXT, FIELD(trace), .initial = "", .shown = "none", .metavar = "FILE", .group = "Run",
     .commands = CELLS, .help = "the first steps of every rank as a time line, for ui.perfetto.dev or chrome://tracing"},
    {"tensorboard", DT_OPTION_TEXT, FIELD(tensorboard), .initial = "", .shown = "none", .metavar = "DIR", .group = "Run",
     .commands = TRAIN, .help = "write event files for TensorBoard there: loss, accuracy and images/s of every rank"},
    {"time-limit", DT_OPTION_SECONDS, FIELD(time_limit), .min = 0.001, .max = 1e9, .word = "none", .word_value = 0,
     .initial = "none", .metavar = "TIME", .group = "Run", .commands = CELLS,
     .help = "save and stop with exit code 75 after 90, 10m, 2h or 1:30:00"},
    {"stall-timeout", DT_OPTION_SECONDS, FIELD(stall_timeout), .min = 0, .max = 1e9, .word = "off", .word_value = 0,
     .initial = "60", .metavar = "TIME", .group = "Run", .commands = RUNS | DT_CMD_BENCH | DT_CMD_DOCTOR | DT_CMD_DEVICES,
     .help = "end the job, exit code 6, when a rank makes no progress for so long; three times that while starting up"},
    {"last", DT_OPTION_FLAG, FIELD(last), .initial = "no", .group = "Run", .commands = DT_CMD_EVAL | LOOKS | DT_CMD_SERVE,
     .help = "of a run directory take latest.h5, not best.h5"},

    {"out", DT_OPTION_TEXT, FIELD(report), .initial = "", .shown = "report, beside the first RUN", .metavar = "DIR",
     .group = "Report", .commands = DT_CMD_REPORT,
     .help = "directory for index.html, figures and tables; -o DIR is the same"},

    {"port", DT_OPTION_INT, FIELD(port), .min = 0, .max = 65535, .initial = "8080", .metavar = "P", .group = "Page",
     .commands = DT_CMD_SERVE, .help = "of the page's address; 0 takes one that is free"},
    {"host", DT_OPTION_TEXT, FIELD(host), .initial = "127.0.0.1", .metavar = "ADDRESS", .group = "Page",
     .commands = DT_CMD_SERVE,
     .help = "address of this machine to listen on; by default it alone can open the page. 0.0.0.0: all, for a phone"},
    {"digits", DT_OPTION_TEXT, FIELD(digits), .initial = "", .shown = "digits, in the run's directory or here",
     .metavar = "DIR", .group = "Page", .commands = DT_CMD_SERVE,
     .help = "directory of the test set that is drawn: two IDX files, for eval --data DIR"},

    {"out", DT_OPTION_TEXT, FIELD(report), .initial = "", .shown = "features", .metavar = "DIR", .group = "Output",
     .commands = DT_CMD_FEATURES, .help = "directory for the pictures; -o DIR is the same"},
    {"out", DT_OPTION_TEXT, FIELD(report), .initial = "", .shown = "none", .metavar = "FILE", .group = "Output",
     .commands = DT_CMD_EXPORT, .help = "file to write, its name ends in .safetensors or .onnx; -o FILE is the same"},
    {"progress", DT_OPTION_WORD, FIELD(progress), .words = "auto|bar|lines|none", .initial = "auto",
     .group = "Output", .commands = TRAIN, .help = "auto: a bar on a terminal, lines elsewhere"},
    {"json", DT_OPTION_FLAG, FIELD(json), .initial = "no", .group = "Output", .commands = PLACES | DT_CMD_PREDICT | DT_CMD_SERVE,
     .help = "JSON on stdout instead of text"},
    {"quiet", DT_OPTION_FLAG, FIELD(quiet), .initial = "no", .group = "Output", .commands = RUNS | DT_CMD_REPORT | DT_CMD_FEATURES | DT_CMD_EXPORT,
     .help = "print warnings and errors only; eval: and its result"},
    {0}};

const dt_command_row dt_command_table[] = {
    {DT_CMD_TRAIN, "train", NULL, "train a network; the default command",
     "Trains on every rank that the launcher started, and writes checkpoints and metrics to a run directory. With one "
     "seed the parameters are the same to the last bit for every number of ranks and threads."},
    {DT_CMD_SWEEP, "sweep", NULL, "what more data and more ranks buy: many trainings in one job",
     "Trains on growing sets with several seeds, and times growing numbers of ranks, in one job. Every training that is "
     "done is in sweep.h5 before the next begins; started again after any end, it goes on where it was. dtrain report draws "
     "the answers."},
    {DT_CMD_REPORT, "report", "RUN...", "a page with figures and tables of runs and sweeps",
     "Draws what sweep.h5 or run.h5 hold: RUN is such a file or its directory. One sweep, or any number of runs, which are "
     "laid over each other. Writes index.html, which needs nothing else, and beside it the figures as SVG and PNG with "
     "their gnuplot scripts, and the tables as CSV. Needs gnuplot; one process, no launcher."},
    {DT_CMD_SERVE, "serve", "CHECKPOINT|RUN", "a page to draw digits on and to watch a run",
     "Prints the address of a page for a browser on this machine. Draw a digit there: the network says which it is while you "
     "draw, and shows what each layer makes of it; told whether it was right, it adds the digit to a test set on the disk. "
     "Of a run directory, also one that is still being trained in, the page shows the curves as they grow. Ends on Ctrl-C; "
     "one process, no launcher."},
    {DT_CMD_EVAL, "eval", "CHECKPOINT", "loss, accuracy and confusion matrix of a checkpoint",
     "Evaluates a checkpoint on the test set of --data, which needs no training set. CHECKPOINT is a file, or a run directory: then its best.h5."},
    {DT_CMD_PREDICT, "predict", "CHECKPOINT IMAGE...", "the digit in a picture, with its probability",
     "Says which digit each picture shows. IMAGE is PNG, JPEG, PGM or PPM of any size, colour and polarity, which is made "
     "into a digit as MNIST's are; or an IDX file, plain or .gz, whose pictures are taken as they are. A picture without ink "
     "or far from a digit is told as such, with the figure behind it. One line a picture; exit code 3 if one could not be "
     "read."},
    {DT_CMD_FEATURES, "features", "CHECKPOINT IMAGE", "pictures of what every layer makes of an image",
     "Writes PNG sheets: the picture as the network sees it, the output of every layer, the filters of its convolution "
     "on the pixels, and which pixels the answer depends on."},
    {DT_CMD_EXPORT, "export", "CHECKPOINT", "the network for other programs: .safetensors or .onnx",
     "Writes the parameters as safetensors, with PyTorch's names and layouts, or the whole network as ONNX: pixels 0..1 of "
     "any number of pictures in, logits out."},
    {DT_CMD_DEVICES, "devices", NULL, "what every rank can compute with",
     "Prints the devices, instruction sets and libraries that each rank sees, and why one is not available."},
    {DT_CMD_BENCH, "bench", NULL, "self-test: arithmetic, memory and all-reduce",
     "Measures the multiply-add peak of the cores, the memory bandwidth, and latency and bandwidth of the all-reduce "
     "between the ranks; checks every sum. On GPUs also training steps in each precision, and what is launched for "
     "one."},
    {DT_CMD_DOCTOR, "doctor", NULL, "what goes wrong in the first hour on a cluster, with its fix",
     "Looks for what goes wrong in the first hour: how the job was launched, cores, GPUs, versions and data that differ "
     "between hosts, clocks, the run directory and its locks, sums, links and the slowest pair of hosts. Each with its "
     "fix. Start it as the training would be started. Exit code 0: nothing is wrong, but maybe warnings; else that of "
     "the first thing that is: 3 data, 4 run directory, 5 versions, 6 sums."},
    {0}};
/* clang-format on */

const dt_command_row *dt_command_find(dt_command command) {
    const dt_command_row *row = dt_command_table;
    while (row->name && row->command != command)
        row++;
    return row->name ? row : dt_command_table;
}

const dt_option *dt_option_find(const char *name, size_t n, unsigned commands) {
    for (const dt_option *option = dt_option_table; option->name; option++)
        if ((option->commands & commands) && strlen(option->name) == n &&
            memcmp(option->name, name, n) == 0)
            return option;
    return NULL;
}

void dt_option_variable(const dt_option *option, char *text, size_t nbytes) {
    snprintf(text, nbytes, "DTRAIN_%s", option->name);
    for (char *c = text; *c; c++)
        *c = *c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
}
