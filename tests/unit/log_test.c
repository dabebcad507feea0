/* Log lines: layout, escapes, bounds, filter, colours, JSON, flood guard.
 * Run by ctest; `log_test --print text|json|hostile` feeds tests/unit/log_oracle_test.py. */
#include "crypto_suite.h"

#include "cli/log_sink.h"
#include <unistd.h>

#define NOW_US 1768473000123456u /* 2026-01-15T10:30:00.123456Z */

static struct pg_log_sink sink;
static int ends[2];
static uint64_t steady;
static char got[1 << 20];

static uint64_t fixed_wall(void)
{
    return NOW_US;
}

static uint64_t fake_steady(void)
{
    return steady;
}

static void start(const char *filter, bool json, bool colour)
{
    steady = 0;
    pg_log_sink_init(&sink, ends[1], (struct pg_log_choice){.filter = filter, .json = json, .colour = colour});
    sink.wall_us = fixed_wall;
    sink.steady_us = fake_steady;
    sink.window_us = 0;
}

/* What has been written since the last time. The pipe holds 64 KiB, tests stay below. */
static const char *written(void)
{
    if (write(ends[1], "", 1) != 1) /* so that reading never waits */
        abort();
    ssize_t n = read(ends[0], got, sizeof got - 1);
    got[n > 0 ? n : 0] = '\0';
    return got;
}

static void a_line_has_the_layout_of_the_original(void)
{
    start(NULL, false, false);
    pg_log_connection_opened(&sink.log, PG_LIT("12D3KooWx"), PG_LIT("/ip4/127.0.0.1/tcp/4001"));
    CU_ASSERT_STRING_EQUAL(written(), "2026-01-15T10:30:00.123456Z  INFO cli::node: connection opened peer=12D3KooWx "
                                      "endpoint=/ip4/127.0.0.1/tcp/4001\n");
    pg_log_tunnel_rejected(&sink.log, PG_LIT("12D3"), PG_LIT("echo"), PG_LIT("unknown service"));
    CU_ASSERT_STRING_EQUAL(written(), "2026-01-15T10:30:00.123456Z  WARN cli::tunnel: tunnel rejected peer_id=12D3 service=echo "
                                      "reason=\"unknown service\"\n");
    pg_log_listening_on(&sink.log, PG_LIT("/ip6/::1/tcp/1"));
    CU_ASSERT_STRING_EQUAL(written(), "2026-01-15T10:30:00.123456Z  INFO cli::node: listening on /ip6/::1/tcp/1\n");
    pg_log_nat_status_changed(&sink.log, PG_LIT("Unknown"), PG_LIT("Private"));
    CU_ASSERT_STRING_EQUAL(written(), "2026-01-15T10:30:00.123456Z  INFO cli::node: NAT status changed: Unknown \xe2\x86\x92 Private\n");
    pg_log_ping(&sink.log, PG_LIT("12D3"), 1234);
    CU_ASSERT_STRING_EQUAL(written(), "2026-01-15T10:30:00.123456Z  INFO cli::node: ping peer=12D3 rtt=1.234ms\n");
    pg_log_outgoing_connection_error(&sink.log, PG_LIT("12D3"), PG_LIT("broken pipe"));
    pg_log_outgoing_connection_error(&sink.log, PG_NONE, PG_LIT("broken pipe"));
    CU_ASSERT_STRING_EQUAL(written(),
                           "2026-01-15T10:30:00.123456Z  WARN cli::node: outgoing connection error peer=Some(PeerId(\"12D3\")) error=broken pipe\n"
                           "2026-01-15T10:30:00.123456Z  WARN cli::node: outgoing connection error peer=None error=broken pipe\n");
    pg_log_phase_transition(&sink.log, PG_LIT("DiscoveryTimeout"), PG_LIT("Discovering"), PG_LIT("Participating"), 2);
    CU_ASSERT_STRING_EQUAL(written(), "2026-01-15T10:30:00.123456Z  INFO cli::node: phase transition event=\"DiscoveryTimeout\" "
                                      "from=\"Discovering\" to=\"Participating\" commands=2\n");
}

