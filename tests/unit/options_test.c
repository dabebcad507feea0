/* Options: who wins, how lists split, what every wrong value is told.
 * Run by ctest. Serves spec/options.list and punchgate(1). */
#include "crypto_suite.h"

#include "cli/options.h"
#include "trace/output.h"

#define PEER "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
#define LISTENS_4 "/ip4/127.0.0.1/tcp/0,/ip4/127.0.0.1/tcp/0,/ip4/127.0.0.1/tcp/0,/ip4/127.0.0.1/tcp/0,"
#define LISTENS_17 LISTENS_4 LISTENS_4 LISTENS_4 LISTENS_4 "/ip6/::1/tcp/0"
#define NO_FILE "XDG_CONFIG_HOME=/nonexistent/punchgate-test" /* nothing of this machine may leak into a test */

static struct pg_options options;
static char why_text[1024];
static enum pg_err err;

/* Reads one command line, words separated by spaces; further arguments are NAME=VALUE, NULL at the end. */
static void read_with(const char *line, const char *env1, const char *env2)
{
    static char words[2048];
    char *argv[32] = {"punchgate"}, *envp[] = {NO_FILE, (char *)env1, env1 ? (char *)env2 : NULL, NULL};
    int argc = 1;
    struct pg_line why;
    snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    pg_options_free(&options);
    pg_line_init(&why, why_text, sizeof why_text);
    err = pg_options_read(&options, argc, argv, envp, &why);
}

static void accepts(const char *line)
{
    read_with(line, NULL, NULL);
    if (err != PG_OK)
        printf("\n  %s: %s\n", line, why_text);
    CU_ASSERT_EQUAL(err, PG_OK);
}

static void refuses_in(const char *env, const char *line, const char *expected)
{
    read_with(line, env, NULL);
    if (err != PG_ERR_USAGE || strcmp(why_text, expected) != 0)
        printf("\n  %s %s\n  got:      %s\n  expected: %s\n", env ? env : "", line, why_text, expected);
    CU_ASSERT_EQUAL(err, PG_ERR_USAGE);
    CU_ASSERT_EQUAL(strcmp(why_text, expected), 0);
}

static void refuses(const char *line, const char *expected)
{
    refuses_in(NULL, line, expected);
}

static bool is(struct pg_strings list, size_t i, const char *text)
{
    return i < list.n && strcmp(list.at[i], text) == 0;
}

static void without_anything_it_runs_with_defaults(void)
{
    accepts("");
    CU_ASSERT_EQUAL(options.command, PG_CLI_RUN);
    CU_ASSERT_STRING_EQUAL(options.values.identity, "identity.key");
    CU_ASSERT_STRING_EQUAL(options.values.control, "identity.key.sock");
    CU_ASSERT_EQUAL(options.values.listen.n, 2);
    CU_ASSERT_TRUE(is(options.values.listen, 0, "/ip4/0.0.0.0/tcp/0") && is(options.values.listen, 1, "/ip6/::/tcp/0"));
    CU_ASSERT_EQUAL(options.values.bootstrap.n, 0);
    CU_ASSERT_EQUAL(options.values.tunnel_wait_ms, 10000);
    CU_ASSERT_EQUAL(options.values.log_format, PG_OPTION_LOG_FORMAT_TEXT);
    CU_ASSERT_EQUAL(options.values.nat_status, PG_OPTION_NAT_STATUS_UNSET);
    CU_ASSERT_EQUAL(options.origin[PG_OPTION_LISTEN].source, PG_FROM_DEFAULT);
    CU_ASSERT_EQUAL(options.origin[PG_OPTION_NAT_STATUS].source, PG_FROM_NOWHERE);
    CU_ASSERT_PTR_NULL(options.file);
}

