/* The kinds of spec/options.list, one check each; parsers of addresses and specifications do the reading.
 * Called by options_values.c. A refusal says why and what to write instead, and repeats no value: the caller does. */
#include "cli/values.h"
#include "cli/addresses.h"
#include "core/kad_text.h"
#include "crypto/dnsaddr.h"
#include "crypto/keys.h"
#include "crypto/multiaddr.h"
#include "service/peer.h"
#include "wire/spec_text.h"
#include <ctype.h>
#include <string.h>
#include <strings.h>

#define WRITE_LISTEN "; write /ip4/ADDRESS/tcp/PORT or /ip6/ADDRESS/tcp/PORT"
#define WRITE_CIRCUIT "; write RELAY_ADDRESS/p2p/RELAY_ID/p2p-circuit/p2p/ID"
#define WRITE_DIAL "; write /ip4/ADDRESS/tcp/PORT/p2p/ID or the same with /ip6, /dns4/NAME or /dnsaddr/NAME"
#define WRITE_EXPOSE "; write NAME=HOST:PORT or NAME=unix:/PATH, for example ssh=127.0.0.1:22"
#define WRITE_ALLOW "; write ,allow=PEER behind the target, PEER being the id that the peer logs, for example 12D3Koo..."
#define WRITE_SHORTER "; choose a shorter one"
#define MANY_ALLOWED "more than 32 peers are allowed; give the service a second name for the others"
#define WRITE_NAMED "; write NAME@HOST:PORT, for example ssh@127.0.0.1:2222"
#define MANY_PINNED "more than 32 peers are allowed; leave some of them out"
#define WRITE_TUNNEL "; write PEER:SERVICE@HOST:PORT, for example 12D3Koo...:ssh@127.0.0.1:2222"
#define WRITE_PIPE "; write ADDR:SERVICE, for example /ip4/192.0.2.7/tcp/4001/p2p/12D3Koo...:ssh"

static bool refuse(struct pg_line *why, const char *reason, const char *instead)
{
    pg_line_put(why, reason);
    pg_line_put(why, instead);
    return false;
}

static bool refuse_err(struct pg_line *why, enum pg_err err, const char *instead)
{
    return refuse(why, pg_err_text(err), instead);
}

/* --- addresses --- */

static bool first_is(const struct pg_multiaddr *addr, enum pg_ma_code code)
{
    struct pg_ma_part part;
    size_t offset = 0;
    return pg_multiaddr_next(addr, &offset, &part) && part.code == (uint32_t)code;
}

static bool check_listen(struct pg_bytes text, struct pg_line *why)
{
    struct pg_multiaddr addr;
    struct pg_endpoint endpoint;
    struct pg_named named;
    struct pg_peer_id id;
    enum pg_err err = pg_multiaddr_parse(&addr, text);
    if (err != PG_OK) {
        return refuse_err(why, err, WRITE_LISTEN);
    }
    if (pg_named_take(&addr, &named)) {
        return refuse(why, "one listens on a numeric address, not on a name", WRITE_LISTEN);
    }
    if (pg_multiaddr_tcp(&addr, &endpoint, &id) != PG_OK) {
        return refuse(why, "only TCP is spoken so far", WRITE_LISTEN);
    }
    return id.len == 0 || refuse(why, "an address to listen on names no peer", "; leave out /p2p and what follows");
}

/* An address over a relay; what stands before /p2p-circuit is dialled like any other. */
static bool check_circuit(const struct pg_multiaddr *addr, struct pg_multiaddr *relay, struct pg_line *why)
{
    struct pg_peer_id id, peer;
    if (pg_multiaddr_circuit(addr, relay, &id, &peer) != PG_OK) {
        return refuse(why, "the relay before /p2p-circuit has to be named, and behind it stands a peer and nothing else", WRITE_CIRCUIT);
    }
    if (peer.len == 0) {
        return refuse(why, "the peer behind the relay is not named", WRITE_CIRCUIT);
    }
    return !pg_peer_id_equal(&id, &peer) || refuse(why, "a relay is no way to itself", "; leave out /p2p-circuit and what follows");
}