static void durations_are_printed_as_rust_prints_them(void)
{
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {{0, "0ns"},          {1, "1\xc2\xb5s"},     {950, "950\xc2\xb5s"},     {1000, "1ms"},     {1001, "1.001ms"},
                 {1500, "1.5ms"},     {150123, "150.123ms"}, {999999, "999.999ms"},     {1000000, "1s"},   {1500000, "1.5s"},
                 {15000000, "15s"},   {60000001, "60.000001s"}, {100000, "100ms"}, {UINT64_MAX, "18446744073709.551615s"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char buffer[64];
        struct pg_line line;
        pg_line_init(&line, buffer, sizeof buffer);
        pg_line_duration(&line, cases[i].us);
        CU_ASSERT_STRING_EQUAL(buffer, cases[i].text);
    }
}

static void a_strangers_text_makes_no_second_line_and_no_field(void)
{
    start(NULL, false, false);
    pg_log_tunnel_request(&sink.log, PG_LIT("12D3"), PG_LIT("a\nb\x1b[31m\xff\xe2\x80\xae" "c"));
    CU_ASSERT_PTR_NOT_NULL(strstr(written(), " service=a\\nb\\u{1b}[31m\xef\xbf\xbd\\u{202e}c\n"));
    pg_log_tunnel_request(&sink.log, PG_LIT("12D3"), PG_LIT("x\" peer_id=EVIL y=\"z"));
    CU_ASSERT_PTR_NOT_NULL(strstr(written(), " service=\"x' peer_id=EVIL y='z\"\n"));
    pg_log_tunnel_request(&sink.log, PG_LIT("12D3"), PG_NONE);
    CU_ASSERT_PTR_NOT_NULL(strstr(written(), " service=\"\"\n"));
    pg_log_tunnel_rejected(&sink.log, PG_LIT("12D3"), PG_LIT("s"), PG_LIT("a\"b\\c"));
    CU_ASSERT_PTR_NOT_NULL(strstr(written(), " reason=\"a\\\"b\\\\c\"\n"));
}

static void long_values_are_cut_and_the_fields_behind_them_stay(void)
{
    static const bool forms[] = {false, true};
    static char huge[70000];
    memset(huge, '"', sizeof huge);
    for (int i = 0; i < 2; i++) {
        start(NULL, forms[i], false);
        pg_log_tunnel_rejected(&sink.log, pg_bytes(huge, 64), pg_bytes(huge, sizeof huge), PG_LIT("unknown service"));
        const char *line = written();
        CU_ASSERT_TRUE(strlen(line) < PG_LOG_LINE + 200);
        CU_ASSERT_PTR_NOT_NULL(strstr(line, "\xe2\x80\xa6"));
        CU_ASSERT_PTR_NOT_NULL(strstr(line, forms[i] ? "\"reason\":\"unknown service\"}}\n" : " reason=\"unknown service\"\n"));
    }
}

/* Every cut, at every size, leaves whole characters: the escapes and the two ways of cutting. */
static void nothing_is_cut_within_a_character(void)
{
    static const char text[] = "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x1bz\"\n\xe2\x80\xae\xc3\xa9";
    for (size_t room = 1; room < 64; room++) {
        for (unsigned escape = 0; escape < 4; escape++) {
            char *buffer = malloc(room); /* exactly, for the sanitizer */
            struct pg_line line;
            pg_line_init(&line, buffer, room);
            if (escape == 3)
                pg_line_put(&line, text);
            else
                pg_line_escaped(&line, pg_text(text), (enum pg_escape)escape, room / 2 + 40);
            CU_ASSERT_TRUE(line.len < room && buffer[line.len] == '\0');
            for (size_t i = 0; i < line.len;) {
                uint8_t c = (uint8_t)buffer[i];
                size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 99;
                i += n;
                CU_ASSERT_TRUE(i <= line.len);
            }
            free(buffer);
        }
    }
}

static void the_filter_decides_by_target_and_level(void)
{
    start("warn,cli::tunnel=debug", false, false);
    pg_log_tunnel_client(&sink.log, PG_LIT("127.0.0.1:1"));
    pg_log_starting(&sink.log, PG_LIT("12D3"));
    CU_ASSERT_STRING_EQUAL(written(), "2026-01-15T10:30:00.123456Z DEBUG cli::tunnel: new tunnel client client_addr=127.0.0.1:1\n");
    start("off", false, false);
    pg_log_tunnel_failed(&sink.log, PG_LIT("x"));
    CU_ASSERT_STRING_EQUAL(written(), "");
    start("info,cli==x", false, false);
    CU_ASSERT_PTR_NOT_NULL(strstr(written(), " WARN cli::log: part of the log filter not understood"));
    pg_log_starting(&sink.log, PG_LIT("12D3"));
    CU_ASSERT_PTR_NOT_NULL(strstr(written(), "starting punchgate node"));
    start("cli==x", false, false);
    CU_ASSERT_PTR_NOT_NULL(strstr(written(), "not understood"));
    pg_log_starting(&sink.log, PG_LIT("12D3"));
    CU_ASSERT_PTR_NOT_NULL(strstr(written(), "starting punchgate node"));
    struct pg_log nothing = {0};
    pg_log_tunnel_failed(&nothing, PG_LIT("x")); /* a log without a sink is legal */
}

static void json_lines_carry_the_same(void)
{
    start("debug", true, true);
    pg_log_outgoing_connection_error(&sink.log, PG_NONE, PG_LIT("a\"b"));
    CU_ASSERT_STRING_EQUAL(written(), "{\"ts\":\"2026-01-15T10:30:00.123456Z\",\"level\":\"WARN\",\"target\":\"cli::node\","
                                      "\"message\":\"outgoing connection error\",\"fields\":{\"peer\":null,\"error\":\"a\\\"b\"}}\n");
    pg_log_ping(&sink.log, PG_LIT("12D3"), 1234);
    CU_ASSERT_PTR_NOT_NULL(strstr(written(), "\"message\":\"ping\",\"fields\":{\"peer\":\"12D3\",\"rtt_us\":1234}}\n"));
    pg_log_listening_on(&sink.log, PG_LIT("/x"));
    CU_ASSERT_PTR_NOT_NULL(strstr(written(), "\"message\":\"listening on /x\",\"fields\":{\"addr\":\"/x\"}}\n"));
    pg_log_shutting_down(&sink.log);
    CU_ASSERT_PTR_NOT_NULL(strstr(written(), "\"message\":\"shutting down\",\"fields\":{}}\n"));
}

static void colours_are_tracings_and_only_where_they_are_wanted(void)
{
    static const struct {
        const char *no_color, *force, *term;
        bool colour;
    } cases[] = {{"", "", "xterm", false}, {"", "1", "dumb", true}, {"1", "1", "xterm", false}, {"", "0", "xterm", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("NO_COLOR", cases[i].no_color, 1);
        setenv("CLICOLOR_FORCE", cases[i].force, 1);
        setenv("TERM", cases[i].term, 1);
        CU_ASSERT_EQUAL(pg_log_choice_here(ends[1], false).colour, cases[i].colour); /* a pipe is no terminal */
    }
    setenv("PUNCHGATE_LOG", "", 1);
    setenv("RUST_LOG", "debug", 1);
    CU_ASSERT_STRING_EQUAL(pg_log_choice_here(ends[1], false).filter, "debug");
    setenv("PUNCHGATE_LOG", "warn", 1);
    CU_ASSERT_STRING_EQUAL(pg_log_choice_here(ends[1], false).filter, "warn");
    unsetenv("PUNCHGATE_LOG");
    unsetenv("RUST_LOG");
    CU_ASSERT_PTR_NULL(pg_log_choice_here(ends[1], false).filter);
    start(NULL, false, true);
    pg_log_ping(&sink.log, PG_LIT("12D3"), 15000000);
    CU_ASSERT_STRING_EQUAL(written(), "\x1b[2m2026-01-15T10:30:00.123456Z\x1b[0m \x1b[32m INFO\x1b[0m \x1b[2mcli::node\x1b[0m\x1b[2m:\x1b[0m "
                                      "ping \x1b[3mpeer\x1b[0m\x1b[2m=\x1b[0m12D3 \x1b[3mrtt\x1b[0m\x1b[2m=\x1b[0m15s\n");
}

static unsigned lines_of(const char *text)
{
    unsigned n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void a_flood_of_one_kind_is_cut_off_and_counted(void)
{
    start(NULL, false, false);
    for (int i = 0; i < 1000; i++)
        pg_log_tunnel_handler_failed(&sink.log, PG_LIT("12D3"), PG_LIT("broken JSON"));
    pg_log_connection_closed(&sink.log, PG_LIT("12D3"), 0); /* other kinds are not held back */
    CU_ASSERT_EQUAL(lines_of(written()), 200 + 1);
    steady += 1000000;
    pg_log_tunnel_handler_failed(&sink.log, PG_LIT("12D3"), PG_LIT("broken JSON"));
    const char *text = written();
    CU_ASSERT_EQUAL(lines_of(text), 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, " WARN cli::log: too many log lines of one kind, some left out like=\"tunnel handler failed\" count=800\n"));
    CU_ASSERT_EQUAL(sink.log.suppressed, 800);
    pg_log_sink_flush(&sink);
    CU_ASSERT_STRING_EQUAL(written(), "");
    start("debug", false, false);
    for (int i = 0; i < 300; i++)
        pg_log_tunnel_client(&sink.log, PG_LIT("127.0.0.1:1")); /* debug: somebody wants to see all of it */
    CU_ASSERT_EQUAL(lines_of(written()), 300);
    for (int i = 0; i < 201; i++)
        pg_log_shutting_down(&sink.log);
    written();
    pg_log_sink_flush(&sink); /* at the end nothing may wait for the next second */
    CU_ASSERT_PTR_NOT_NULL(strstr(written(), "count=1\n"));
}

/* Every line of the list once, with values of its field types: for the reader in log_oracle_test.py. */
static int print_samples(const char *how)
{
    bool hostile = strcmp(how, "hostile") == 0;
    pg_log_sink_init(&sink, STDOUT_FILENO, (struct pg_log_choice){.filter = "trace", .json = strcmp(how, "json") == 0});
    sink.wall_us = fixed_wall;
    for (unsigned id = 0; id < PG_LOGS; id++) {
        const struct pg_log_info *info = &pg_log_infos[id];
        union pg_log_value values[PG_LOG_FIELDS] = {{.number = 0}};
        for (unsigned i = 0; i < info->n_fields; i++) {
            enum pg_log_type type = info->fields[i].type;
            if (type == PG_FIELD_U64 || type == PG_FIELD_DURATION)
                values[i].number = 1234567;
            else if (type == PG_FIELD_TEXT && hostile)
                values[i].text = PG_LIT("x\" peer=EVIL remaining=\"9\n2026-01-15T10:30:00.1Z ERROR cli::node: forged");
            else
                values[i].text = type == PG_FIELD_QUOTED ? PG_LIT("two words") : PG_LIT("12D3KooWx");
        }
        pg_log_write(&sink.log, id, info, values);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct sentence sentences[] = {
        {"a line has the layout of the original", a_line_has_the_layout_of_the_original},
        {"durations are printed as Rust prints them", durations_are_printed_as_rust_prints_them},
        {"a stranger's text makes no second line and no field", a_strangers_text_makes_no_second_line_and_no_field},
        {"long values are cut and the fields behind them stay", long_values_are_cut_and_the_fields_behind_them_stay},
        {"nothing is cut within a character", nothing_is_cut_within_a_character},
        {"the filter decides by target and level", the_filter_decides_by_target_and_level},
        {"JSON lines carry the same", json_lines_carry_the_same},
        {"colours are tracing's, and only where they are wanted", colours_are_tracings_and_only_where_they_are_wanted},
        {"a flood of one kind is cut off and counted", a_flood_of_one_kind_is_cut_off_and_counted},
    };
    if (argc == 3 && strcmp(argv[1], "--print") == 0)
        return print_samples(argv[2]);
    if (pipe(ends) != 0)
        return 1;
    return RUN_SUITE("log", sentences);
}
