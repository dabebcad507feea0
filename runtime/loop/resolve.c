/* Names of the real loop: addresses and TXT records by c-ares, whose sockets and times share the loop with all others.
 * Called by loop.c, for links that name a host and for the core's PG_COMMAND_RESOLVE. No thread waits, nothing runs while
 * no name is asked for, and a loop that ends waits for no answer.
 * Serves RFC 1035 by way of c-ares; /etc/hosts, search domains and the servers are the system's unless servers are given. */
#include "loop/loop_internal.h"

#include "errors.gen.h"

#include <ares.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

/* The first wait doubles with each try, so a server that never answers costs 1.5 + 3 + 6 s. */
enum { TRY_MS = 1500, TRIES = 3, MOST_AT_ONCE = 1024, NAME_MAX_LEN = 253 };
#define SERVERS_FILE "/etc/resolv.conf"

struct pg_resolution {
    struct pg_loop *loop;
    struct os_link *link; /* or NULL: the core's own question */
    struct pg_resolution *next, *previous, *next_answer;
    struct pg_endpoint *found;
    struct pg_bytes *texts;
    uint8_t *text;        /* what texts points into */
    const char *reason;   /* static; NULL when there is something */
    uint32_t number, n_found;
    int error;
    uint8_t kind;
    bool forgotten;
};

/* One socket of c-ares. */
struct watch {
    uv_poll_t poll;
    struct pg_loop *loop;
    struct watch *next;
    int fd;
};

static struct ares_channeldata *channel(struct pg_loop *l)
{
    return l->names.channel;
}

/* Answers wait here until c-ares has returned: it is never called from within itself. */
static void answer(struct pg_resolution *r, int error, const char *reason)
{
    struct pg_names *n = &r->loop->names;
    r->error = error;
    r->reason = reason;
    *n->answers_end = r;
    n->answers_end = &r->next_answer;
}

static int error_of(int status, const char **reason)
{
    switch (status) {
    case ARES_SUCCESS: *reason = NULL; return PG_OK;
    case ARES_ENODATA: *reason = "the name has no such record"; return PG_ERR_UNREACHABLE;
    case ARES_ENOTFOUND: *reason = "there is no such name"; return PG_ERR_UNREACHABLE;
    case ARES_EBADNAME: *reason = "not a name that can be asked for"; return PG_ERR_UNREACHABLE;
    case ARES_ESERVFAIL: *reason = "the name server could not find out"; return PG_ERR_UNREACHABLE;
    case ARES_EREFUSED: *reason = "the name server refused to answer"; return PG_ERR_UNREACHABLE;
    case ARES_ECONNREFUSED: *reason = "no name server can be reached"; return PG_ERR_UNREACHABLE;
    case ARES_ETIMEOUT: *reason = "no name server answered in time"; return PG_ERR_TIMEOUT;
    case ARES_ENOMEM: *reason = "out of memory"; return PG_ERR_NO_MEMORY;
    case ARES_EFORMERR:
    case ARES_EBADRESP: *reason = "the name server's answer cannot be read"; return PG_ERR_UNREACHABLE;
    default: *reason = ares_strerror(status); return PG_ERR_UNREACHABLE;
    }
}

static void on_addresses(void *context, int status, int timeouts, struct ares_addrinfo *all)
{
    struct pg_resolution *r = context;
    const char *reason;
    int error = error_of(status, &reason);
    (void)timeouts;
    if (error == PG_OK && !r->forgotten)
        r->found = calloc(PG_RESOLVED_MOST, sizeof *r->found);
    for (const struct ares_addrinfo_node *at = all && r->found ? all->nodes : NULL; at && r->n_found < PG_RESOLVED_MOST; at = at->ai_next) {
        struct pg_endpoint *e = &r->found[r->n_found];
        pg_socket_endpoint(at->ai_addr, e);
        r->n_found += e->family != 0;
    }
    if (all)
        ares_freeaddrinfo(all);
    if (error == PG_OK && r->n_found == 0)
        error = error_of(r->found || r->forgotten ? ARES_ENODATA : ARES_ENOMEM, &reason);
    answer(r, error, reason);
}