static bool check_dial(struct pg_bytes text, struct pg_line *why)
{
    struct pg_multiaddr addr;
    struct pg_endpoint endpoint;
    struct pg_named named;
    enum pg_err err = pg_multiaddr_parse(&addr, text);
    if (err != PG_OK) {
        return refuse_err(why, err, WRITE_DIAL);
    }
    if (pg_multiaddr_is_circuit(&addr)) {
        struct pg_multiaddr relay;
        if (!check_circuit(&addr, &relay, why)) {
            return false;
        }
        addr = relay;
    }
    if (pg_named_take(&addr, &named)) {
        err = pg_named_check(&named);
        if (err == PG_ERR_ADDR_NAME_BAD) {
            return refuse_err(why, err, "");
        }
        if (err == PG_OK && named.code == PG_MA_DNSADDR) {
            return true; /* its records say the rest */
        }
        if (err == PG_OK && !pg_named_at(&named, &(struct pg_endpoint){.family = 6}, &addr)) {
            return refuse_err(why, PG_ERR_ADDR_TOO_LONG, WRITE_DIAL);
        }
    }
    if (pg_multiaddr_tcp(&addr, &endpoint, NULL) != PG_OK) {
        return refuse(why, "only TCP is spoken so far", WRITE_DIAL);
    }
    return endpoint.port != 0 || refuse(why, "port 0 cannot be dialled", "; name the port that the peer listens on");
}

bool pg_value_address(const char *text, struct pg_line *why)
{
    return check_dial(pg_text(text), why);
}

bool pg_value_pipe(const char *text, const char **colon, struct pg_line *why)
{
    struct pg_pipe_text parts;
    enum pg_err err = pg_pipe_parse(pg_text(text), &parts);
    if (err != PG_OK) {
        return refuse_err(why, err, WRITE_PIPE);
    }
    *colon = strrchr(text, ':');
    return check_dial(parts.addr, why);
}

/* --- the DHT --- */

bool pg_value_key(const char *text, struct pg_line *why)
{
    uint8_t key[PG_KAD_KEY_MAX];
    size_t len;
    return pg_kad_key_read(pg_text(text), key, &len) ||
           refuse(why, "not a key of 1 to 1024 bytes", "; write text, 0x and an even number of hex digits, or a CID");
}

bool pg_value_octets(const char *text, struct pg_line *why)
{
    static uint8_t value[PG_KAD_VALUE_MAX];
    size_t len;
    /* An empty one could not be told from none in an answer. */
    return (pg_kad_octets_read(pg_text(text), value, sizeof value, &len) && len > 0) ||
           refuse(why, "not a value of 1 byte to 64 KiB", "; write text, or 0x and an even number of hex digits");
}

bool pg_value_peer(const char *text, struct pg_line *why)
{
    struct pg_peer_id id;
    enum pg_err err = pg_peer_id_parse(&id, pg_text(text));
    return err == PG_OK || refuse_err(why, err, "; write the id that the peer logs, for example 12D3Koo...");
}

/* --- specifications --- */

static bool check_expose(struct pg_bytes text, struct pg_line *why)
{
    struct pg_expose_text parts;
    struct pg_peer_id id;
    unsigned n = 0;
    enum pg_err err = pg_expose_parse(text, &parts);
    if (err != PG_OK) {
        return refuse_err(why, err, err == PG_ERR_SOCKET_PATH_LONG ? WRITE_SHORTER : WRITE_EXPOSE);
    }
    for (struct pg_bytes peer; pg_allow_next(&parts.allow, &peer); n++) {
        if (pg_peer_id_parse(&id, peer) != PG_OK) {
            pg_line_put(why, "what follows allow= is ");
            return refuse_err(why, PG_ERR_PEER_ID_BAD, WRITE_ALLOW);
        }
    }
    return n <= PG_EXPOSE_ALLOWED || refuse(why, MANY_ALLOWED, "");
}

/* A tunnel goes to a peer, not to whoever answers at an address. */
static bool check_peer_address(struct pg_bytes text, struct pg_line *why)
{
    struct pg_multiaddr addr;
    struct pg_peer_id id;
    if (!check_dial(text, why)) {
        return false;
    }
    if (pg_multiaddr_parse(&addr, text) == PG_OK) {
        pg_multiaddr_peer(&addr, &id);
        if (id.len > 0) {
            return true;
        }
    }
    return refuse_err(why, PG_ERR_ADDR_NO_PEER_ID, WRITE_TUNNEL);
}

