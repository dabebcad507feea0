/* The configuration file: where it is looked for, what it overrides, how its errors name file and line.
 * Run by ctest. Serves punchgate(1), "CONFIGURATION FILE". */
#include "crypto_suite.h"

#include "cli/config.h"
#include "cli/options.h"
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/punchgate-config-XXXXXX";
static char file[128], xdg[160];
static struct pg_options options;
static char why_text[1024];
static enum pg_err err;

static void write_file(const void *text, size_t len)
{
    FILE *f = fopen(file, "w");
    if (!f || fwrite(text, 1, len, f) != len || fclose(f) != 0)
        abort();
}

static void read_line(char *flag, char *value, const char *env)
{
    char *argv[] = {"punchgate", flag, value, NULL}, *envp[] = {xdg, (char *)env, NULL};
    struct pg_line why;
    pg_options_free(&options);
    pg_line_init(&why, why_text, sizeof why_text);
    err = pg_options_read(&options, flag ? (value ? 3 : 2) : 1, argv, envp, &why);
}

static void accepts(const char *text)
{
    write_file(text, strlen(text));
    read_line(NULL, NULL, NULL);
    if (err != PG_OK)
        printf("\n  %s\n", why_text);
    CU_ASSERT_EQUAL(err, PG_OK);
}

/* expected: what follows the file's name. */
static void refuses(const char *text, const char *expected)
{
    size_t n = strlen(file);
    write_file(text, strlen(text));
    read_line(NULL, NULL, NULL);
    if (strncmp(why_text, file, n) != 0 || strcmp(why_text + n, expected) != 0)
        printf("\n  got:      %s\n  expected: FILE%s\n", why_text, expected);
    CU_ASSERT_EQUAL(err, PG_ERR_CONFIG_BAD);
    CU_ASSERT_TRUE(strncmp(why_text, file, n) == 0 && strcmp(why_text + n, expected) == 0);
}

static void a_file_sets_what_nobody_else_has_set(void)
{
    accepts("# comment\n; another\nlisten = /ip4/127.0.0.1/tcp/1\nlisten=/ip6/::1/tcp/2\n\ntunnel-wait: 3s\n"
            "expose = web=127.0.0.1:80 ; at the end\nready-json = yes\n");
    CU_ASSERT_EQUAL(options.values.listen.n, 2);
    CU_ASSERT_STRING_EQUAL(options.values.listen.at[1], "/ip6/::1/tcp/2");
    CU_ASSERT_EQUAL(options.values.tunnel_wait_ms, 3000);
    CU_ASSERT_STRING_EQUAL(options.values.expose.at[0], "web=127.0.0.1:80");
    CU_ASSERT_TRUE(options.values.ready_json);
    CU_ASSERT_EQUAL(options.origin[PG_OPTION_LISTEN].source, PG_FROM_FILE);
    CU_ASSERT_EQUAL(options.origin[PG_OPTION_LISTEN].line, 3);
    CU_ASSERT_EQUAL(options.origin[PG_OPTION_EXPOSE].line, 7);
    CU_ASSERT_STRING_EQUAL(options.file, file);
}

static void environment_and_flags_replace_whole_lists_of_the_file(void)
{
    accepts("listen = /ip4/127.0.0.1/tcp/1\nlisten = /ip6/::1/tcp/2\ntunnel-wait = 3s\n");
    read_line(NULL, NULL, "PUNCHGATE_LISTEN=/ip4/127.0.0.1/tcp/9");
    CU_ASSERT_EQUAL(options.values.listen.n, 1);
    CU_ASSERT_EQUAL(options.values.tunnel_wait_ms, 3000);
    read_line("--tunnel-wait", "4s", "PUNCHGATE_TUNNEL_WAIT=5s");
    CU_ASSERT_EQUAL(options.values.tunnel_wait_ms, 4000);
    CU_ASSERT_EQUAL(options.values.listen.n, 2);
}

static void sections_continuations_and_line_ends_of_other_editors_are_fine(void)
{
    accepts("\xef\xbb\xbf[punchgate]\r\nexpose = a=127.0.0.1:1\r\n         b=127.0.0.1:2\r\ntunnel-wait = 1s");
    CU_ASSERT_EQUAL(options.values.expose.n, 2);
    CU_ASSERT_STRING_EQUAL(options.values.expose.at[1], "b=127.0.0.1:2");
    accepts("");
    CU_ASSERT_EQUAL(options.values.listen.n, 2);
}

static void errors_name_file_line_and_remedy(void)
{
    refuses("listen = /ip4/127.0.0.1/tcp/1\nlistn = x\n", ":2: unknown name \"listn\"; did you mean listen?");
    refuses("nonsense = 1\n", ":1: unknown name \"nonsense\"; punchgate --help lists them, without the dashes here");
    refuses("config = x\n", ":1: unknown name \"config\"; punchgate --help lists them, without the dashes here");
    refuses("\nhello\n", ":2: not of the form name = value; a comment begins with #");
    refuses("[peer]\nlisten = x\n", ":2: unknown section [peer]; the options stand under [punchgate] or under no section at all");
    refuses("identity = a\n\nidentity = b\n", ":3: identity stands already in line 1; keep one of them");
    refuses("tunnel-wait = soon\n", ":1: tunnel-wait \"soon\": not a time; write a whole number and ms, s, min or h, for example 10s");
    refuses("listen = /ip4/1.2.3.4/tcp/1\nlisten = x\n",
            ":2: listen \"x\": not a multiaddr; write /ip4/ADDRESS/tcp/PORT or /ip6/ADDRESS/tcp/PORT");
    refuses("\nexpose = a=127.0.0.1:1\nexpose = a=127.0.0.1:2\n",
            ":2: expose: the service name \"a\" stands twice; a peer cannot tell which is meant, give each its own");
    refuses("identity =\n", ":1: identity \"\": empty; write FILE");
}