static void every_command_takes_its_argument(void)
{
    accepts("run");
    accepts("id --identity=/x/y");
    CU_ASSERT_EQUAL(options.command, PG_CLI_ID);
    CU_ASSERT_STRING_EQUAL(options.values.identity, "/x/y");
    accepts("ping /ip4/127.0.0.1/tcp/4001 --count 3");
    CU_ASSERT_EQUAL(options.command, PG_CLI_PING);
    CU_ASSERT_EQUAL(options.values.count, 3);
    CU_ASSERT_EQUAL(options.values.timeout_ms, 30000);
    CU_ASSERT_STRING_EQUAL(options.address, "/ip4/127.0.0.1/tcp/4001");
    accepts("--json identify /ip6/::1/tcp/4001/p2p/" PEER);
    CU_ASSERT_TRUE(options.values.json);
    accepts("pipe /ip6/::1/tcp/4001/p2p/" PEER ":ssh");
    CU_ASSERT_STRING_EQUAL(options.address, "/ip6/::1/tcp/4001/p2p/" PEER);
    CU_ASSERT_STRING_EQUAL(options.service, "ssh");
    accepts("status --control /run/x.sock");
    CU_ASSERT_STRING_EQUAL(options.values.control, "/run/x.sock");
    accepts("ping -- /ip4/127.0.0.1/tcp/4001");
    CU_ASSERT_STRING_EQUAL(options.address, "/ip4/127.0.0.1/tcp/4001");
}

static void questions_to_the_dht_take_keys_values_and_peers(void)
{
#define THROUGH " --bootstrap /ip4/127.0.0.1/tcp/1"
    accepts("dht put /a/b {} --json" THROUGH);
    CU_ASSERT_EQUAL(options.command, PG_CLI_DHT_PUT);
    CU_ASSERT_STRING_EQUAL(options.key, "/a/b");
    CU_ASSERT_STRING_EQUAL(options.value, "{}");
    CU_ASSERT_EQUAL(options.values.bootstrap.n, 1);
    CU_ASSERT_STRING_EQUAL(options.values.kad_protocol, "/punchgate/kad/1.0.0");
    accepts("dht provide 0x00 --identity mine.key" THROUGH);
    CU_ASSERT_EQUAL(options.values.listen.n, 0); /* unlike that of run it listens only when it is told to */
    accepts("dht provide k --listen /ip4/127.0.0.1/tcp/0 --identity mine.key" THROUGH);
    CU_ASSERT_EQUAL(options.values.listen.n, 1);
    CU_ASSERT_STRING_EQUAL(options.values.identity, "mine.key");
    accepts("dht find " PEER THROUGH);
    CU_ASSERT_STRING_EQUAL(options.key, PEER);
    CU_ASSERT_PTR_NULL(options.value);
    read_with("dht get k", "PUNCHGATE_BOOTSTRAP=/ip4/127.0.0.1/tcp/1,/ip4/127.0.0.1/tcp/2", NULL);
    CU_ASSERT_EQUAL(options.values.bootstrap.n, 2);
    refuses("dht put", "KEY VALUE is missing; write punchgate dht put KEY VALUE");
    refuses("dht put k", "VALUE is missing; write punchgate dht put KEY VALUE");
    refuses("dht put k v w", "\"w\" is one word too many; punchgate dht put --help shows what belongs there");
    refuses("dht find x", "\"x\": not a peer id; write the id that the peer logs, for example 12D3Koo...");
    refuses("dht get 0x1", "\"0x1\": not a key of 1 to 1024 bytes; write text, 0x and an even number of hex digits, or a CID");
    refuses("dht put k 0xg0", "\"0xg0\": not a value of 1 byte to 64 KiB; write text, or 0x and an even number of hex digits");
    refuses("dht get k", "--bootstrap is missing: the DHT is asked through a peer that serves it; write --bootstrap MULTIADDR");
    refuses("dht provide k" THROUGH, "--listen is missing: nobody could reach a provider that ends with this command; write --listen MULTIADDR, "
                                     "or --identity FILE for a peer that runs elsewhere with that key");
    refuses("dht get k --listen /ip4/127.0.0.1/tcp/0", "--listen is no option of dht get; punchgate dht get --help lists them");
#undef THROUGH
}