static bool check_tunnel(struct pg_bytes text, struct pg_line *why)
{
    struct pg_tunnel_text parts;
    struct pg_peer_id id;
    enum pg_err err = pg_tunnel_parse(text, &parts);
    if (err == PG_ERR_TUNNEL_ALLOW) {
        return refuse_err(why, err, "; leave it out, or write it behind --expose on the other peer");
    }
    if (err != PG_OK) {
        return refuse_err(why, err, err == PG_ERR_SOCKET_PATH_LONG ? WRITE_SHORTER : WRITE_TUNNEL);
    }
    if (parts.peer.len && parts.peer.at[0] == '/') {
        return check_peer_address(parts.peer, why);
    }
    err = pg_peer_id_parse(&id, parts.peer);
    if (err != PG_OK) {
        pg_line_put(why, "what stands before the first colon is ");
        return refuse_err(why, err, WRITE_TUNNEL);
    }
    return true;
}

static bool check_named(struct pg_bytes text, struct pg_line *why)
{
    struct pg_named_text parts;
    struct pg_peer_id id;
    size_t n = 0;
    enum pg_err err = pg_named_parse(text, &parts);
    if (err != PG_OK) {
        return refuse_err(why, err, err == PG_ERR_SOCKET_PATH_LONG ? WRITE_SHORTER : WRITE_NAMED);
    }
    for (struct pg_bytes peer; pg_allow_next(&parts.allow, &peer); n++) {
        if (pg_peer_id_parse(&id, peer) != PG_OK) {
            pg_line_put(why, "what follows allow= is ");
            return refuse_err(why, PG_ERR_PEER_ID_BAD, WRITE_ALLOW);
        }
    }
    return n <= PG_EXPOSE_ALLOWED || refuse(why, MANY_PINNED, "");
}

/* What others may dial; it is told to them as it stands. */
static bool check_external(struct pg_bytes text, struct pg_line *why)
{
    static const char instead[] = "; write the address that others dial, for example /ip4/192.0.2.7/tcp/4001 or /dns4/NAME/tcp/4001";
    struct pg_multiaddr addr;
    struct pg_endpoint at;
    struct pg_peer_id id;
    if (!check_dial(text, why)) {
        return false;
    }
    (void)pg_multiaddr_parse(&addr, text);
    pg_multiaddr_peer(&addr, &id);
    if (id.len > 0) {
        return refuse(why, "it names a peer, and can only be our own", "; leave out /p2p and what follows");
    }
    if (first_is(&addr, PG_MA_DNSADDR)) {
        return refuse(why, "a list of addresses, not one", instead);
    }
    if (pg_multiaddr_tcp(&addr, &at, NULL) == PG_OK && pg_endpoint_is_unspecified(&at)) {
        return refuse(why, "not an address that can be dialled", instead);
    }
    return true;
}

static bool check_name_server(const char *text, struct pg_line *why)
{
    struct pg_endpoint server;
    return pg_name_server_parse(pg_text(text), &server) ||
           refuse(why, "not an address of a name server", "; write ADDRESS or ADDRESS:PORT, for example 192.0.2.53 or [2001:db8::53]:5353");
}

/* What stands on a line of multistream-select: no line may break it, and no space is a part of any. */
static bool check_protocol(struct pg_bytes text, struct pg_line *why)
{
    static const char *const instead = "; write one that begins with a slash, for example /punchgate/kad/1.0.0";
    if (text.at[0] != '/' || text.len < 2 || text.len > PG_KAD_PROTOCOL_MAX) {
        return refuse(why, "not a protocol id of 2 to 64 bytes that begins with a slash", instead);
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] <= ' ' || text.at[i] >= 0x7f) {
            return refuse(why, "a protocol id has no spaces and no letters beyond ASCII", instead);
        }
    }
    return true;
}

/* --- numbers --- */

/* The first is what a number without a unit means; those behind it ascend. */
struct unit {
    const char *name;
    uint64_t scale;
};
static const struct unit times[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}};
static const struct unit sizes[] = {{"", 1}, {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}};
enum { TIMES = sizeof times / sizeof times[0], SIZES = sizeof sizes / sizeof sizes[0] };

/* In the largest unit that gives a whole number; the first of these must be 1. */
static void put_scaled(struct pg_line *line, uint64_t value, const struct unit *units, unsigned n)
{
    const struct unit *best = units;
    for (unsigned i = 1; i < n; i++) {
        if (value % units[i].scale == 0 && value >= units[i].scale) {
            best = &units[i];
        }
    }
    pg_line_u64(line, value / best->scale);
    pg_line_put(line, best->name);
}

static void put_duration(struct pg_line *line, uint64_t ms)
{
    put_scaled(line, ms, times + 1, TIMES - 1); /* never without its unit */
}

static void put_size(struct pg_line *line, uint64_t bytes)
{
    put_scaled(line, bytes, sizes, SIZES);
}

