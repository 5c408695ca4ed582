/* launch/manual.c - help, man page and completion, all from the table of options.
 *
 * What is no option stands here once: exit codes, files, signals, examples. The man page is roff of
 * man(7) and shows the same words as --help; text is escaped on its way out, so that the table can
 * hold plain sentences. */
#include "launch/manual.h"

#include <stdio.h>
#include <string.h>
#include "dist/topology.h"
#include "dtrain_version.h"
#include "io/h5.h"
#include "io/idx.h"
#include "launch/option_table.h"
#include "model/backend.h"

enum { WIDTH = 80, INDENT = 27 };

static const struct {
    const char *name, *about;
} general[] = {{"--help", "this text; dtrain COMMAND --help is about one command"},
               {"--version", "version, build and libraries"},
               {"--man", "the man page, for man -l"},
               {"--completion bash", "completion for bash: source it"}},
  exit_codes[] = {{"0", "done"},
                  {"2", "wrong use: an option, a network, or how the job was launched"},
                  {"3", "training data unusable"},
                  {"4", "reading or writing a file failed"},
                  {"5", "device, library or memory unusable"},
                  {"6", "a rank was lost, or computes differently"},
                  {"7", "training diverged"},
                  {"75", "stopped early with everything saved: run again with --resume"}},
  files[] = {{"run.h5", "options, figures of every epoch, and the confusion matrices"},
             {"log.jsonl", "the same figures, one JSON object a line, as they come"},
             {"checkpoint-STEP.h5", "the whole state of the run at an update"},
             {"latest.h5, best.h5", "links to the newest and to the best of them"}},
  examples[] = {{"mpirun -np 2 dtrain", "train on two ranks"},
                {"dtrain --model fast --epochs 1", "a quick run, without a launcher"},
                {"mpirun -np 4 dtrain --out runs/a --resume", "go on where it stopped, at any N"},
                {"dtrain eval runs/latest", "how good its best checkpoint is"}};

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

/* Words of text from column at, wrapped at WIDTH, later lines indented; ends the line. */
static void wrap(FILE *to, const char *text, size_t at, size_t indent) {
    for (const char *word = text; *word;) {
        size_t n = strcspn(word, " ");
        bool blank = word != text;
        if (blank && at + 1 + n > WIDTH) {
            fprintf(to, "\n%*s", (int)indent, "");
            at = indent;
            blank = false;
        }
        fprintf(to, "%s%.*s", blank ? " " : "", (int)n, word);
        at += n + blank;
        word += n + strspn(word + n, " ");
    }
    fputc('\n', to);
}

/* "  left      text ..." with text in its own column. */
static void entry(FILE *to, const char *left, const char *text) {
    int n = fprintf(to, "  %s", left);
    if (n + 2 > INDENT)
        fprintf(to, "\n%*s", INDENT, "");
    else
        fprintf(to, "%*s", INDENT - n, "");
    wrap(to, text, INDENT, INDENT);
}

static void heading(FILE *to, const char *text, bool bold) {
    fprintf(to, bold ? "\n\033[1m%s\033[m\n" : "\n%s\n", text);
}

static void option_usage(const dt_option *option, char *text, size_t nbytes) {
    const char *value = option->metavar ? option->metavar : option->words;
    snprintf(text, nbytes, "--%s%s%s", option->name, value ? " " : "", value ? value : "");
}

static void option_help(const dt_option *option, char *text, size_t nbytes) {
    const char *value = option->shown ? option->shown : option->initial;
    if (option->type == DT_OPTION_FLAG)
        snprintf(text, nbytes, "%s", option->help);
    else
        snprintf(text, nbytes, "%s [%s]", option->help, value);
}

static bool known(const dt_option *option, const dt_command_row *command) {
    return (option->commands & (unsigned)command->command) != 0;
}

static void print_options(FILE *to, const dt_command_row *command, bool bold) {
    char left[128], text[256];
    const char *group = "";
    for (const dt_option *option = dt_option_table; option->name; option++) {
        if (!known(option, command))
            continue;
        if (strcmp(group, option->group) != 0)
            heading(to, group = option->group, bold);
        option_usage(option, left, sizeof left);
        option_help(option, text, sizeof text);
        entry(to, left, text);
    }
}