static void a_file_that_is_no_text_is_refused_within_bounds(void)
{
    char *line = malloc(PG_CONFIG_LINE + 64);
    CU_ASSERT_PTR_NOT_NULL_FATAL(line);
    write_file("listen\0= x\n", 11);
    read_line(NULL, NULL, NULL);
    CU_ASSERT_EQUAL(err, PG_ERR_CONFIG_BAD);
    CU_ASSERT_PTR_NOT_NULL(strstr(why_text, ":1: a zero byte; a configuration file is text"));
    memset(line, 'x', PG_CONFIG_LINE + 64);
    memcpy(line, "identity = ", 11);
    write_file(line, PG_CONFIG_LINE + 64);
    read_line(NULL, NULL, NULL);
    CU_ASSERT_EQUAL(err, PG_ERR_CONFIG_BAD);
    CU_ASSERT_PTR_NOT_NULL(strstr(why_text, ":1: the line is longer than 8190 bytes"));
    write_file(line, 1500); /* longer than upstream's 200 */
    read_line("--control", "off", NULL);
    CU_ASSERT_EQUAL(err, PG_OK);
    CU_ASSERT_EQUAL(strlen(options.values.identity), 1500 - 11);
    read_line("--config", "/dev/zero", NULL);
    CU_ASSERT_EQUAL(err, PG_ERR_CONFIG_BAD);
    free(line);
}

static void a_named_file_must_be_there_and_readable(void)
{
    read_line("--config", "/nonexistent/x.conf", NULL);
    CU_ASSERT_EQUAL(err, PG_ERR_CONFIG_BAD);
    CU_ASSERT_STRING_EQUAL(why_text, "configuration file /nonexistent/x.conf: No such file or directory; "
                                     "name one that exists, or leave --config out");
    read_line(NULL, NULL, "PUNCHGATE_CONFIG=/nonexistent/x.conf");
    CU_ASSERT_EQUAL(err, PG_ERR_CONFIG_BAD);
    read_line("--config", folder, NULL);
    CU_ASSERT_EQUAL(err, PG_ERR_CONFIG_BAD);
    CU_ASSERT_PTR_NOT_NULL(strstr(why_text, ": Is a directory; it must be a readable text file"));
}

static void commands_read_the_file_but_not_what_is_for_others(void)
{
    write_file("listen = rubbish\ntimeout = 5s\n", 30);
    read_line("id", NULL, NULL);
    CU_ASSERT_EQUAL(err, PG_OK);
    CU_ASSERT_EQUAL(options.values.timeout_ms, 5000);
}

static void the_users_file_comes_before_the_systems(void)
{
    char path[PG_CONFIG_PATH], home[200];
    accepts("");
    CU_ASSERT_TRUE(pg_config_find(xdg + strlen("XDG_CONFIG_HOME="), "/nonexistent", path));
    CU_ASSERT_STRING_EQUAL(path, file);
    bool system_wide = access("/etc/punchgate/punchgate.conf", F_OK) == 0;
    CU_ASSERT_EQUAL(pg_config_find("/nonexistent", NULL, path), system_wide);
    CU_ASSERT_EQUAL(pg_config_find("relative/is/ignored", "/nonexistent", path), system_wide);
    snprintf(home, sizeof home, "%s/.config", folder);
    CU_ASSERT_EQUAL(symlink(folder, home), 0);
    CU_ASSERT_TRUE(pg_config_find(NULL, folder, path));
    CU_ASSERT_PTR_NOT_NULL(strstr(path, "/.config/punchgate/punchgate.conf"));
    unlink(home);
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"a file sets what nobody else has set", a_file_sets_what_nobody_else_has_set},
        {"environment and flags replace whole lists of the file", environment_and_flags_replace_whole_lists_of_the_file},
        {"sections, continuations and line ends of other editors are fine", sections_continuations_and_line_ends_of_other_editors_are_fine},
        {"errors name file, line and remedy", errors_name_file_line_and_remedy},
        {"a file that is no text is refused within bounds", a_file_that_is_no_text_is_refused_within_bounds},
        {"a named file must be there and readable", a_named_file_must_be_there_and_readable},
        {"commands read the file but not what is for others", commands_read_the_file_but_not_what_is_for_others},
        {"the user's file comes before the system's", the_users_file_comes_before_the_systems},
    };
    if (!mkdtemp(folder))
        return 1;
    snprintf(xdg, sizeof xdg, "XDG_CONFIG_HOME=%s", folder);
    snprintf(file, sizeof file, "%s/punchgate", folder);
    mkdir(file, 0700);
    snprintf(file, sizeof file, "%s/punchgate/punchgate.conf", folder);
    int status = RUN_SUITE("configuration file", sentences);
    pg_options_free(&options);
    unlink(file);
    *strrchr(file, '/') = '\0';
    rmdir(file);
    rmdir(folder);
    return status;
}