/* Digits at the front of text; *rest is what follows them. False without digits; what is too large for 64 bits is as large as can be. */
static bool read_digits(const char *text, uint64_t *number, const char **rest)
{
    *number = 0;
    *rest = text;
    for (; isdigit((unsigned char)**rest); ++*rest) {
        unsigned digit = (unsigned)(**rest - '0');
        *number = *number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *number * 10 + digit;
    }
    return *rest != text;
}

static bool in_bounds(const struct pg_option_info *option, uint64_t number, struct pg_line *why)
{
    void (*put)(struct pg_line *, uint64_t) = option->kind == PG_KIND_DURATION ? put_duration
                                              : option->kind == PG_KIND_SIZE   ? put_size
                                                                               : pg_line_u64;
    if (number >= option->low && number <= option->high) {
        return true;
    }
    pg_line_put(why, number < option->low ? "too small" : "too large");
    pg_line_put(why, "; write something from ");
    put(why, option->low);
    pg_line_put(why, " to ");
    put(why, option->high);
    return false;
}

/* False when it is no number with one of these units. */
static bool read_scaled(const char *text, const struct unit *units, unsigned n, uint64_t *value)
{
    const char *name;
    if (!read_digits(text, value, &name)) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(name, units[i].name) == 0) {
            *value = *value > UINT64_MAX / units[i].scale ? UINT64_MAX : *value * units[i].scale;
            return true;
        }
    }
    return false;
}

static bool read_duration(const struct pg_option_info *option, const char *text, uint64_t *ms, struct pg_line *why)
{
    if (!read_scaled(text, times, TIMES, ms)) {
        return refuse(why, "not a time", "; write a whole number and ms, s, min or h, for example 10s");
    }
    return in_bounds(option, *ms, why);
}

static bool read_size(const struct pg_option_info *option, const char *text, uint64_t *bytes, struct pg_line *why)
{
    if (!read_scaled(text, sizes, SIZES, bytes)) {
        return refuse(why, "not a size", "; write a whole number and KiB, MiB or GiB, for example 256MiB");
    }
    return in_bounds(option, *bytes, why);
}

static bool read_count(const struct pg_option_info *option, const char *text, uint64_t *number, struct pg_line *why)
{
    const char *rest;
    if (!read_digits(text, number, &rest) || *rest) {
        return refuse(why, "not a whole number", "; write digits only");
    }
    return in_bounds(option, *number, why);
}

static bool read_flag(const char *text, uint64_t *on, struct pg_line *why)
{
    static const char *const words[] = {"0", "false", "no", "off", "1", "true", "yes", "on"};
    for (unsigned i = 0; i < 8; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *on = i >= 4;
            return true;
        }
    }
    return refuse(why, "neither yes nor no", "; write 1 or 0");
}

/* The choices stand in the placeholder: a|b. */
static bool read_word(const struct pg_option_info *option, const char *text, uint64_t *choice, struct pg_line *why)
{
    const char *at = option->placeholder;
    for (*choice = 1;; ++*choice) {
        size_t n = strcspn(at, "|");
        if (strlen(text) == n && memcmp(text, at, n) == 0) {
            return true;
        }
        if (!at[n]) {
            break;
        }
        at += n + 1;
    }
    pg_line_put(why, "no such choice; write ");
    for (at = option->placeholder; *at; at++) {
        pg_line_raw(why, *at == '|' ? PG_LIT(" or ") : pg_bytes(at, 1));
    }
    return false;
}

bool pg_value_read(const struct pg_option_info *option, const char *text, uint64_t *number, struct pg_line *why)
{
    *number = 0;
    if (!*text) {
        pg_line_put(why, "empty; write ");
        pg_line_put(why, option->placeholder ? option->placeholder : "1 or 0");
        return false;
    }
    switch (option->kind) {
    case PG_KIND_FLAG: return read_flag(text, number, why);
    case PG_KIND_WORD: return read_word(option, text, number, why);
    case PG_KIND_COUNT: return read_count(option, text, number, why);
    case PG_KIND_DURATION: return read_duration(option, text, number, why);
    case PG_KIND_SIZE: return read_size(option, text, number, why);
    case PG_KIND_LISTEN: return check_listen(pg_text(text), why);
    case PG_KIND_BOOTSTRAP: return check_dial(pg_text(text), why);
    case PG_KIND_EXPOSE: return check_expose(pg_text(text), why);
    case PG_KIND_TUNNEL: return check_tunnel(pg_text(text), why);
    case PG_KIND_NAMED: return check_named(pg_text(text), why);
    case PG_KIND_EXTERNAL: return check_external(pg_text(text), why);
    case PG_KIND_NAMESERVER: return check_name_server(text, why);
    case PG_KIND_PROTOCOL: return check_protocol(pg_text(text), why);
    case PG_KIND_PATH:
    case PG_KIND_CONTROL: return true; /* whether the file is as it must be shows when it is opened */
    }
    return false;
}