/* The strings of one record are one text, RFC 1464 and multiformats/multiaddr protocols/DNSADDR.md: a long value is cut. */
static void collect_texts(struct pg_resolution *r, const struct ares_txt_ext *first)
{
    size_t len = 0;
    for (const struct ares_txt_ext *at = first; at; at = at->next)
        len += at->length;
    r->texts = calloc(PG_RESOLVED_MOST, sizeof *r->texts);
    r->text = malloc(len + 1);
    if (!r->texts || !r->text)
        return;
    uint8_t *to = r->text;
    for (const struct ares_txt_ext *at = first; at; at = at->next) {
        if (at->record_start && r->n_found == PG_RESOLVED_MOST)
            return;
        if (at->record_start || r->n_found == 0)
            r->texts[r->n_found++] = pg_bytes(to, 0);
        memcpy(to, at->txt, at->length);
        to += at->length;
        r->texts[r->n_found - 1].len += at->length;
    }
}

static void on_texts(void *context, int status, int timeouts, unsigned char *message, int len)
{
    struct pg_resolution *r = context;
    struct ares_txt_ext *first = NULL;
    const char *reason;
    (void)timeouts;
    if (status == ARES_SUCCESS && !r->forgotten)
        status = ares_parse_txt_reply_ext(message, len, &first);
    int error = error_of(status, &reason);
    if (error == PG_OK && first)
        collect_texts(r, first);
    if (first)
        ares_free_data(first);
    if (error == PG_OK && r->n_found == 0)
        error = error_of(ARES_ENODATA, &reason);
    answer(r, error, reason);
}

static void release(struct pg_resolution *r)
{
    struct pg_names *n = &r->loop->names;
    if (r->previous)
        r->previous->next = r->next;
    else
        n->open = r->next;
    if (r->next)
        r->next->previous = r->previous;
    n->n_open--;
    free(r->found);
    free(r->texts);
    free(r->text);
    free(r);
}

void pg_names_deliver(struct pg_loop *l)
{
    struct pg_names *n = &l->names;
    while (n->answers) {
        struct pg_resolution *r = n->answers;
        n->answers = r->next_answer;
        if (!n->answers)
            n->answers_end = &n->answers;
        if (r->link && !r->forgotten) {
            struct os_link *o = r->link;
            o->resolving = NULL;
            o->found = r->found;
            o->n_found = r->n_found;
            r->found = NULL;
            pg_os_resolved(o, r->error, r->reason);
        } else if (!r->forgotten) {
            r->forgotten = true; /* the core may use the number again from now on */
            struct pg_input in = {.kind = PG_INPUT_RESOLVED, .number = r->number, .n_found = r->n_found, .found = r->found,
                                  .texts = r->texts, .error = r->error, .reason = r->reason ? pg_text(r->reason) : PG_NONE};
            l->core->input(l->core->self, &in, pg_loop_now_us());
        }
        release(r);
    }
}

/* Sockets. */

static void on_watch_closed(uv_handle_t *h)
{
    free((char *)h - offsetof(struct watch, poll));
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *w = (struct watch *)((char *)poll - offsetof(struct watch, poll));
    struct pg_loop *l = w->loop;
    bool read = status < 0 || (events & UV_READABLE), write = status < 0 || (events & UV_WRITABLE);
    ares_process_fd(channel(l), read ? w->fd : ARES_SOCKET_BAD, write ? w->fd : ARES_SOCKET_BAD);
    pg_names_deliver(l);
    pg_loop_drain(l);
}

static struct watch **find_watch(struct pg_names *n, int fd)
{
    struct watch **at = &n->watches;
    while (*at && (*at)->fd != fd)
        at = &(*at)->next;
    return at;
}

static void on_socket(void *context, ares_socket_t fd, int readable, int writable)
{
    struct pg_loop *l = context;
    struct watch **at = find_watch(&l->names, fd), *w = *at;
    if (!readable && !writable) {
        if (!w)
            return;
        *at = w->next;
        uv_close((uv_handle_t *)&w->poll, on_watch_closed); /* stops watching now: c-ares closes it next */
        return;
    }
    if (!w) {
        w = calloc(1, sizeof *w);
        if (!w || uv_poll_init(&l->uv, &w->poll, fd) != 0) {
            free(w); /* the question runs into its time limit */
            return;
        }
        w->loop = l;
        w->fd = fd;
        w->next = l->names.watches;
        l->names.watches = w;
    }
    uv_poll_start(&w->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_ready);
}

