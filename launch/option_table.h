/* launch/option_table.h - the one table of options and commands, for the files that read it.
 *
 * The parser, the help, the man page, the completion and the JSON walk the same rows: they cannot
 * drift apart. A new option is a field of dt_options and a row here. */
#ifndef DT_LAUNCH_OPTION_TABLE_H
#define DT_LAUNCH_OPTION_TABLE_H

#include "launch/options.h"

typedef enum {                    /* and the field that it fills */
               DT_OPTION_INT,     /* int64_t or uint64_t */
               DT_OPTION_NUMBER,  /* double */
               DT_OPTION_SECONDS, /* double: a duration */
               DT_OPTION_WORD,    /* int: which of the words */
               DT_OPTION_FLAG,    /* bool */
               DT_OPTION_TEXT     /* char[size] */
} dt_option_type;

typedef struct {
    const char *name; /* long, without dashes */
    dt_option_type type;
    size_t at, size;     /* the field in dt_options */
    double min, max;     /* of numbers */
    const char *words;   /* "sgd|adamw" */
    const char *word;    /* stands for a number outside of the range: "all", */
    double word_value;   /* this one; a number parsed never equals it */
    const char *initial; /* the default as a user would type it */
    const char *shown;   /* how help calls the default, where initial says too little; or NULL */
    const char *metavar; /* NULL: the words, or nothing for flags */
    const char *group;   /* heading in the help; rows of a group stand together */
    unsigned commands;   /* mask of dt_command */
    bool changes_bits;   /* must be the checkpoint's on resume */
    const char *help;
} dt_option;

extern const dt_option dt_option_table[]; /* ends with name == NULL */

typedef struct {
    dt_command command;
    const char *name;
    const char *argument; /* "CHECKPOINT", or NULL if it takes none */
    const char *summary;
    const char *about; /* a paragraph */
} dt_command_row;

extern const dt_command_row
    dt_command_table[]; /* ends with name == NULL; the first is the default */

const dt_command_row *dt_command_find(dt_command command);
/* The option of this name that one of the commands (a mask) knows; name need not end at n. NULL:
 * none is called so. The same name may be one thing to train and another to sweep. */
enum { DT_ANY_COMMAND = 0x7fffffff };
const dt_option *dt_option_find(const char *name, size_t n, unsigned commands);
/* "DTRAIN_MICRO_BATCH" for "micro-batch". */
void dt_option_variable(const dt_option *option, char *text, size_t nbytes);
/* The value as a user would type it. */
void dt_option_text(const dt_option *option, const dt_options *options, char *text, size_t nbytes);
/* Set the option's field from text. DT_EUSAGE; given is how the user wrote it, "--batch" or
 * "DTRAIN_BATCH". */
DT_NODISCARD dt_status dt_option_set(const dt_option *option, const char *given, const char *text,
                                     dt_options *options);

#endif
