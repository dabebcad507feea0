/* The log's last step: flood guard, time stamp, colours, write(2).
 * Set up by src/cli/main.c; called through struct pg_log by every layer. */
#include "cli/log_sink.h"
#include "limits.gen.h"
#include "wire/log_filter.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SECOND_US 1000000u
#define PREFIX_MOST 160 /* time, level and target with their colours; in JSON with their keys */

static uint64_t clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SECOND_US + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t wall_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

static uint64_t steady_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

static void put_time(struct pg_line *line, uint64_t us)
{
    time_t seconds = (time_t)(us / SECOND_US);
    struct tm utc;
    char text[48];
    gmtime_r(&seconds, &utc);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + n, sizeof text - n, ".%06uZ", (unsigned)(us % SECOND_US));
    pg_line_put(line, text);
}

static const struct {
    const char *padded, *plain, *colour;
} levels[] = {
    [PG_LOG_LEVEL_ERROR] = {"ERROR", "ERROR", "\x1b[31m"}, [PG_LOG_LEVEL_WARN] = {" WARN", "WARN", "\x1b[33m"},
    [PG_LOG_LEVEL_INFO] = {" INFO", "INFO", "\x1b[32m"},   [PG_LOG_LEVEL_DEBUG] = {"DEBUG", "DEBUG", "\x1b[34m"},
    [PG_LOG_LEVEL_TRACE] = {"TRACE", "TRACE", "\x1b[35m"},
};

static void put_prefix(struct pg_line *line, enum pg_log_form form, const struct pg_log_info *info, uint64_t now_us)
{
    bool colour = form == PG_LOG_COLOUR;
    if (form == PG_LOG_JSON) {
        pg_line_put(line, "{\"ts\":\"");
        put_time(line, now_us);
        pg_line_put(line, "\",\"level\":\"");
        pg_line_put(line, levels[info->level].plain);
        pg_line_put(line, "\",\"target\":\"");
        pg_line_put(line, info->target);
        pg_line_put(line, "\",");
        return;
    }
    pg_line_put(line, colour ? "\x1b[2m" : "");
    put_time(line, now_us);
    pg_line_put(line, colour ? "\x1b[0m " : " ");
    pg_line_put(line, colour ? levels[info->level].colour : "");
    pg_line_put(line, levels[info->level].padded);
    pg_line_put(line, colour ? "\x1b[0m \x1b[2m" : " ");
    pg_line_put(line, info->target);
    pg_line_put(line, colour ? "\x1b[0m\x1b[2m:\x1b[0m " : ": ");
}

/* A log that cannot be written is not worth stopping for: the line is lost. */
static void write_whole(int fd, const char *at, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return;
        }
        at += n;
        len -= (size_t)n;
    }
}

static void write_line(struct pg_log_sink *sink, unsigned id, struct pg_bytes message_and_fields)
{
    char buffer[PREFIX_MOST + PG_LOG_LINE + 8];
    struct pg_line line;
    pg_line_init(&line, buffer, sizeof buffer);
    put_prefix(&line, sink->log.form, &pg_log_infos[id], sink->wall_us());
    pg_line_raw(&line, message_and_fields);
    pg_line_put(&line, sink->log.form == PG_LOG_JSON ? "}\n" : "\n");
    write_whole(sink->fd, line.at, line.len);
}

/* Once a second at most: what the guard has held back, one line for each kind. */
static void tell_suppressed(struct pg_log_sink *sink)
{
    sink->holding = false;
    for (unsigned id = 0; id < PG_LOGS; id++) {
        uint32_t count = sink->suppressed[id];
        sink->suppressed[id] = 0;
        if (count > 0 && sink->enabled[PG_LOG_LINES_SUPPRESSED]) {
            const union pg_log_value values[] = {{.text = pg_text(pg_log_infos[id].message)}, {.number = count}};
            char buffer[PG_LOG_LINE];
            struct pg_line line;
            pg_line_init(&line, buffer, sizeof buffer);
            pg_log_format(&line, sink->log.form, &pg_log_infos[PG_LOG_LINES_SUPPRESSED], values);
            write_line(sink, PG_LOG_LINES_SUPPRESSED, pg_line_bytes(&line));
        }
    }
}