static void queries_use_a_passing_key_unless_told_on_the_command_line(void)
{
    read_with("ping /ip4/127.0.0.1/tcp/1", "PUNCHGATE_IDENTITY=/the/peers/own.key", NULL);
    CU_ASSERT_EQUAL(err, PG_OK);
    CU_ASSERT_PTR_NULL(options.values.identity);
    accepts("pipe /ip4/127.0.0.1/tcp/1:x --identity mine.key");
    CU_ASSERT_STRING_EQUAL(options.values.identity, "mine.key");
    read_with("id", "PUNCHGATE_IDENTITY=/the/peers/own.key", NULL);
    CU_ASSERT_STRING_EQUAL(options.values.identity, "/the/peers/own.key");
    CU_ASSERT_EQUAL(options.origin[PG_OPTION_IDENTITY].source, PG_FROM_ENVIRONMENT);
}

static void flags_win_over_the_environment_and_replace_whole_lists(void)
{
    read_with("--listen /ip4/127.0.0.1/tcp/1 --tunnel-wait 1 --tunnel-wait 2", "PUNCHGATE_LISTEN=/ip4/127.0.0.1/tcp/2,/ip6/::1/tcp/3",
              "PUNCHGATE_TUNNEL_WAIT=5s");
    CU_ASSERT_EQUAL(err, PG_OK);
    CU_ASSERT_EQUAL(options.values.listen.n, 1);
    CU_ASSERT_TRUE(is(options.values.listen, 0, "/ip4/127.0.0.1/tcp/1"));
    CU_ASSERT_EQUAL(options.values.tunnel_wait_ms, 2000); /* the last one of the command line */
    CU_ASSERT_EQUAL(options.origin[PG_OPTION_LISTEN].source, PG_FROM_FLAG);
    read_with("", "PUNCHGATE_LISTEN= /ip4/127.0.0.1/tcp/2 , /ip6/::1/tcp/3", "PUNCHGATE_TUNNEL_WAIT=");
    CU_ASSERT_EQUAL(err, PG_OK);
    CU_ASSERT_TRUE(is(options.values.listen, 0, "/ip4/127.0.0.1/tcp/2") && is(options.values.listen, 1, "/ip6/::1/tcp/3"));
    CU_ASSERT_EQUAL(options.origin[PG_OPTION_TUNNEL_WAIT].source, PG_FROM_DEFAULT); /* empty is absent */
}

static void a_part_of_an_item_belongs_to_the_item_before_it(void)
{
    read_with("", "PUNCHGATE_EXPOSE=a=127.0.0.1:1,allow=" PEER ",b=127.0.0.1:2", NULL);
    CU_ASSERT_EQUAL(err, PG_OK);
    CU_ASSERT_EQUAL(options.values.expose.n, 2);
    CU_ASSERT_TRUE(is(options.values.expose, 0, "a=127.0.0.1:1,allow=" PEER) && is(options.values.expose, 1, "b=127.0.0.1:2"));
    refuses_in("PUNCHGATE_TUNNEL=allow=" PEER, "",
               "PUNCHGATE_TUNNEL \"allow=" PEER "\": begins with a part of an item; write the item first");
    refuses_in("PUNCHGATE_EXPOSE=a=127.0.0.1:1,,b=127.0.0.1:2", "",
               "PUNCHGATE_EXPOSE \"a=127.0.0.1:1,,b=127.0.0.1:2\": an item is empty; leave out the comma that is too many");
    refuses_in("PUNCHGATE_EXPOSE=a=127.0.0.1:1,", "",
               "PUNCHGATE_EXPOSE \"a=127.0.0.1:1,\": an item is empty; leave out the comma that is too many");
    read_with("", "PUNCHGATE_EXPOSE=a=127.0.0.1:1,b=[::1]:2", NULL);
    CU_ASSERT_EQUAL(options.values.expose.n, 2);
    CU_ASSERT_TRUE(is(options.values.expose, 1, "b=[::1]:2"));
}