void dt_help_print(FILE *to, dt_command command, bool bold) {
    const dt_command_row *row = dt_command_find(command);
    bool is_default = row == dt_command_table;
    fprintf(to, "Usage: dtrain %s%s%s%s%s [options]\n\n", is_default ? "[" : "", row->name,
            is_default ? "]" : "", row->argument ? " " : "", row->argument ? row->argument : "");
    wrap(to, row->about, 0, 0);
    if (is_default) {
        heading(to, "Commands", bold);
        for (const dt_command_row *other = dt_command_table; other->name; other++) {
            char left[64];
            snprintf(left, sizeof left, "%s%s%s", other->name, other->argument ? " " : "",
                     other->argument ? other->argument : "");
            entry(to, left, other->summary);
        }
    }
    print_options(to, row, bold);
    heading(to, "General", bold);
    for (size_t i = 0; i < COUNT(general); i++)
        entry(to, general[i].name, general[i].about);
    fputc('\n', to);
    wrap(to,
         "Values in brackets are defaults. An option can be a variable too: DTRAIN_MICRO_BATCH=8 "
         "is --micro-batch 8; "
         "the command line wins.",
         0, 0);
    if (!is_default)
        return;
    heading(to, "Exit codes", bold);
    for (size_t i = 0; i < COUNT(exit_codes); i++)
        entry(to, exit_codes[i].name, exit_codes[i].about);
    heading(to, "Examples", bold);
    for (size_t i = 0; i < COUNT(examples); i++)
        fprintf(to, "  %-42s  %s\n", examples[i].name, examples[i].about);
}