/* --- items against each other --- */

static bool twice(struct pg_line *why, const char *what, struct pg_bytes text, const char *instead)
{
    pg_line_put(why, what);
    pg_line_put(why, " \"");
    pg_line_escaped(why, text, PG_ESCAPE_DISPLAY, 300);
    pg_line_put(why, "\" stands twice");
    pg_line_put(why, instead);
    return false;
}

/* Where a tunnel listens. */
struct bind {
    struct pg_bytes host, path;
    uint16_t port;
};

static bool bind_of(const struct pg_option_values *values, size_t i, const char **text, struct bind *out)
{
    struct pg_tunnel_text t;
    struct pg_named_text named;
    if (i < values->tunnel.n) {
        *text = values->tunnel.at[i];
        enum pg_err err = pg_tunnel_parse(pg_text(*text), &t);
        *out = (struct bind){t.host, t.path, t.port};
        return err == PG_OK;
    }
    *text = values->tunnel_by_name.at[i - values->tunnel.n];
    enum pg_err err = pg_named_parse(pg_text(*text), &named);
    *out = (struct bind){named.host, named.path, named.port};
    return err == PG_OK;
}

static bool same_bind(const struct bind *a, const struct bind *b)
{
    if (a->path.len || b->path.len) {
        return pg_bytes_equal(a->path, b->path);
    }
    return a->port != 0 && a->port == b->port && pg_bytes_equal(a->host, b->host);
}

static bool names_differ(const struct pg_strings *list, struct pg_line *why)
{
    struct pg_expose_text a, b;
    for (size_t i = 0; i < list->n; i++) {
        for (size_t k = 0; k < i; k++) {
            if (pg_expose_parse(pg_text(list->at[i]), &a) == PG_OK && pg_expose_parse(pg_text(list->at[k]), &b) == PG_OK &&
                pg_bytes_equal(a.name, b.name)) {
                return twice(why, "the service name", a.name, "; a peer cannot tell which is meant, give each its own");
            }
        }
    }
    return true;
}

static bool binds_differ(const struct pg_option_values *values, enum pg_option *which, struct pg_line *why)
{
    struct bind a, b;
    const char *text, *other;
    for (size_t i = 0; i < values->tunnel.n + values->tunnel_by_name.n; i++) {
        *which = i < values->tunnel.n ? PG_OPTION_TUNNEL : PG_OPTION_TUNNEL_BY_NAME;
        for (size_t k = 0; k < i; k++) {
            if (bind_of(values, i, &text, &a) && bind_of(values, k, &other, &b) && same_bind(&a, &b)) {
                return twice(why, "the local address of", pg_text(text), "; give each tunnel its own port");
            }
        }
    }
    return true;
}

static bool same_listen(const char *a, const char *b)
{
    struct pg_multiaddr one, other;
    struct pg_endpoint at;
    if (pg_multiaddr_parse(&one, pg_text(a)) != PG_OK || pg_multiaddr_parse(&other, pg_text(b)) != PG_OK) {
        return false;
    }
    return pg_multiaddr_equal(&one, &other) && pg_multiaddr_tcp(&one, &at, NULL) == PG_OK && at.port != 0; /* 0 is another one each time */
}

static bool listens_differ(const struct pg_strings *list, struct pg_line *why)
{
    for (size_t i = 0; i < list->n; i++) {
        for (size_t k = 0; k < i; k++) {
            if (same_listen(list->at[i], list->at[k])) {
                return twice(why, "the address", pg_text(list->at[i]), "; leave one of them out");
            }
        }
    }
    return true;
}

bool pg_values_agree(const struct pg_option_values *values, enum pg_option *which, struct pg_line *why)
{
    *which = PG_OPTION_LISTEN;
    if (!listens_differ(&values->listen, why)) {
        return false;
    }
    *which = PG_OPTION_EXPOSE;
    if (!names_differ(&values->expose, why)) {
        return false;
    }
    return binds_differ(values, which, why);
}