static void an_allow_list_names_peers(void)
{
    accepts("--expose a=127.0.0.1:1,allow=" PEER);
    accepts("--expose a=unix:/run/a,allow=" PEER ",allow=" PEER);
    refuses("--expose a=127.0.0.1:1,allow=bob", "--expose \"a=127.0.0.1:1,allow=bob\": what follows allow= is not a peer id; write "
            ",allow=PEER behind the target, PEER being the id that the peer logs, for example 12D3Koo...");
    refuses("--expose a=127.0.0.1:1,allow=", "--expose \"a=127.0.0.1:1,allow=\": what follows allow= is not a peer id; write "
            ",allow=PEER behind the target, PEER being the id that the peer logs, for example 12D3Koo...");
    refuses("--tunnel " PEER ":a@127.0.0.1:9,allow=" PEER,
            "--tunnel \"" PEER ":a@127.0.0.1:9,allow=" PEER "\": a tunnel goes to the peer that it names and to no other, so allow= "
            "means nothing here; leave it out, or write it behind --expose on the other peer");
    char line[2400] = "--expose a=127.0.0.1:1";
    for (unsigned i = 0; i < 32; i++)
        strcat(line, ",allow=" PEER);
    accepts(line);
    strcat(line, ",allow=" PEER);
    read_with(line, NULL, NULL);
    CU_ASSERT_EQUAL(err, PG_ERR_USAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(why_text, "more than 32 peers are allowed"));
}

static void times_have_units(void)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"0", 0}, {"10", 10000}, {"10s", 10000}, {"500ms", 500}, {"2min", 120000}, {"1h", 3600000}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char line[64];
        snprintf(line, sizeof line, "--tunnel-wait %s", good[i].text);
        accepts(line);
        CU_ASSERT_EQUAL(options.values.tunnel_wait_ms, good[i].ms);
    }
    refuses("--tunnel-wait 1.5s", "--tunnel-wait \"1.5s\": not a time; write a whole number and ms, s, min or h, for example 10s");
    refuses("--tunnel-wait -1s", "--tunnel-wait \"-1s\": not a time; write a whole number and ms, s, min or h, for example 10s");
    refuses("--tunnel-wait 2h", "--tunnel-wait \"2h\": too large; write something from 0ms to 1h");
    refuses("--tunnel-wait 99999999999999999999999", "--tunnel-wait \"99999999999999999999999\": too large; write something from 0ms to 1h");
    refuses("--tunnel-wait 999999999999999999h", "--tunnel-wait \"999999999999999999h\": too large; write something from 0ms to 1h");
    refuses("id --timeout 0", "--timeout \"0\": too small; write something from 1ms to 24h");
}

static void wrong_flags_are_named(void)
{
    refuses("--tunel x", "unknown option --tunel; did you mean --tunnel?");
    refuses("--tunel=x", "unknown option --tunel; did you mean --tunnel?");
    refuses("--frobnicate", "unknown option --frobnicate; punchgate --help lists them");
    refuses("-x", "unknown option -x; punchgate --help lists them");
    refuses("--expose", "--expose lacks its value; write --expose NAME=TARGET[,allow=PEER]...");
    refuses("--ready-json=1", "--ready-json takes no value; leave out what follows the =");
    refuses("--count 3", "--count is no option of run; punchgate run --help lists them");
    refuses("status --listen /ip4/0.0.0.0/tcp/1", "--listen is no option of status; punchgate status --help lists them");
    refuses("pong", "\"pong\" is no command; there are run, ping, identify, autonat, perf, check, id, path, pipe, status, "
             "key new, key show, key import, key export, dht put, dht get, dht provide, dht providers, dht find, dht closest");
    refuses("ping", "ADDR is missing; write punchgate ping ADDR");
    refuses("pipe", "ADDR:SERVICE is missing; write punchgate pipe ADDR:SERVICE");
    refuses("id here", "\"here\" is one word too many; punchgate id --help shows what belongs there");
    refuses("ping a b c d", "\"b\" is one word too many; punchgate ping --help shows what belongs there");
}