/* The channel. */

static bool set_servers(struct pg_loop *l)
{
    struct ares_addr_port_node nodes[PG_DNS_SERVERS];
    for (unsigned i = 0; i < l->names.n_servers; i++) {
        const struct pg_endpoint *e = &l->names.servers[i];
        nodes[i] = (struct ares_addr_port_node){.next = i + 1 < l->names.n_servers ? &nodes[i + 1] : NULL,
                                                .family = e->family == 4 ? AF_INET : AF_INET6, .udp_port = e->port, .tcp_port = e->port};
        memcpy(&nodes[i].addr, e->ip, e->family == 4 ? 4 : 16);
    }
    return l->names.n_servers == 0 || ares_set_servers_ports(channel(l), nodes) == ARES_SUCCESS;
}

static bool open_channel(struct pg_loop *l)
{
    struct ares_options o = {.timeout = TRY_MS, .tries = TRIES, .sock_state_cb = on_socket, .sock_state_cb_data = l};
    struct ares_channeldata *made = NULL;
    struct stat now = {0};
    (void)stat(SERVERS_FILE, &now);
    /* A machine that has moved to another network has other servers, so their file is looked at whenever nothing is open. */
    bool stale = l->names.channel && l->names.n_servers == 0 && l->names.n_open == 0 &&
                 (now.st_mtim.tv_sec != l->names.read_s || now.st_mtim.tv_nsec != l->names.read_ns || now.st_ino != l->names.read_file);
    if (l->names.channel && !stale)
        return true;
    if (stale)
        ares_destroy(channel(l));
    l->names.channel = NULL;
    if (!l->names.library && ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        return false;
    l->names.library = true;
    if (ares_init_options(&made, &o, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS)
        return false;
    l->names.channel = made;
    if (!set_servers(l)) {
        ares_destroy(made);
        l->names.channel = NULL;
        return false;
    }
    l->names.read_s = now.st_mtim.tv_sec;
    l->names.read_ns = now.st_mtim.tv_nsec;
    l->names.read_file = now.st_ino;
    return true;
}

/* fe80::1%eth0 is no name, but its zone is only known here. */
static bool with_zone(struct pg_resolution *r, char *host)
{
    char *percent = strchr(host, '%');
    struct pg_endpoint e = {.family = 6};
    if (!percent)
        return false;
    *percent = 0;
    if (inet_pton(AF_INET6, host, e.ip) == 1 && (e.zone = if_nametoindex(percent + 1)) != 0 && (r->found = calloc(1, sizeof e))) {
        *r->found = e;
        r->n_found = 1;
        answer(r, PG_OK, NULL);
    } else {
        answer(r, PG_ERR_UNREACHABLE, "not an address with the name of an interface");
    }
    return true;
}

/* RFC 6761 section 6.3: what ends in localhost is this machine, and nobody is asked. Both families of the bare name are left to
 * c-ares and /etc/hosts; for one family, c-ares 1.18.1 leaks a copy of the name when that file has the other one only. */
static bool is_localhost(struct pg_resolution *r, const char *host)
{
    static const struct pg_endpoint loopback[2] = {{.family = 6, .ip = {[15] = 1}}, {.family = 4, .ip = {127, 0, 0, 1}}};
    size_t n = strlen(host), tail = sizeof "localhost" - 1;
    n -= n > 0 && host[n - 1] == '.';
    if (r->kind == PG_RESOLVE_TEXTS || n < tail || strncasecmp(host + n - tail, "localhost", tail) != 0 ||
        (n == tail ? r->kind == PG_RESOLVE_ADDRESSES : host[n - tail - 1] != '.'))
        return false;
    r->found = calloc(2, sizeof *r->found);
    for (unsigned i = 0; r->found && i < 2; i++)
        if (r->kind == PG_RESOLVE_ADDRESSES || (loopback[i].family == 4) == (r->kind == PG_RESOLVE_IP4))
            r->found[r->n_found++] = loopback[i];
    answer(r, r->n_found ? PG_OK : PG_ERR_NO_MEMORY, r->n_found ? NULL : "out of memory");
    return true;
}

static void ask(struct pg_resolution *r, struct pg_bytes name)
{
    static const int families[] = {[PG_RESOLVE_ADDRESSES] = AF_UNSPEC, [PG_RESOLVE_IP4] = AF_INET, [PG_RESOLVE_IP6] = AF_INET6};
    char host[NAME_MAX_LEN + 2];
    struct pg_loop *l = r->loop;
    if (name.len == 0 || name.len >= sizeof host || memchr(name.at, 0, name.len)) {
        answer(r, PG_ERR_UNREACHABLE, "not a name: it is empty or longer than 253 bytes");
        return;
    }
    memcpy(host, name.at, name.len);
    host[name.len] = 0;
    if (with_zone(r, host) || is_localhost(r, host))
        return;
    if (!open_channel(l)) {
        answer(r, PG_ERR_IO, "the resolver cannot be started");
        return;
    }
    if (r->kind == PG_RESOLVE_TEXTS) {
        ares_query(channel(l), host, 1 /* IN */, 16 /* TXT */, on_texts, r);
        return;
    }
    struct ares_addrinfo_hints want = {.ai_family = families[r->kind], .ai_socktype = SOCK_STREAM};
    ares_getaddrinfo(channel(l), host, NULL, &want, on_addresses, r);
}

static struct pg_resolution *begin(struct pg_loop *l, uint8_t kind)
{
    struct pg_resolution *r = l->names.n_open < MOST_AT_ONCE ? calloc(1, sizeof *r) : NULL;
    if (!r)
        return NULL;
    if (!l->names.answers)
        l->names.answers_end = &l->names.answers;
    r->loop = l;
    r->kind = kind;
    r->next = l->names.open;
    if (r->next)
        r->next->previous = r;
    l->names.open = r;
    return r;
}

void pg_names_resolve(struct pg_loop *l, uint32_t number, uint8_t kind, struct pg_bytes name)
{
    struct pg_resolution *r = begin(l, kind);
    if (!r) {
        struct pg_input in = {.kind = PG_INPUT_RESOLVED, .number = number, .error = PG_ERR_NO_MEMORY,
                              .reason = PG_LIT("too many names are being resolved")};
        l->core->input(l->core->self, &in, pg_loop_now_us());
        return;
    }
    r->number = number;
    ask(r, name);
    l->names.n_open++; /* after `ask`: a stale channel is only replaced when nothing else is open */
    pg_names_deliver(l);
}

void pg_names_resolve_link(struct os_link *o, struct pg_bytes name)
{
    struct pg_loop *l = o->loop;
    struct pg_resolution *r = begin(l, PG_RESOLVE_ADDRESSES);
    if (!r) {
        pg_os_resolved(o, PG_ERR_NO_MEMORY, "too many names are being resolved");
        return;
    }
    r->link = o;
    o->resolving = r;
    ask(r, name);
    l->names.n_open++;
    pg_names_deliver(l);
}

void pg_names_forget(struct pg_loop *l, uint32_t number)
{
    for (struct pg_resolution *r = l->names.open; r; r = r->next)
        if (!r->link && !r->forgotten && r->number == number)
            r->forgotten = true;
}

void pg_names_forget_link(struct pg_resolution *r)
{
    r->forgotten = true;
    r->link = NULL;
}

/* Times. */

uint64_t pg_names_wait_ms(struct pg_loop *l)
{
    struct timeval left;
    if (l->names.n_open == 0 || !channel(l) || !ares_timeout(channel(l), NULL, &left))
        return UINT64_MAX;
    return (uint64_t)left.tv_sec * 1000 + (uint64_t)left.tv_usec / 1000 + 1;
}

void pg_names_tick(struct pg_loop *l)
{
    if (l->names.n_open == 0 || !channel(l))
        return;
    ares_process_fd(channel(l), ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    pg_names_deliver(l);
}

void pg_names_end(struct pg_loop *l)
{
    for (struct pg_resolution *r = l->names.open; r; r = r->next)
        r->forgotten = true;
    if (channel(l))
        ares_destroy(channel(l)); /* answers all that is open */
    l->names.channel = NULL;
    pg_names_deliver(l);
    if (l->names.library)
        ares_library_cleanup();
}