void dt_version_print(FILE *to) {
    static void (*const library[])(char *, size_t) = {dt_comm_mpi_library, dt_h5_library,
                                                      dt_topology_library, dt_idx_library};
    char text[256];
    fprintf(to, "dtrain %s\n", DTRAIN_VERSION_FULL);
    dt_backend_cpu.describe(text, sizeof text);
    fprintf(to, "  back ends   cpu: %s\n", text);
    for (size_t i = 0; i < COUNT(library); i++) {
        library[i](text, sizeof text);
        fprintf(to, "%s%s", i ? ", " : "  libraries   ", text);
    }
    fputc('\n', to);
#if defined(__clang__)
    fprintf(to, "  compiler    clang %d.%d.%d", __clang_major__, __clang_minor__,
            __clang_patchlevel__);
#else
    fprintf(to, "  compiler    gcc %d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
#ifdef __OPTIMIZE__
    fprintf(to, ", optimised\n");
#else
    fprintf(to, ", not optimised\n");
#endif
}

/* --- man page --- */

static void roff(FILE *to, const char *text) {
    if (*text == '.' || *text == '\'')
        fputs("\\&", to);
    for (; *text; text++) {
        if (*text == '-')
            fputs("\\-", to);
        else if (*text == '\\')
            fputs("\\e", to);
        else
            fputc(*text, to);
    }
}

/* A tagged paragraph: the tag in bold. */
static void roff_entry(FILE *to, const char *tag, const char *text) {
    fputs(".TP\n\\fB", to);
    roff(to, tag);
    fputs("\\fR\n", to);
    roff(to, text);
    fputc('\n', to);
}

static void roff_paragraph(FILE *to, const char *text) {
    fputs(".PP\n", to);
    roff(to, text);
    fputc('\n', to);
}

static void roff_options(FILE *to) {
    char help[256], about[512];
    const char *group = "";
    for (const dt_option *option = dt_option_table; option->name; option++) {
        if (strcmp(group, option->group) != 0)
            fprintf(to, ".SS %s\n", group = option->group);
        const char *value = option->metavar ? option->metavar : option->words;
        fputs(".TP\n\\fB", to);
        fputs("\\-\\-", to);
        roff(to, option->name);
        fputs("\\fR", to);
        if (value) {
            fputs(option->metavar ? " \\fI" : " ", to);
            roff(to, value);
            fputs("\\fR", to);
        }
        fputc('\n', to);
        option_help(option, help, sizeof help);
        size_t n = (size_t)snprintf(about, sizeof about, "%s. Commands:", help);
        for (const dt_command_row *row = dt_command_table; row->name; row++)
            if (known(option, row) && n < sizeof about)
                n += (size_t)snprintf(about + n, sizeof about - n, " %s,", row->name);
        about[n < sizeof about ? n - 1 : sizeof about - 1] = '.';
        roff(to, about);
        fputc('\n', to);
    }
    fputs(".SS General\n", to);
    for (size_t i = 0; i < COUNT(general); i++)
        roff_entry(to, general[i].name, general[i].about);
}

void dt_man_print(FILE *to) {
    fprintf(to, ".TH DTRAIN 1 \"\" \"dtrain %s\" \"User Commands\"\n", DTRAIN_VERSION);
    fputs(".SH NAME\ndtrain \\- data\\-parallel training of convolutional networks\n.SH SYNOPSIS\n",
          to);
    for (const dt_command_row *row = dt_command_table; row->name; row++) {
        fprintf(to, "%s\\fBdtrain\\fR ", row == dt_command_table ? "" : ".br\n");
        fprintf(to, row == dt_command_table ? "[\\fB%s\\fR]" : "\\fB%s\\fR", row->name);
        if (row->argument)
            fprintf(to, " \\fI%s\\fR", row->argument);
        fputs(" [\\fIoptions\\fR]\n", to);
    }
    fputs(".SH DESCRIPTION\n", to);
    roff_paragraph(
        to, "dtrain trains a convolutional network on MNIST, or on any data set in MNIST's IDX "
            "format, with as many "
            "data-parallel ranks as mpirun or srun starts; without a launcher there is one.");
    roff_paragraph(to, "The batch is cut into micro-batches. A worker (one thread of one rank) "
                       "computes a micro-batch alone, "
                       "and gradients are added as integers: the number of ranks and threads "
                       "changes the time and no bit of "
                       "the result.");
    fputs(".SH COMMANDS\n", to);
    for (const dt_command_row *row = dt_command_table; row->name; row++)
        roff_entry(to, row->name, row->about);
    fputs(".SH OPTIONS\n", to);
    roff_paragraph(to, "--name value and --name=value are the same. Defaults are in brackets.");
    roff_options(to);
    fputs(".SH ENVIRONMENT\n", to);
    roff_entry(
        to, "DTRAIN_NAME",
        "The option --name, in capitals and with _ for -: DTRAIN_MICRO_BATCH=8 is --micro-batch 8. "
        "The command line wins; the variables of rank 0 count.");
    roff_entry(to, "NO_COLOR", "If set and not empty, no colours.");
    fputs(".SH FILES\n", to);
    roff_paragraph(to, "In the run directory:");
    for (size_t i = 0; i < COUNT(files); i++)
        roff_entry(to, files[i].name, files[i].about);
    fputs(".SH SIGNALS\n", to);
    roff_paragraph(to, "SIGUSR1, SIGTERM and SIGINT ask for an early stop: the step is finished, "
                       "everything is saved, and the exit "
                       "code is 75. A second one of the same kind ends the program at once.");
    fputs(".SH EXIT STATUS\n", to);
    for (size_t i = 0; i < COUNT(exit_codes); i++)
        roff_entry(to, exit_codes[i].name, exit_codes[i].about);
    fputs(".SH EXAMPLES\n", to);
    for (size_t i = 0; i < COUNT(examples); i++)
        roff_entry(to, examples[i].name, examples[i].about);
}

/* --- completion --- */

static void completion_values(FILE *to) {
    for (const dt_option *option = dt_option_table; option->name; option++) {
        if (dt_option_find(option->name, strlen(option->name), DT_ANY_COMMAND) != option)
            continue; /* another command's of the same name: one place is enough */
        if (option->words) {
            fprintf(to, "    --%s) words='", option->name);
            for (const char *c = option->words; *c; c++)
                fputc(*c == '|' ? ' ' : *c, to);
            fputs("' ;;\n", to);
        } else if (strcmp(option->name, "model") == 0) {
            fprintf(to, "    --%s) words='", option->name);
            for (const dt_net_preset *preset = dt_net_presets; preset->name; preset++)
                fprintf(to, "%s%s", preset == dt_net_presets ? "" : " ", preset->name);
            fputs("' ;;\n", to);
        } else if (option->metavar && strcmp(option->metavar, "DIR") == 0) {
            fprintf(to,
                    "    --%s) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "
                    "\"$cur\"); return "
                    ";;\n",
                    option->name);
        } else if (option->metavar && strcmp(option->metavar, "CHECKPOINT") == 0) {
            fprintf(to,
                    "    --%s) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "
                    "\"$cur\"); return "
                    ";;\n",
                    option->name);
        } else if (option->type != DT_OPTION_FLAG) {
            fprintf(to, "    --%s) return ;;\n", option->name);
        }
    }
}

void dt_completion_print(FILE *to) {
    fputs("# bash completion for dtrain; made by: dtrain --completion bash\n_dtrain() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words='' i "
          "command=",
          to);
    fprintf(to, "%s\n", dt_command_table->name);
    fputs("    [[ $cur == = ]] && cur=\n"
          "    [[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        case ${COMP_WORDS[i]} in\n        ",
          to);
    for (const dt_command_row *row = dt_command_table; row->name; row++)
        fprintf(to, "%s%s", row == dt_command_table ? "" : "|", row->name);
    fputs(") command=${COMP_WORDS[i]} ;;\n        esac\n    done\n    case $prev in\n", to);
    completion_values(to);
    fputs("    --completion) words=bash ;;\n    *)\n        case $command in\n", to);
    for (const dt_command_row *row = dt_command_table; row->name; row++) {
        fprintf(to, "        %s) words='", row->name);
        for (const dt_option *option = dt_option_table; option->name; option++)
            if (known(option, row))
                fprintf(to, "--%s ", option->name);
        fputs("--help --version' ;;\n", to);
    }
    fputs("        esac\n        if ((COMP_CWORD == 1)); then\n            words+='", to);
    for (const dt_command_row *row = dt_command_table; row->name; row++)
        fprintf(to, " %s", row->name);
    fputs("'\n        elif [[ $command == eval && $cur != -* ]]; then\n"
          "            compopt -o filenames\n            mapfile -t COMPREPLY < <(compgen -f -- "
          "\"$cur\")\n   "
          "         return\n"
          "        fi ;;\n    esac\n"
          "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\ncomplete -F _dtrain "
          "dtrain\n",
          to);
}