static void wrong_values_are_named_with_reason_and_remedy(void)
{
    static const char listen[] = "; write /ip4/ADDRESS/tcp/PORT or /ip6/ADDRESS/tcp/PORT";
    static const char dial[] = "; write /ip4/ADDRESS/tcp/PORT/p2p/ID or the same with /ip6, /dns4/NAME or /dnsaddr/NAME";
    static const struct {
        const char *flag, *value, *reason, *remedy;
    } wrong[] = {
        {"--listen", "/ip4/0.0.0.0/udp/0/quic-v1", "only TCP is spoken so far", listen},
        {"--listen", "/dns4/localhost/tcp/1", "one listens on a numeric address, not on a name", listen},
        {"--listen", "127.0.0.1:1", "not a multiaddr", listen},
        {"--listen", "/ip4/0.0.0.0/tcp/0/p2p/" PEER, "an address to listen on names no peer", "; leave out /p2p and what follows"},
        {"--listen", "/ip4/1.2.3.400/tcp/0", "a value in the multiaddr does not fit its protocol", listen},
        {"--listen", "/ipx/1/tcp/0", "the multiaddr names a protocol that is not known", listen},
        {"--bootstrap", "/ip4/1.2.3.4/udp/1/quic-v1/p2p/" PEER, "only TCP is spoken so far", dial},
        {"--bootstrap", "/dns4/example.org/udp/1/quic-v1/p2p/" PEER, "only TCP is spoken so far", dial},
        {"--bootstrap", "/dns4/example..org/tcp/1", "a name in the multiaddr is none that DNS knows: letters, digits, - and _, "
         "labels of at most 63 bytes, 253 in all", ""},
        {"--bootstrap", "/dns/example.org/tcp/0", "port 0 cannot be dialled", "; name the port that the peer listens on"},
        {"--bootstrap", "/ip4/1.2.3.4/tcp/0", "port 0 cannot be dialled", "; name the port that the peer listens on"},
        {"--bootstrap", "/ip4/1.2.3.4/tcp/1/p2p/12D3", "a value in the multiaddr does not fit its protocol", dial},
        {"--expose", "x", "not of the form NAME=HOST:PORT or NAME=unix:/PATH, an IPv6 address in brackets",
         "; write NAME=HOST:PORT or NAME=unix:/PATH, for example ssh=127.0.0.1:22"},
        {"--expose", "=127.0.0.1:1", "the service name is empty", "; write NAME=HOST:PORT or NAME=unix:/PATH, for example ssh=127.0.0.1:22"},
        {"--expose", "a=127.0.0.1:70000", "the port is not a number from 1 to 65535",
         "; write NAME=HOST:PORT or NAME=unix:/PATH, for example ssh=127.0.0.1:22"},
        {"--tunnel", "nobody:echo@127.0.0.1:1", "what stands before the first colon is not a peer id",
         "; write PEER:SERVICE@HOST:PORT, for example 12D3Koo...:ssh@127.0.0.1:2222"},
        {"--tunnel", PEER ":echo", "not of the form PEER:SERVICE@HOST:PORT or PEER:SERVICE@unix:/PATH, an IPv6 address in brackets",
         "; write PEER:SERVICE@HOST:PORT, for example 12D3Koo...:ssh@127.0.0.1:2222"},
        {"--nat-status", "unknown", "no such choice", "; write private or public"},
        {"--log-format", "xml", "no such choice", "; write text or json"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char line[256], expected[512];
        snprintf(line, sizeof line, "%s %s", wrong[i].flag, wrong[i].value);
        snprintf(expected, sizeof expected, "%s \"%s\": %s%s", wrong[i].flag, wrong[i].value, wrong[i].reason, wrong[i].remedy);
        refuses(line, expected);
    }
    refuses("--identity=", "--identity \"\": empty; write FILE");
    refuses("ping /ip4/1.2.3.4/tcp/1 --count 0", "--count \"0\": too small; write something from 1 to 1000000000");
    refuses("ping /ip4/1.2.3.4/tcp/1 --count x", "--count \"x\": not a whole number; write digits only");
    refuses("ping nowhere", "\"nowhere\": not a multiaddr; write /ip4/ADDRESS/tcp/PORT/p2p/ID or the same with /ip6, /dns4/NAME or /dnsaddr/NAME");
    refuses_in("PUNCHGATE_READY_JSON=maybe", "", "PUNCHGATE_READY_JSON \"maybe\": neither yes nor no; write 1 or 0");
}

static void a_misspelt_variable_is_told_of_but_not_those_of_others(void)
{
    read_with("", "PUNCHGATE_TUNEL=x", NULL);
    CU_ASSERT_EQUAL(err, PG_OK);
    CU_ASSERT_STRING_EQUAL(options.warning, "unknown variable PUNCHGATE_TUNEL, did you mean PUNCHGATE_TUNNEL?");
    read_with("", "PUNCHGATE_PORT=tcp://10.0.0.1:4001", "PUNCHGATE_SERVICE_HOST=10.0.0.1");
    CU_ASSERT_PTR_NULL(options.warning);
    read_with("", "PUNCHGATE_LOG=debug", "PUNCHGATE_TUNNEL=");
    CU_ASSERT_PTR_NULL(options.warning);
}

static void items_that_contradict_each_other_are_refused(void)
{
    refuses("--expose a=127.0.0.1:1 --expose a=127.0.0.1:2",
            "--expose: the service name \"a\" stands twice; a peer cannot tell which is meant, give each its own");
    refuses("--tunnel " PEER ":a@127.0.0.1:9 --tunnel " PEER ":b@127.0.0.1:9",
            "--tunnel: the local address of \"" PEER ":b@127.0.0.1:9\" stands twice; give each tunnel its own port");
    refuses("--tunnel " PEER ":a@unix:/tmp/a --tunnel " PEER ":b@unix:/tmp/a",
            "--tunnel: the local address of \"" PEER ":b@unix:/tmp/a\" stands twice; give each tunnel its own port");
    accepts("--tunnel " PEER ":a@127.0.0.1:0 --tunnel " PEER ":b@127.0.0.1:0");
    refuses("--listen /ip4/127.0.0.1/tcp/9 --listen /ip4/127.0.0.1/tcp/8 --listen /ip4/127.0.0.1/tcp/9",
            "--listen: the address \"/ip4/127.0.0.1/tcp/9\" stands twice; leave one of them out");
    refuses_in("PUNCHGATE_LISTEN=" LISTENS_17, "", "PUNCHGATE_LISTEN: 17 of them; at most 16 are possible, leave out the others");
}

static void strangers_text_cannot_reach_the_terminal(void)
{
    refuses("--expose \x1b[2J", "--expose \"\\u{1b}[2J\": a control character or broken UTF-8; write NAME=HOST:PORT or NAME=unix:/PATH, for example "
                                "ssh=127.0.0.1:22");
}

static void the_control_socket_follows_the_identity_or_is_off(void)
{
    char line[256] = "--identity /", expected[64] = "longer than the 107 bytes";
    accepts("--identity /var/lib/punchgate/key");
    CU_ASSERT_STRING_EQUAL(options.values.control, "/var/lib/punchgate/key.sock");
    accepts("--control off");
    CU_ASSERT_PTR_NULL(options.values.control);
    memset(line + strlen(line), 'x', 120);
    read_with(line, NULL, NULL);
    CU_ASSERT_EQUAL(err, PG_ERR_USAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(why_text, expected));
    refuses("status --control off", "control is off; status needs the socket of a running peer, name it with --control PATH");
}

static bool helps(enum pg_cli_command command, const char *words)
{
    for (const char *const *piece = pg_cli_command_infos[command].help; *piece; piece++)
        if (strstr(*piece, words))
            return true;
    return false;
}

static void help_and_version_come_before_everything_else(void)
{
    accepts("ping --help");
    CU_ASSERT_TRUE(options.values.help);
    CU_ASSERT_EQUAL(options.command, PG_CLI_PING);
    accepts("-h --listen rubbish");
    CU_ASSERT_TRUE(options.values.help);
    accepts("--version");
    CU_ASSERT_TRUE(options.values.version);
    CU_ASSERT_TRUE(helps(PG_CLI_RUN, "--tunnel-wait TIME") && helps(PG_CLI_RUN, "Exit status"));
    CU_ASSERT_FALSE(helps(PG_CLI_PING, "--tunnel-wait"));
}

static void json_is_known_even_when_the_rest_is_wrong(void)
{
    read_with("ping --json nowhere", NULL, NULL);
    CU_ASSERT_EQUAL(err, PG_ERR_USAGE);
    CU_ASSERT_TRUE(options.values.json);
}

static void output_is_escaped_ordered_and_whole_or_nothing(void)
{
    char buffer[256], small[24];
    struct pg_out out;
    pg_out_begin(&out, buffer, sizeof buffer, "ready");
    pg_out_text(&out, "peer", PG_LIT("a\"b\\\n\x1b\xff\xc3\xa9"));
    pg_out_array(&out, "addrs");
    pg_out_text(&out, NULL, PG_LIT("/ip4/1.2.3.4/tcp/1"));
    pg_out_object(&out, NULL);
    pg_out_u64(&out, "n", UINT64_MAX);
    pg_out_bool(&out, "up", true);
    pg_out_close(&out);
    pg_out_close(&out);
    pg_out_null(&out, "relay");
    CU_ASSERT_TRUE(pg_bytes_equal(pg_out_end(&out), PG_LIT("{\"event\":\"ready\",\"peer\":\"a\\\"b\\\\\\n\\u001b\xef\xbf\xbd\xc3\xa9\","
                                                           "\"addrs\":[\"/ip4/1.2.3.4/tcp/1\",{\"n\":18446744073709551615,\"up\":true}],"
                                                           "\"relay\":null}\n")));
    pg_out_begin(&out, small, sizeof small, NULL);
    pg_out_text(&out, "long", PG_LIT("more than fits into it"));
    CU_ASSERT_EQUAL(pg_out_end(&out).len, 0);
    struct pg_bytes error = pg_out_error(buffer, 80, PG_ERR_USAGE, PG_LIT("a reason that is much too long for the room that it is given here"));
    CU_ASSERT_TRUE(error.len > 0 && error.len < 80);
    CU_ASSERT_PTR_NOT_NULL(strstr(buffer, "\xe2\x80\xa6\"}\n"));
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"without anything it runs with defaults", without_anything_it_runs_with_defaults},
        {"every command takes its argument", every_command_takes_its_argument},
        {"questions to the DHT take keys, values and peers", questions_to_the_dht_take_keys_values_and_peers},
        {"queries use a passing key unless told on the command line", queries_use_a_passing_key_unless_told_on_the_command_line},
        {"flags win over the environment and replace whole lists", flags_win_over_the_environment_and_replace_whole_lists},
        {"a part of an item belongs to the item before it", a_part_of_an_item_belongs_to_the_item_before_it},
        {"an allow list names peers", an_allow_list_names_peers},
        {"times have units", times_have_units},
        {"wrong flags are named", wrong_flags_are_named},
        {"wrong values are named with reason and remedy", wrong_values_are_named_with_reason_and_remedy},
        {"a misspelt variable is told of, but not those of others", a_misspelt_variable_is_told_of_but_not_those_of_others},
        {"items that contradict each other are refused", items_that_contradict_each_other_are_refused},
        {"a stranger's text cannot reach the terminal", strangers_text_cannot_reach_the_terminal},
        {"the control socket follows the identity or is off", the_control_socket_follows_the_identity_or_is_off},
        {"help and version come before everything else", help_and_version_come_before_everything_else},
        {"--json is known even when the rest is wrong", json_is_known_even_when_the_rest_is_wrong},
        {"output is escaped, ordered, and whole or nothing", output_is_escaped_ordered_and_whole_or_nothing},
    };
    int status = RUN_SUITE("options", sentences);
    pg_options_free(&options);
    return status;
}