void pg_log_sink_flush(struct pg_log_sink *sink)
{
    if (sink->holding) {
        tell_suppressed(sink);
    }
}

static void sink_line(void *context, unsigned id, struct pg_bytes message_and_fields)
{
    struct pg_log_sink *sink = context;
    uint64_t now = sink->steady_us();
    if (now - sink->window_us >= SECOND_US) {
        sink->window_us = now;
        memset(sink->written, 0, sizeof sink->written);
        pg_log_sink_flush(sink);
    }
    bool asked_for = pg_log_infos[id].level > PG_LOG_LEVEL_INFO; /* whoever turned it on wants all of it */
    if (sink->written[id] >= sink->most && !asked_for) {
        sink->suppressed[id]++;
        sink->log.suppressed++;
        sink->holding = true;
        return;
    }
    sink->written[id]++;
    write_line(sink, id, message_and_fields);
}

static bool set(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

static bool colour_wanted(int fd)
{
    const char *force = getenv("CLICOLOR_FORCE"), *term = getenv("TERM");
    if (set("NO_COLOR")) {
        return false;
    }
    if (force && *force && strcmp(force, "0") != 0) {
        return true;
    }
    return isatty(fd) && !(term && strcmp(term, "dumb") == 0);
}

struct pg_log_choice pg_log_choice_here(int fd, bool json)
{
    const char *filter = set("PUNCHGATE_LOG") ? getenv("PUNCHGATE_LOG") : set("RUST_LOG") ? getenv("RUST_LOG") : NULL;
    return (struct pg_log_choice){.filter = filter, .json = json, .colour = colour_wanted(fd)};
}

/* The parser answers a filter of which nothing is understood with "errors only"; a typing error should not make a log
 * silent, so that info holds then, as in the original. */
static bool nothing_understood(const struct pg_filter *filter)
{
    return filter->n_bad > 0 && filter->n_directives == 1 && filter->directives[0].target.len == 0 &&
           filter->directives[0].level == PG_LOG_LEVEL_ERROR;
}

/* An id is on when its level passes the filter for its target; that is asked once, here. That something is wrong is said
 * whatever the filter lets through. */
static void apply_filter(struct pg_log_sink *sink, const char *text)
{
    struct pg_filter filter;
    bool good = pg_filter_parse(&filter, pg_text(text ? text : "info")) == PG_OK;
    if (nothing_understood(&filter)) {
        filter.directives[0].level = PG_LOG_LEVEL_INFO;
    }
    for (unsigned id = 0; id < PG_LOGS; id++) {
        sink->enabled[id] = pg_log_infos[id].level <= pg_filter_level(&filter, pg_log_infos[id].target);
    }
    sink->enabled[PG_LOG_LOG_FILTER_BAD] = !good;
    pg_log_log_filter_bad(&sink->log, filter.first_bad, filter.n_bad);
}

void pg_log_sink_init(struct pg_log_sink *sink, int fd, struct pg_log_choice choice)
{
    *sink = (struct pg_log_sink){.fd = fd, .wall_us = wall_us, .steady_us = steady_us};
    sink->log = (struct pg_log){.enabled = sink->enabled, .sink = sink_line, .context = sink};
    sink->log.form = choice.json ? PG_LOG_JSON : choice.colour ? PG_LOG_COLOUR : PG_LOG_PLAIN;
    sink->most = choice.most ? choice.most : pg_limit_infos[PG_LIMIT_LOG_LINES].standard;
    sink->window_us = steady_us();
    apply_filter(sink, choice.filter);
}
